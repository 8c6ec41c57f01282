"""Blocks of a page as Markdown that shows exactly the recognised characters.

Printed lines stay lines (a soft break), with their hyphens as printed: the engine cannot know whether "well-" and
"known" are one word. Tables are HTML. Recognised characters that Markdown or HTML would take for markup are escaped,
and no others.
"""

import html
import re
from collections.abc import Sequence

from services.worker.engines.lines.block import Block, BlockKind
from services.worker.engines.lines.table import Cell

# Each pattern matches only where Markdown would act on it: "R&D", "<5" and "snake_case" stay as they are.
_BACKSLASH = re.compile(r"\\(?=[!-/:-@\[-`{-~]|$)", re.MULTILINE)
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#?[A-Za-z0-9]+;)")
_LINK = re.compile(r"\](?=[(\[:])")
_LINE_START = re.compile(r"^(#{1,6}(?=\s|$)|>|[-+*](?=\s|$)|={1,}\s*$|-{2,}|~{3,}|`{3,}|\|)")
_RULE = re.compile(r"^([-_*])(?=(\s*\1){2,}\s*$)")
_NUMBER = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")
_MARKERS = "*_`~"


def render(page: Sequence[Block]) -> str:
    """The page as Markdown, without a final newline; an empty line separates blocks."""
    written: list[str] = []
    number: int | None = None
    for block in page:
        if block.kind is BlockKind.TABLE:
            written.append(_table(block.cells))
            number = None
            continue
        lines = _inline(block.lines)
        match = _NUMBER.match(block.lines[0])
        # Inside a list Markdown counts by itself: a number out of sequence would be shown as another one.
        follows = match is not None and (number is None or int(match[1]) == number + 1)
        number = int(match[1]) if match and follows else None
        if block.kind is BlockKind.TITLE:
            written.append("# " + " ".join(lines))
        elif block.kind is BlockKind.HEADING:
            written.append("## " + " ".join(lines))
        elif block.kind is BlockKind.ITEM:
            written.append("- " + "\n  ".join(_line_start(line, numbered=False) for line in lines))
        else:
            starts = [_line_start(line, numbered=follows and i == 0) for i, line in enumerate(lines)]
            written.append("\n".join(starts))
    return "\n\n".join(written)


def _inline(lines: Sequence[str]) -> list[str]:
    text = "\n".join(lines)
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


def _table(rows: Sequence[Sequence[Cell]]) -> str:
    """A table as HTML. Markdown is not interpreted inside it, so only HTML is escaped."""
    return "\n".join(["<table>", *("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows), "</table>"])


def _cell(cell: Cell) -> str:
    span = f' colspan="{cell.span}"' if cell.span > 1 else ""
    return f"<td{span}>{html.escape(cell.text, quote=False)}</td>"
