"""Blocks of a page: the rows of a region gathered into paragraphs, headings, list items and tables."""

from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise
from statistics import median

import msgspec

from services.worker.engines.lines.order import Region, Row, Strip

_HEADING = 1.35
_TITLE = 1.9
_HEADING_ROWS = 3
_HEADING_CHARACTERS = 120
_LEADING = 1.45
_TABLE_ROWS = 3
_CELL_GAP = 0.5
_CELL_CHARACTERS = 40
_CROSSING = 0.2
_FILLED = 0.6
_TABLE_STEP = 4.0
Extent = tuple[float, float]

BULLETS = "•●▪■◦‣∙"


class Kind(StrEnum):
    """What a block is on the page."""

    PARAGRAPH = "paragraph"  # running text
    TITLE = "title"  # much larger than the text
    HEADING = "heading"  # larger than the text
    ITEM = "item"  # begins with a bullet
    TABLE = "table"  # rows of cells that stand in columns


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell of a table, empty or not, and over how many columns it reaches."""

    text: str = ""
    span: int = 1


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A block: its lines of text, or for a table its cells by row."""

    kind: Kind
    lines: tuple[str, ...] = ()
    cells: tuple[tuple[Cell, ...], ...] = ()


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


def _table(rows: Sequence[Row], start: int, body: float) -> tuple[int, list[Extent]]:
    """Where a table that begins at row `start` ends, and its columns; (0, []) where none begins there."""
    stop = _stretch(rows, start, body)
    while stop - start >= _TABLE_ROWS:
        columns = _columns(rows[start:stop], body)
        if len(columns) >= 2 and _is_table(rows[start:stop], columns):
            # A heading below the table whose number was found apart from its words is no row of it.
            while sum(1 for cell in _row_cells(rows[stop - 1], columns) if cell.text) < 2:
                stop -= 1
            return stop, columns
        stop -= 1
        while stop > start and len(rows[stop - 1]) < 2:
            stop -= 1
    return 0, []


def _stretch(rows: Sequence[Row], start: int, body: float) -> int:
    """The end of the rows that may be one table: close to each other, no two in a row with a single strip."""
    if len(rows[start]) < 2:
        return start
    stop = end = start + 1
    while end < len(rows) and _middle(rows[end]) - _middle(rows[end - 1]) <= _TABLE_STEP * body:
        end += 1
        if len(rows[end - 1]) >= 2:
            stop = end
        elif end - stop > 1:
            break
    return stop


def _columns(rows: Sequence[Row], body: float) -> list[Extent]:
    """Columns by vote: parted wherever nearly no row has ink, so that a heading across them does not join them."""
    events = sorted((edge, step) for row in rows for s in row for edge, step in ((s.left, 1), (s.right, -1)))
    allowed = int(_CROSSING * len(rows))
    columns: list[Extent] = []
    depth, opened = 0, None
    for edge, step in events:
        depth += step
        if opened is None and depth > allowed:
            opened = edge
        elif opened is not None and depth <= allowed:
            if columns and opened - columns[-1][1] < _CELL_GAP * body:
                columns[-1] = (columns[-1][0], edge)
            else:
                columns.append((opened, edge))
            opened = None
    return columns


def _is_table(rows: Sequence[Row], columns: Sequence[Extent]) -> bool:
    cells = _cells(rows, columns)
    filled = sum(cell.span for row in cells for cell in row if cell.text)
    lengths = [len(cell.text) for row in cells for cell in row if cell.text]
    real = sum(1 for row in cells if sum(1 for cell in row if cell.text) >= 2)
    return real >= _TABLE_ROWS and filled >= _FILLED * len(rows) * len(columns) and median(lengths) <= _CELL_CHARACTERS


def _cells(rows: Sequence[Row], columns: Sequence[Extent]) -> tuple[tuple[Cell, ...], ...]:
    return tuple(_row_cells(row, columns) for row in rows)


def _row_cells(row: Row, columns: Sequence[Extent]) -> tuple[Cell, ...]:
    spans: list[tuple[int, int, str]] = []
    for strip in row:
        under = [i for i, column in enumerate(columns) if _covers(strip, column)]
        nearest = min(range(len(columns)), key=lambda i: _distance(strip, columns[i]))
        first, last = (under[0], under[-1]) if under else (nearest, nearest)
        if spans and first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last), f"{spans[-1][2]} {strip.line.text}")
        else:
            spans.append((first, last, strip.line.text))
    cells: list[Cell] = []
    at = 0
    for first, last, text in spans:
        cells.extend(Cell() for _ in range(first - at))
        cells.append(Cell(text=text, span=last - first + 1))
        at = last + 1
    cells.extend(Cell() for _ in range(len(columns) - at))
    return tuple(cells)


def _covers(strip: Strip, column: Extent) -> bool:
    shared = min(strip.right, column[1]) - max(strip.left, column[0])
    return shared > 0.3 * min(strip.width, column[1] - column[0])


def _distance(strip: Strip, column: Extent) -> float:
    middle = (strip.left + strip.right) / 2
    return max(column[0] - middle, middle - column[1], 0.0)


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
    # Of the strip that says most: a large initial or a bracket does not make its row a heading.
    return max(row, key=lambda s: len(s.line.text)).height


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
