"""Tables among the rows of a region: found by alignment alone, drawn rules are not looked at.

Lengths are in units of the body text's height, so that they hold at any DPI. How the values were found is not recorded;
each comment says what the value trades off, and `bench.accuracy` shows what a change does.
"""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import msgspec

from libs.page.block import Cell, enclosing
from services.worker.engines.lines.formula import has_signs
from services.worker.engines.lines.line_box import LineBox, Row, characters_of, middle_of
from services.worker.engines.lines.order import rows as rows_of

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
# A row with fewer boxes than this share of the usual number has no say in where columns are: it heads a part of the
# table.
_MIN_VOTING_SHARE = 0.5
# A row with one cell continues the row above or below it where the step between both is less than this share of the
# usual one. Chosen: the lines of a cell are set solid, and rows are not.
_SOLID = 0.75
# Rows above the first whole row that may head several columns each, and by how much such a text may be off the middle
# of its columns: in body heights, or as a share of their width. Its characters at most: more are a line of text.
_MAX_HEADS = 2
_OFF_CENTRE, _OFF_CENTRE_SHARE = 1.0, 0.05
_MAX_HEAD_CHARACTERS = 60
# Signs of currency, which tables often set in a column of their own.
_CURRENCIES = frozenset("$€£¥")
# Share of the cells with a sign of a formula from which they are the parts of one.
_MAX_FORMULA_SHARE = 0.3
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
        """The texts of the boxes, line by line from left to right; a currency stands before its number."""
        parts = [box.line.text for row in rows_of(self.boxes) for box in row]
        return "".join(part if part in _CURRENCIES else f"{part} " for part in parts).removesuffix(" ")


def table_at(rows: Sequence[Row], start: int, body: float) -> tuple[int, list[Extent]]:
    """The end (exclusive) of a table that begins at row `start`, and its columns; (0, []) where none begins there.

    `body` is the height of the body text in pixels.
    """
    for heads in range(min(_MAX_HEADS, len(rows) - start - 1) + 1):
        if any(len(row) > 1 for row in rows[start : start + heads]):
            break
        stop, columns = _table_at(rows, start + heads, body)
        if stop and _heads_columns(rows[start : start + heads + 1], columns, body):
            return stop, columns
    return 0, []


def _table_at(rows: Sequence[Row], start: int, body: float) -> tuple[int, list[Extent]]:
    stop = _candidate_end(rows, start, body)
    while stop - start >= _MIN_ROWS:
        columns = columns_of(rows[start:stop], body)
        if len(columns) >= 2 and _is_table(rows[start:stop], columns):
            # The last row may be the heading of the next section, whose number and words are two boxes in one column.
            while _filled(_row_cells(rows[stop - 1], columns)) < 2:
                stop -= 1
            return stop, columns
        stop -= 1
        while stop > start and len(rows[stop - 1]) < 2:
            stop -= 1
    return 0, []


def _heads_columns(rows: Sequence[Row], columns: Sequence[Extent], body: float) -> bool:
    """Whether all rows but the last, which begins the table, stand close above it in the middle of several columns."""
    for row, below in pairwise(rows):
        if middle_of(below) - middle_of(row) > _MAX_ROW_STEP / 2 * body or row[0].characters > _MAX_HEAD_CHARACTERS:
            return False
        if _centred(row, columns, body, whole=False) is None:
            return False
    return True


def cells(
    rows: Sequence[Row], columns: Sequence[Extent], body: float, *, header_rows: int | None = None
) -> tuple[Cell, ...]:
    """The cells of a table, row by row; those of a row cover all columns. Their boxes are those of their lines.

    `header_rows` of the rows are known to head the columns; None where that is not known.
    """
    whole, heads = _whole_rows(rows, columns, header_rows)
    found: list[Cell] = []
    for at, row in enumerate(whole):
        is_above = at < (heads if heads is not None else _MAX_HEADS + 1)
        aligned = _row_cells(row, columns)
        is_title = len(row) == 1 and _reaches_over(row[0], columns, body)
        centred = _centred(row, columns, body) if is_above or is_title else None
        column = 0
        for cell in centred or aligned:
            box = enclosing([b.line for b in cell.boxes])
            header = heads is not None and at < heads
            found.append(Cell(row=at, column=column, text=cell.text, column_span=cell.span, header=header, box=box))
            column += cell.span
    return tuple(found)


def _reaches_over(box: LineBox, columns: Sequence[Extent], body: float) -> bool:
    """Whether a text that is alone in its row reaches out of every column, as the title of the rows below it may."""
    return not any(left - body <= box.left and box.right <= right + body for left, right in columns)


def is_columnar(rows: Sequence[Row], columns: Sequence[Extent]) -> bool:
    """Whether rows that rules set off are a table of these columns: cells, not prose, and words among them."""
    table = [_row_cells(row, columns) for row in rows]
    lengths = [characters_of(cell.text) for row in table for cell in row if cell.text]
    worded = any(
        2 * sum(any(map(str.isalpha, row[at].text)) for row in table if at < len(row)) > len(table)
        for at in range(len(columns))
    )
    return (
        sum(_filled(row) >= 2 for row in table) >= max(2, len(rows) / 2)
        and median(lengths) <= _MAX_CELL_CHARACTERS
        and worded
    )


