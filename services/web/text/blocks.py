"""A page's blocks as HTML that is safe to place in the web page.

What an engine recognised is written by construction: all text is escaped, and no attribute comes from the document.
What a model wrote as Markdown goes through `html.to_html`, which reduces it to an allow-list.

With `places`, elements name what of the page's JSON they show: `data-block` has the ids of blocks, `data-line` the
index of a line in its block.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from html import escape
from itertools import groupby
from typing import NamedTuple

from libs.page import table
from libs.page.block import RUNNING_KINDS, Block, BlockKind
from libs.page.markdown import DEFAULT_LEVEL, MAX_LEVEL, MarkdownOptions, to_markdown
from services.web.text.html import kept_breaks, to_html
from services.web.text.printed import Part, parts_of

_WITH_HEADERS = MarkdownOptions(headers=True)
_LINE_END = re.compile("\n")
_LISTED = frozenset({BlockKind.LIST_ITEM, BlockKind.CHECK_BOX})


class _Shown(NamedTuple):
    """A block, and the attribute that names it; "" without places."""

    block: Block
    place: str

    @property
    def lines(self) -> list[Part]:
        """The text in stretches, by lines only where the block is named."""
        return parts_of(self.block) if self.place else [Part(None, self.block.text)]


def block_id(number: int) -> str:
    """The id of the block that stands at this place on its page, from 1."""
    return f"b{number}"


def blocks_html(blocks: Iterable[Block], *, headers: bool = False, places: bool = False) -> str:
    """The blocks as a fragment of HTML. `headers`: running heads, running feet and page numbers too."""
    shown = [
        _Shown(block, f' data-block="{block_id(number)}"' if places else "")
        for number, block in enumerate(blocks, 1)
        if headers or block.kind not in RUNNING_KINDS
    ]
    return "".join(_runs(shown))


def _runs(blocks: Sequence[_Shown]) -> Iterator[str]:
    """Neighbours are written together where they make up one element: a list, or the Markdown of a model."""
    for (written, listed), run in groupby(blocks, key=_run_of):
        if written:
            yield from _written(list(run))
        elif listed:
            items = "".join(f"<li{shown.place}>{_mark(shown.block.marker)}{_lines(shown)}</li>\n" for shown in run)
            yield f"<ul>\n{items}</ul>\n"
        else:
            yield from map(_block, run)


def _run_of(shown: _Shown) -> tuple[bool, bool]:
    return bool(shown.block.markdown), shown.block.kind is BlockKind.LIST_ITEM


def _written(run: Sequence[_Shown]) -> Iterator[str]:
    """The Markdown of a model; named blocks in an element each, the items of a list in one."""
    if not run[0].place:
        yield to_html(to_markdown([shown.block for shown in run], _WITH_HEADERS))
        return
    for _, group in groupby(enumerate(run), key=lambda at: -1 if at[1].block.kind in _LISTED else at[0]):
        named = [shown for _, shown in group]
        ids = " ".join(shown.place.split('"')[1] for shown in named)
        html = to_html(to_markdown([shown.block for shown in named], _WITH_HEADERS))
        yield f'<div data-block="{ids}">\n{html}</div>\n'


def _mark(marker: str) -> str:
    """What an item counts with; the page shows bullets by itself."""
    return f"{escape(marker)} " if any(map(str.isalnum, marker)) else ""


def _block(shown: _Shown) -> str:
    block, place = shown
    match block.kind:
        case BlockKind.TABLE:
            return f"{table.to_html(block.cells, place)}\n"
        case BlockKind.FORMULA if block.latex:
            return f"<pre{place}>$$\n{escape(block.latex)}\n$$</pre>\n"
        case _ if not block.text:
            return ""
        case BlockKind.TITLE:
            return f"<h1{place}>{_joined(shown)}</h1>\n"
        case BlockKind.HEADING:
            level = min(block.level or DEFAULT_LEVEL, MAX_LEVEL)
            return f"<h{level}{place}>{_joined(shown)}</h{level}>\n"
        case BlockKind.FIGURE:
            return f"<figure{place}>{_lines(shown)}</figure>\n"
        case BlockKind.CHECK_BOX:
            return f"<p{place}>{'☑' if block.checked else '☐'} {_lines(shown)}</p>\n"
        case BlockKind.CODE:
            return f"<pre{place}><code>{escape(block.text)}</code></pre>\n"
    return f"<p{place}>{_lines(shown)}</p>\n"


def _joined(shown: _Shown) -> str:
    """The text as one line."""
    return _by_lines(shown, lambda text: escape(text.replace("\n", " "), quote=False))


def _lines(shown: _Shown) -> str:
    """The text with the line breaks that have a meaning."""
    breaks = iter(["<br>\n" if kept else "\n" for kept in kept_breaks(shown.block.text.split("\n"))])
    return _by_lines(shown, lambda text: _LINE_END.sub(lambda _: next(breaks), escape(text, quote=False)))


def _by_lines(shown: _Shown, html: Callable[[str], str]) -> str:
    """The text as `html` writes it, each printed line in an element that names it, without the white space after."""
    written = []
    for line, text in shown.lines:
        kept = text.rstrip()
        inner, end = html(kept), html(text[len(kept) :])
        written.append(f"{inner}{end}" if line is None else f'<span data-line="{line}">{inner}</span>{end}')
    return "".join(written)
