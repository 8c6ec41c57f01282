"""Tables among the rows of a region: found by alignment alone, drawn rules are not looked at.

Lengths are in units of the body text's height, so that they hold at any DPI. How the values were found is not recorded;
each comment says what the value trades off, and `bench.accuracy` shows what a change does.
"""

from collections.abc import Sequence
from statistics import median

import msgspec

from libs.page.block import Cell, enclosing
from services.worker.engines.lines.line_box import LineBox, Row

# Rows with two cells at least that a table needs. Two such rows are as often a label beside a value.
_MIN_ROWS = 3
# Greatest step between the middles of two rows; beyond it a new table or the text below begins.
_MAX_ROW_STEP = 4.0
# Share of the rows that may have text across the space between two columns: a heading over several columns, or a cell
# that spans them, joins no columns. Fewer would lose such tables, more would find columns in prose.
_MAX_CROSSING_SHARE = 0.2
# Least space between two columns. Wider joins the columns of dense tables, narrower splits a column at the spaces of
# its words; it was 1.0 until columns were found by vote.
_MIN_COLUMN_GAP = 0.5
# Share of the cells that must hold text, and the greatest median of their lengths in characters: text set in columns is
# full of long cells, lines that are level by chance leave most cells empty.
_MIN_FILLED_SHARE = 0.6
_MAX_CELL_CHARACTERS = 40
# Least overlap of a box with a column it covers, as a share of the narrower of both.
_MIN_OVERLAP = 0.3

#: Left and right edge, in pixels.
Extent = tuple[float, float]


class _RowCell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell of one row; an empty one has no boxes."""

    boxes: tuple[LineBox, ...] = ()
    #: Columns that the cell reaches over.
    span: int = 1

    @property
    def text(self) -> str:
        """The texts of the boxes, from left to right."""
        return " ".join(box.line.text for box in self.boxes)


def table_at(rows: Sequence[Row], start: int, body: float) -> tuple[int, list[Extent]]:
    """The end (exclusive) of a table that begins at row `start`, and its columns; (0, []) where none begins there.

    `body` is the height of the body text in pixels.
    """
    stop = _candidate_end(rows, start, body)
    while stop - start >= _MIN_ROWS:
        columns = _columns(rows[start:stop], body)
        if len(columns) >= 2 and _is_table(rows[start:stop], columns):
            # The last row may be the heading of the next section, whose number and words are two boxes in one column.
            while _filled(_row_cells(rows[stop - 1], columns)) < 2:
                stop -= 1
            return stop, columns
        stop -= 1
        while stop > start and len(rows[stop - 1]) < 2:
            stop -= 1
    return 0, []


def cells(rows: Sequence[Row], columns: Sequence[Extent]) -> tuple[Cell, ...]:
    """The cells of a table, row by row; those of a row cover all columns. Their boxes are those of their lines."""
    found: list[Cell] = []
    for at, row in enumerate(rows):
        column = 0
        for cell in _row_cells(row, columns):
            box = enclosing([b.line for b in cell.boxes])
            found.append(Cell(row=at, column=column, text=cell.text, column_span=cell.span, box=box))
            column += cell.span
    return tuple(found)


def _candidate_end(rows: Sequence[Row], start: int, body: float) -> int:
    """The end of the rows that may be one table: close to each other, and never two in a row with a single box."""
    if len(rows[start]) < 2:
        return start
    stop = end = start + 1
    while end < len(rows) and middle_of(rows[end]) - middle_of(rows[end - 1]) <= _MAX_ROW_STEP * body:
        end += 1
        if len(rows[end - 1]) >= 2:
            stop = end
        elif end - stop > 1:
            break
    return stop


def middle_of(row: Row) -> float:
    """Mean height of a row on the page, in pixels from the top."""
    return sum(b.middle for b in row) / len(row)


def _columns(rows: Sequence[Row], body: float) -> list[Extent]:
    """The columns, by vote: they end wherever at most `_MAX_CROSSING_SHARE` of the rows has text."""
    events = sorted((edge, step) for row in rows for b in row for edge, step in ((b.left, 1), (b.right, -1)))
    allowed = int(_MAX_CROSSING_SHARE * len(rows))
    columns: list[Extent] = []
    depth, opened = 0, None
    for edge, step in events:
        depth += step
        if opened is None and depth > allowed:
            opened = edge
        elif opened is not None and depth <= allowed:
            if columns and opened - columns[-1][1] < _MIN_COLUMN_GAP * body:
                columns[-1] = (columns[-1][0], edge)
            else:
                columns.append((opened, edge))
            opened = None
    return columns


def _is_table(rows: Sequence[Row], columns: Sequence[Extent]) -> bool:
    table = [_row_cells(row, columns) for row in rows]
    filled = sum(cell.span for row in table for cell in row if cell.text)
    lengths = [len(cell.text) for row in table for cell in row if cell.text]
    real = sum(1 for row in table if _filled(row) >= 2)
    return (
        real >= _MIN_ROWS
        and filled >= _MIN_FILLED_SHARE * len(rows) * len(columns)
        and median(lengths) <= _MAX_CELL_CHARACTERS
    )


def _filled(row: Sequence[_RowCell]) -> int:
    return sum(1 for cell in row if cell.text)


def _row_cells(row: Row, columns: Sequence[Extent]) -> tuple[_RowCell, ...]:
    spans: list[tuple[int, int, list[LineBox]]] = []
    for box in row:
        covered = [i for i, column in enumerate(columns) if _covers(box, column)]
        nearest = min(range(len(columns)), key=lambda i: _distance(box, columns[i]))
        first, last = (covered[0], covered[-1]) if covered else (nearest, nearest)
        if spans and first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last), [*spans[-1][2], box])
        else:
            spans.append((first, last, [box]))
    row_cells: list[_RowCell] = []
    at = 0
    for first, last, boxes in spans:
        row_cells.extend(_RowCell() for _ in range(first - at))
        row_cells.append(_RowCell(boxes=tuple(boxes), span=last - first + 1))
        at = last + 1
    row_cells.extend(_RowCell() for _ in range(len(columns) - at))
    return tuple(row_cells)


def _covers(box: LineBox, column: Extent) -> bool:
    overlap = min(box.right, column[1]) - max(box.left, column[0])
    return overlap > _MIN_OVERLAP * min(box.width, column[1] - column[0])


def _distance(box: LineBox, column: Extent) -> float:
    middle = (box.left + box.right) / 2
    return max(column[0] - middle, middle - column[1], 0.0)
