"""The kind of a block that a model names beside its text."""

import re
from collections.abc import Iterator, Sequence

import msgspec

from libs.page.block import Block, BlockKind
from libs.page.markdown import DEFAULT_LEVEL
from libs.page.text import to_text

_HEADS = frozenset({BlockKind.TITLE, BlockKind.HEADING})
_RUNNING = frozenset({BlockKind.PAGE_HEADER, BlockKind.PAGE_FOOTER})
_LOOSE = _HEADS | {BlockKind.PARAGRAPH}
# A page's number alone, as on "- 12 -" or "12/40".
_NUMBER = re.compile(r"\W*\d{1,5}(?:\s*/\s*\d{1,5})?\W*")
_BULLET = re.compile(r"([\u2022\u25cf\u25e6\u2043\u25aa\u00b7*+-]|\(?\w{1,4}[.)])\s+")
# What a formula that a model sets apart stands between.
_DELIMITERS = (("$$", "$$"), (r"\[", r"\]"), (r"\(", r"\)"), ("$", "$"))


def recast(blocks: Sequence[Block], kind: BlockKind | None) -> Iterator[Block]:
    """The blocks as `kind`; those that their own Markdown makes a list, a table or the like stay what they are."""
    if kind is BlockKind.FIGURE:
        yield Block(kind=kind, text=to_text(blocks, headers=True))
        return
    for block in blocks:
        yield _as(block, kind) if kind is not None and block.kind in _LOOSE else block


def formula(written: str) -> Block:
    """LaTeX that stands alone, with or without delimiters."""
    latex = written.strip()
    for opening, closing in _DELIMITERS:
        inner = latex[len(opening) : -len(closing)]
        if len(latex) >= len(opening) + len(closing) and latex.startswith(opening) and latex.endswith(closing):
            return Block(kind=BlockKind.FORMULA, latex=inner.strip())
    return Block(kind=BlockKind.FORMULA, latex=latex)


def _as(block: Block, kind: BlockKind) -> Block:
    if kind in _HEADS:
        return _head(block, kind)
    if kind is BlockKind.FORMULA:
        return formula(block.markdown or block.text)
    if kind in _RUNNING:
        number = _NUMBER.fullmatch(block.text)
        return msgspec.structs.replace(block, kind=BlockKind.PAGE_NUMBER if number else kind, level=None)
    if kind is BlockKind.LIST_ITEM:
        return _item(block)
    return msgspec.structs.replace(block, kind=kind, level=None)


def _head(block: Block, kind: BlockKind) -> Block:
    if block.kind in _HEADS:
        level = 1 if kind is BlockKind.TITLE else block.level
        # The model names it a heading, and its own Markdown says of which level.
        return msgspec.structs.replace(block, kind=kind, level=level)
    level = 1 if kind is BlockKind.TITLE else DEFAULT_LEVEL
    written = " ".join((block.markdown or block.text).split("\n"))
    return msgspec.structs.replace(block, kind=kind, level=level, markdown=f"{'#' * level} {written}")


def _item(block: Block) -> Block:
    found = _BULLET.match(block.text)
    marker, text = (found[1], block.text[found.end() :]) if found else ("", block.text)
    return Block(kind=BlockKind.LIST_ITEM, text=text, level=1, marker=marker)