def _whole_rows(
    rows: Sequence[Row], columns: Sequence[Extent], header_rows: int | None
) -> tuple[list[Row], int | None]:
    """The rows, those joined that are lines of the same cells, and how many of them head the columns."""
    filled = [_filled(_row_cells(row, columns)) for row in rows]
    steps = [
        middle_of(b) - middle_of(a) for (a, b), n in zip(pairwise(rows), pairwise(filled), strict=True) if min(n) > 1
    ]
    limit = _SOLID * median(steps) if steps else 0.0
    joined: list[list[Row]] = []
    is_whole = False
    for at, row in enumerate(rows):
        is_close = at > 0 and middle_of(row) - middle_of(rows[at - 1]) < limit
        # Of two whole rows each is one of its own, whatever stands between them.
        is_line = is_close and at != header_rows and (filled[at] == 1 or not is_whole)
        if is_line:
            joined[-1].append(row)
        else:
            joined.append([row])
        is_whole = filled[at] > 1 or (is_line and is_whole)
    heads, passed = 0, 0
    for group in joined:
        passed += len(group)
        heads += header_rows is not None and passed <= header_rows
    merged = [tuple(sorted((box for row in group for box in row), key=lambda b: b.left)) for group in joined]
    return merged, None if header_rows is None else heads


def _centred(row: Row, columns: Sequence[Extent], body: float, *, whole: bool = True) -> tuple[_RowCell, ...] | None:
    """The cells of a row whose texts stand in the middle of several columns each, but for the first column; else None.

    The columns of a text end halfway to the middle of the next. `whole`: it may stand in the middle of all columns too.
    """
    own, heads = (row[:1], row[1:]) if len(row) > 1 and row[0].left < columns[0][1] else ((), row)
    if not heads or len(heads) >= len(columns) - 1:
        return None
    for first in (1, 0) if whole and not own else (1,):
        middles = [(box.left + box.right) / 2 for box in heads]
        ends = [(a + b) / 2 for a, b in pairwise(middles)]
        begin = columns[first][0] if len(heads) == 1 else 2 * middles[0] - ends[0]
        found: list[_RowCell] = [_RowCell(boxes=own)] if own else []
        column = len(found)
        for box, middle, start, end in zip(heads, middles, [begin, *ends], [*ends, columns[-1][1]], strict=True):
            covered = [at for at in range(column, len(columns)) if start <= sum(columns[at]) / 2 <= end]
            if len(covered) < 2:
                break
            left, right = columns[covered[0]][0], columns[covered[-1]][1]
            if abs(middle - (left + right) / 2) > max(_OFF_CENTRE * body, _OFF_CENTRE_SHARE * (right - left)):
                break
            found.extend(_RowCell() for _ in range(covered[0] - column))
            found.append(_RowCell(boxes=(box,), span=len(covered)))
            column = covered[-1] + 1
        else:
            return (*found, *(_RowCell() for _ in range(len(columns) - column)))
    return None


def _candidate_end(rows: Sequence[Row], start: int, body: float) -> int:
    """The end of the rows that may be one table: close to each other, no prose, no two in a row with one box."""
    if len(rows[start]) < 2:
        return start
    stop = end = start + 1
    while end < len(rows) and middle_of(rows[end]) - middle_of(rows[end - 1]) <= _MAX_ROW_STEP * body:
        if len(rows[end]) == 1 and rows[end][0].characters > _MAX_HEAD_CHARACTERS:
            break
        end += 1
        if len(rows[end - 1]) >= 2:
            stop = end
        elif end - stop > 1:
            break
    return stop


def columns_of(rows: Sequence[Row], body: float, gap: float = _MIN_COLUMN_GAP) -> list[Extent]:
    """The columns, by vote: they end wherever at most `_MAX_CROSSING_SHARE` of the rows has text.

    `gap` is the least space between two columns, in body heights.
    """
    usual = median(len(row) for row in rows)
    rows = [row for row in rows if len(row) >= _MIN_VOTING_SHARE * usual]
    events = sorted((edge, step) for row in rows for b in row for edge, step in ((b.left, 1), (b.right, -1)))
    allowed = int(_MAX_CROSSING_SHARE * len(rows))
    columns: list[Extent] = []
    depth, opened = 0, None
    for edge, step in events:
        depth += step
        if opened is None and depth > allowed:
            opened = edge
        elif opened is not None and depth <= allowed:
            if columns and opened - columns[-1][1] < gap * body:
                columns[-1] = (columns[-1][0], edge)
            else:
                columns.append((opened, edge))
            opened = None
    return _with_currencies(columns, rows)


def _with_currencies(columns: Sequence[Extent], rows: Sequence[Row]) -> list[Extent]:
    """The columns, those of nothing but currencies joined with the numbers at their right."""
    found: list[Extent] = []
    pending: float | None = None
    for at, column in enumerate(columns):
        texts = {box.line.text for row in rows for box in row if column[0] <= (box.left + box.right) / 2 <= column[1]}
        if texts and texts <= _CURRENCIES and at + 1 < len(columns):
            pending = column[0] if pending is None else pending
            continue
        found.append((column[0] if pending is None else pending, column[1]))
        pending = None
    return found


def _is_table(rows: Sequence[Row], columns: Sequence[Extent]) -> bool:
    table = [_row_cells(row, columns) for row in rows]
    filled = sum(cell.span for row in table for cell in row if cell.text)
    lengths = [characters_of(cell.text) for row in table for cell in row if cell.text]
    real = sum(1 for row in table if _filled(row) >= 2)
    formulas = sum(has_signs(cell.text) for row in table for cell in row)
    return (
        real >= _MIN_ROWS
        and formulas < _MAX_FORMULA_SHARE * len(lengths)
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
