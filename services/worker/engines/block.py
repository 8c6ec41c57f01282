"""Blocks of a page: the rows of a region gathered into paragraphs, headings, list items and tables."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from statistics import median

import msgspec

from services.worker.engines.order import Region, Row, Strip

_HEADING = 1.35
_TITLE = 1.9
_HEADING_ROWS = 3
_HEADING_CHARACTERS = 120
_LEADING = 1.45
_TABLE_ROWS = 3
_CELL_GAP = 1.0
_FILLED = 0.6
_TABLE_STEP = 4.0
BULLETS = "•●▪■◦‣∙"


class Kind(StrEnum):
    """What a block is on the page."""

    PARAGRAPH = "paragraph"  # running text
    TITLE = "title"  # much larger than the text
    HEADING = "heading"  # larger than the text
    ITEM = "item"  # begins with a bullet
    TABLE = "table"  # rows of cells that stand in columns


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A block: its lines of text, or for a table its cells by row (an empty cell is the empty string)."""

    kind: Kind
    lines: tuple[str, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()


def blocks(parts: Sequence[Region]) -> list[Block]:
    """The blocks of a page's regions, in order; every line's text is in exactly one of them."""
    strips = [strip for part in parts for row in part.rows for strip in row]
    if not strips:
        return []
    body = _body_height(strips)
    found: list[Block] = []
    for part in parts:
        found.extend(_region_blocks(part.rows, body, headings=len(strips) >= 5))
    return found


def _body_height(strips: Sequence[Strip]) -> float:
    """Height of the page's ordinary text in pixels: the median over characters, not over lines."""
    weighted = sorted((s.height, len(s.line.text)) for s in strips)
    half, passed = sum(n for _, n in weighted) / 2, 0
    for height, n in weighted:
        passed += n
        if passed >= half:
            return height
    return weighted[-1][0]


def _region_blocks(rows: Sequence[Row], body: float, *, headings: bool) -> list[Block]:
    found: list[Block] = []
    start = 0
    while start < len(rows):
        stop, columns = _table(rows, start, body)
        if stop:
            found.append(Block(kind=Kind.TABLE, cells=_cells(rows[start:stop], columns)))
            start = stop
            continue
        stop = start + 1
        while stop < len(rows) and not _table(rows, stop, body)[0]:
            stop += 1
        found.extend(_text_blocks(rows[start:stop], body, headings=headings))
        start = stop
    return found


def _table(rows: Sequence[Row], start: int, body: float) -> tuple[int, list[tuple[float, float]]]:
    """Where a table that begins at row `start` ends, and its columns; (0, []) where none begins there."""
    stop = start
    while stop < len(rows) and len(_merge(rows[stop], body)) >= 2:
        if stop > start and _middle(rows[stop]) - _middle(rows[stop - 1]) > _TABLE_STEP * body:
            break
        stop += 1
    while stop - start >= _TABLE_ROWS:
        columns = _columns(rows[start:stop], body)
        if len(columns) >= 2 and _is_full(rows[start:stop], columns):
            return stop, columns
        stop -= 1
    return 0, []


def _merge(row: Row, body: float) -> list[tuple[float, float]]:
    """The extents of a row's cells: strips with less than a cell's gap between them are one."""
    extents: list[tuple[float, float]] = []
    for strip in row:
        if extents and strip.left - extents[-1][1] < _CELL_GAP * body:
            extents[-1] = (extents[-1][0], max(extents[-1][1], strip.right))
        else:
            extents.append((strip.left, strip.right))
    return extents


def _columns(rows: Sequence[Row], body: float) -> list[tuple[float, float]]:
    extents = sorted(extent for row in rows for extent in _merge(row, body))
    columns: list[tuple[float, float]] = []
    for left, right in extents:
        if columns and left < columns[-1][1] + 0.3 * body:
            columns[-1] = (columns[-1][0], max(columns[-1][1], right))
        else:
            columns.append((left, right))
    return columns


def _is_full(rows: Sequence[Row], columns: Sequence[tuple[float, float]]) -> bool:
    filled = sum(1 for cells in _cells(rows, columns) for cell in cells if cell)
    return filled >= _FILLED * len(rows) * len(columns)


def _cells(rows: Sequence[Row], columns: Sequence[tuple[float, float]]) -> tuple[tuple[str, ...], ...]:
    table = []
    for row in rows:
        cells: list[list[str]] = [[] for _ in columns]
        for strip in row:
            middle = (strip.left + strip.right) / 2
            at = min(range(len(columns)), key=lambda i: max(columns[i][0] - middle, middle - columns[i][1], 0.0))
            cells[at].append(strip.line.text)
        table.append(tuple(" ".join(cell) for cell in cells))
    return tuple(table)


def _text_blocks(rows: Sequence[Row], body: float, *, headings: bool) -> list[Block]:
    if not rows:
        return []
    left = min(row[0].left for row in rows)
    right = max(row[-1].right for row in rows)
    pitch = _pitch(rows)
    groups: list[list[Row]] = []
    for i, row in enumerate(rows):
        following = rows[i + 1] if i + 1 < len(rows) else None
        if not groups or _begins(row, groups[-1][-1], following, (left, right), pitch, body):
            groups.append([row])
        else:
            groups[-1].append(row)
    return [_text_block(group, body, headings=headings) for group in groups]


def _pitch(rows: Sequence[Row]) -> float:
    steps = [_middle(b) - _middle(a) for a, b in pairwise(rows)]
    return median(steps) if steps else 0.0


def _middle(row: Row) -> float:
    return sum(s.middle for s in row) / len(row)


def _height(row: Row) -> float:
    return max(s.height for s in row)


def _text(row: Row) -> str:
    return " ".join(strip.line.text for strip in row)


def _begins(row: Row, before: Row, after: Row | None, margins: tuple[float, float], pitch: float, body: float) -> bool:
    """True where `row` begins a block of its own rather than going on with the one of the row before."""
    if _text(row)[:1] in BULLETS:
        return True
    heights = sorted((_height(row), _height(before)))
    if heights[1] > _HEADING * heights[0]:
        return True
    step = _middle(row) - _middle(before)
    if step > _LEADING * max(pitch, 1.15 * heights[0]):
        return True
    indented = row[0].left - before[0].left > 0.8 * body
    if indented and (after is None or row[0].left - after[0].left > 0.8 * body):
        # In a list the rows under a bullet stand in; in prose only the first row of a paragraph does.
        return _text(before)[:1] not in BULLETS
    short = margins[1] - before[-1].right > 0.2 * (margins[1] - margins[0])
    return short and _text(before)[-1:] in '.!?:;”"»' and row[0].left - margins[0] < 3 * body


def _text_block(group: Sequence[Row], body: float, *, headings: bool) -> Block:
    lines = tuple(_text(row) for row in group)
    if lines[0][:1] in BULLETS and len(lines[0]) > 1:
        return Block(kind=Kind.ITEM, lines=(lines[0][1:].strip(), *lines[1:]))
    letters = sum(character.isalpha() for line in lines for character in line)
    size = min(_height(row) for row in group) / body
    if (
        headings
        and size >= _HEADING
        and len(lines) <= _HEADING_ROWS
        and letters >= 3
        and sum(map(len, lines)) <= _HEADING_CHARACTERS
    ):
        return Block(kind=Kind.TITLE if size >= _TITLE else Kind.HEADING, lines=lines)
    return Block(kind=Kind.PARAGRAPH, lines=lines)
