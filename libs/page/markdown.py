"""Blocks of a page as Markdown that shows exactly the characters of the page.

Printed lines stay lines (a soft break). Tables are HTML, or pipes where that is asked for and no cell spans. Characters
that Markdown or HTML would take for markup are escaped, and no others. What a model wrote as Markdown stays as it is.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from libs.page import table
from libs.page.block import RUNNING_KINDS, Block, BlockKind

#: The level at which a heading is written that has none.
DEFAULT_LEVEL = 2
#: Of Markdown's headings.
MAX_LEVEL = 6

# Each pattern matches only where Markdown would act on it: "R&D", "<5" and "snake_case" stay as they are.
_BACKSLASH = re.compile(r"\\(?=[!-/:-@\[-`{-~]|$)", re.MULTILINE)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#?[A-Za-z0-9]+;)")
_LINK = re.compile(r"\](?=[(\[:])")
_LINE_START = re.compile(r"^(#{1,6}(?=\s|$)|>|[-+*](?=\s|$)|={1,}\s*$|-{2,}|~{3,}|`{3,}|\|)")
_RULE = re.compile(r"^([-_*])(?=(\s*\1){2,}\s*$)")
_NUMBER = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_MARKERS = "*_`~"
_FENCE = re.compile(r"`{3,}")
_LISTED = frozenset({BlockKind.LIST_ITEM, BlockKind.CHECK_BOX})


class MarkdownOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What is written, and how."""

    #: Running heads, running feet and page numbers too.
    headers: bool = False
    #: Tables without spans as pipes; else all as HTML.
    pipes: bool = False


DEFAULT = MarkdownOptions()


class Part(NamedTuple):
    """A block as it is written."""

    block: Block
    #: What separates it from the part before.
    before: str
    text: str


def to_markdown(blocks: Sequence[Block], options: MarkdownOptions = DEFAULT) -> str:
    """The page as Markdown, without a final newline; an empty line separates blocks."""
    return "".join(part.before + part.text for part in markdown_parts(blocks, options))


def markdown_parts(blocks: Sequence[Block], options: MarkdownOptions = DEFAULT) -> Iterator[Part]:
    """The same by blocks; those that write nothing are left out."""
    number: int | None = None
    before: Block | None = None
    for block in blocks:
        if block.kind in RUNNING_KINDS and not options.headers:
            continue
        text = f"{block.marker} {block.text}" if block.kind is BlockKind.LIST_ITEM else block.text
        match = None if block.markdown or block.kind is BlockKind.TABLE else _NUMBER.match(text)
        # Inside a list Markdown counts by itself: a number out of sequence would be shown as another one.
        follows = match is not None and (number is None or int(match[1]) == number + 1)
        number = int(match[1]) if match and follows else None
        if text := _block(block, options, numbered=follows):
            yield Part(block, _separator(before, block), text)
            before = block


def escape(text: str) -> str:
    """Text as Markdown that shows exactly its characters."""
    return "\n".join(_line_start(line, numbered=False) for line in _inline(text))


def _separator(before: Block | None, block: Block) -> str:
    if before is None:
        return ""
    # A model's list keeps its items together: with empty lines between them, each would become a paragraph.
    listed = {before.kind, block.kind} <= _LISTED and before.markdown and block.markdown
    return "\n" if listed else "\n\n"


def _block(block: Block, options: MarkdownOptions, *, numbered: bool) -> str:
    if block.kind is BlockKind.TABLE and options.pipes and block.cells and not table.has_spans(block.cells):
        return _pipes(table.grid(block.cells))
    if block.markdown:
        return block.markdown
    if block.kind is BlockKind.TABLE:
        return table.to_html(block.cells)
    if block.kind is BlockKind.FORMULA and block.latex:
        return f"$$\n{block.latex}\n$$"
    if not block.text:
        return ""
    if block.kind is BlockKind.CODE:
        return _code(block.text)
    lines = _inline(block.text)
    match block.kind:
        case BlockKind.TITLE:
            return "# " + " ".join(lines)
        case BlockKind.HEADING:
            return "#" * min(block.level or DEFAULT_LEVEL, MAX_LEVEL) + " " + " ".join(lines)
        case BlockKind.LIST_ITEM:
            indent = "  " * ((block.level or 1) - 1)
            mark, lines[0] = _mark(block.marker, lines[0], numbered=numbered)
            return indent + mark + f"\n{indent}  ".join(_line_start(line, numbered=False) for line in lines)
        case BlockKind.CHECK_BOX:
            return ("☑ " if block.checked else "☐ ") + "\n".join(_line_start(line, numbered=False) for line in lines)
        case BlockKind.FIGURE:
            return f"<img>{' '.join(lines)}</img>"
    return "\n".join(_line_start(line, numbered=numbered and i == 0) for i, line in enumerate(lines))


def _mark(marker: str, text: str, *, numbered: bool) -> tuple[str, str]:
    """How Markdown marks the item, and its first line: what counts otherwise than by numbers stands in the text."""
    if _NUMBER.fullmatch(marker):
        return (marker if numbered else _NUMBER.sub(r"\1\\\2", marker)) + " ", text
    return "- ", f"{marker} {text}" if any(map(str.isalnum, marker)) else text


def _code(text: str) -> str:
    """A fenced block whose fence is longer than any in the text."""
    fence = "`" * max([3, *(len(found) + 1 for found in _FENCE.findall(text))])
    return f"{fence}\n{text}\n{fence}"


def _pipes(grid: Sequence[Sequence[str]]) -> str:
    """A table in pipes, its first row as the head, which Markdown demands."""
    head, *rest = [[_pipe_cell(text) for text in row] for row in grid]
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _pipe_cell(text: str) -> str:
    return " ".join(" ".join(_inline(text)).split()).replace("|", "\\|")


def _inline(text: str) -> list[str]:
    text = _BACKSLASH.sub(r"\\\\", text)
    text = _ENTITY.sub("&amp;", text)
    text = _TAG.sub("&lt;", text)
    text = _LINK.sub(r"\\]", text)
    for marker in _MARKERS:
        text = _escape_pairs(text, marker)
    return text.split("\n")


def _escape_pairs(text: str, marker: str) -> str:
    """The text with each `marker` escaped, unless it has no effect: it needs one that opens and another that closes."""
    # A code span may open before a space; an underscore inside a word opens nothing.
    opening = {"`": "`", "_": r"(?<!\w)_(?=\S)"}.get(marker, rf"{re.escape(marker)}(?=\S)")
    if text.count(marker) < 2 or not re.search(opening, text):
        return text
    return text.replace(marker, "\\" + marker)


def _line_start(line: str, *, numbered: bool) -> str:
    """The line, escaped where it would begin a heading, quotation, list, rule or fence."""
    if line.startswith(">"):
        return "&gt;" + line[1:]
    if _LINE_START.match(line) or _RULE.match(line):
        return "\\" + line
    if not numbered:
        return _NUMBER.sub(r"\1\\\2", line)
    return line
