"""A page's blocks as HTML that is safe to place in the web page.

What an engine recognised is written by construction: all text is escaped, and no attribute comes from the document.
What a model wrote as Markdown goes through `html.to_html`, which reduces it to an allow-list.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby

from libs.page import table
from libs.page.block import RUNNING_KINDS, Block, BlockKind
from libs.page.markdown import DEFAULT_LEVEL, MAX_LEVEL, MarkdownOptions, to_markdown
from services.web.text.html import kept_breaks, to_html

_WITH_HEADERS = MarkdownOptions(headers=True)


def blocks_html(blocks: Iterable[Block], *, headers: bool = False) -> str:
    """The blocks as a fragment of HTML. `headers`: running heads, running feet and page numbers too."""
    shown = [block for block in blocks if headers or block.kind not in RUNNING_KINDS]
    return "".join(_runs(shown))


def _runs(blocks: Sequence[Block]) -> Iterator[str]:
    """Neighbours are written together where they make up one element: a list, or the Markdown of a model."""
    for (written, listed), run in groupby(blocks, key=_run_of):
        if written:
            yield to_html(to_markdown(list(run), _WITH_HEADERS))
        elif listed:
            items = "".join(f"<li>{_mark(block.marker)}{_lines(block.text)}</li>\n" for block in run)
            yield f"<ul>\n{items}</ul>\n"
        else:
            yield from map(_block, run)


def _run_of(block: Block) -> tuple[bool, bool]:
    return bool(block.markdown), block.kind is BlockKind.LIST_ITEM


def _mark(marker: str) -> str:
    """What an item counts with; the page shows bullets by itself."""
    return f"{escape(marker)} " if any(map(str.isalnum, marker)) else ""


def _block(block: Block) -> str:
    text = _lines(block.text)
    match block.kind:
        case BlockKind.TABLE:
            return f"{table.to_html(block.cells)}\n"
        case BlockKind.FORMULA if block.latex:
            return f"<pre>$$\n{escape(block.latex)}\n$$</pre>\n"
        case _ if not block.text:
            return ""
        case BlockKind.TITLE:
            return f"<h1>{_joined(block.text)}</h1>\n"
        case BlockKind.HEADING:
            level = min(block.level or DEFAULT_LEVEL, MAX_LEVEL)
            return f"<h{level}>{_joined(block.text)}</h{level}>\n"
        case BlockKind.FIGURE:
            return f"<figure>{text}</figure>\n"
        case BlockKind.CHECK_BOX:
            return f"<p>{'☑' if block.checked else '☐'} {text}</p>\n"
        case BlockKind.CODE:
            return f"<pre><code>{escape(block.text)}</code></pre>\n"
    return f"<p>{text}</p>\n"


def _joined(text: str) -> str:
    return escape(" ".join(text.split("\n")), quote=False)


def _lines(text: str) -> str:
    """The text with the line breaks that have a meaning."""
    lines = text.split("\n")
    breaks = [*("<br>\n" if kept else "\n" for kept in kept_breaks(lines)), ""]
    return "".join(f"{escape(line, quote=False)}{end}" for line, end in zip(lines, breaks, strict=True))
