"""Tables among the rows of a region: found by alignment alone, drawn rules are not looked at.

Lengths are in units of the body text's height, so that they hold at any DPI. How the values were found is not recorded;
each comment says what the value trades off, and `bench.accuracy` shows what a change does.
"""

from collections.abc import Sequence
from statistics import median

from libs.page.block import Cell, enclosing
from services.worker.engines.lines.columns import Extent, columns_of
from services.worker.engines.lines.formula import has_signs
from services.worker.engines.lines.heads import MAX_CHARACTERS, centred, head_columns, is_title
from services.worker.engines.lines.line_box import Row, characters_of, middle_of
from services.worker.engines.lines.row_cells import filled, row_cells
from services.worker.engines.lines.whole_rows import whole_rows

# Rows with two cells at least that a table needs. Two such rows are as often a label beside a value.
_MIN_ROWS = 3
# Greatest step between the middles of two rows; beyond it a new table or the text below begins.
_MAX_ROW_STEP = 4.0
# Share of the cells that must hold text, and the greatest median of their lengths in characters: text set in columns is
# full of long cells, lines that are level by chance leave most cells empty.
_MIN_FILLED_SHARE = 0.6
_MAX_CELL_CHARACTERS = 40
# Rows above the first whole row that may head several columns each.
_MAX_HEADS = 2
# Share of the cells with a sign of a formula from which they are the parts of one.
_MAX_FORMULA_SHARE = 0.3


def table_at(rows: Sequence[Row], start: int, body: float) -> tuple[int, list[Extent]]:
    """The end (exclusive) of a table that begins at row `start`, and its columns; (0, []) where none begins there.

    `body` is the height of the body text in pixels.
    """
    for heads in range(min(_MAX_HEADS, len(rows) - start - 1) + 1):
        if any(len(row) > 1 for row in rows[start : start + heads]):
            break
        stop, columns = _table_at(rows, start + heads, body)
        if stop and head_columns(rows[start : start + heads + 1], columns, body):
            return stop, columns
    return 0, []


def _table_at(rows: Sequence[Row], start: int, body: float) -> tuple[int, list[Extent]]:
    stop = _candidate_end(rows, start, body)
    while stop - start >= _MIN_ROWS:
        columns = columns_of(rows[start:stop], body)
        if len(columns) >= 2 and _is_table(rows[start:stop], columns):
            # The last row may be the heading of the next section, whose number and words are two boxes in one column.
            while filled(row_cells(rows[stop - 1], columns)) < 2:
                stop -= 1
            return stop, columns
        stop -= 1
        while stop > start and len(rows[stop - 1]) < 2:
            stop -= 1
    return 0, []


def cells(
    rows: Sequence[Row], columns: Sequence[Extent], body: float, *, header_rows: int | None = None
) -> tuple[Cell, ...]:
    """The cells of a table, row by row; those of a row cover all columns. Their boxes are those of their lines.

    `header_rows` of the rows are known to head the columns; None where that is not known.
    """
    extent = (min(row[0].left for row in rows), max(box.right for row in rows for box in row))
    whole, heads = whole_rows(rows, columns, body, header_rows)
    found: list[Cell] = []
    for at, row in enumerate(whole):
        is_above = at < (heads if heads is not None else _MAX_HEADS + 1)
        aligned = row_cells(row, columns)
        heading = centred(row, columns, body, whole=extent) if is_above or is_title(row, columns, body) else None
        column = 0
        for cell in heading or aligned:
            box = enclosing([b.line for b in cell.boxes])
            header = heads is not None and at < heads
            found.append(Cell(row=at, column=column, text=cell.text, column_span=cell.span, header=header, box=box))
            column += cell.span
    return tuple(found)


def is_columnar(rows: Sequence[Row], columns: Sequence[Extent]) -> bool:
    """Whether rows that rules set off are a table of these columns: cells, not prose, and words among them."""
    table = [row_cells(row, columns) for row in rows]
    lengths = [characters_of(cell.text) for row in table for cell in row if cell.text]
    worded = any(
        2 * sum(any(map(str.isalpha, row[at].text)) for row in table if at < len(row)) > len(table)
        for at in range(len(columns))
    )
    return (
        sum(filled(row) >= 2 for row in table) >= max(2, len(rows) / 2)
        and median(lengths) <= _MAX_CELL_CHARACTERS
        and worded
    )


def _candidate_end(rows: Sequence[Row], start: int, body: float) -> int:
    """The end of the rows that may be one table: close to each other, no prose, no two in a row with one box."""
    if len(rows[start]) < 2:
        return start
    stop = end = start + 1
    while end < len(rows) and middle_of(rows[end]) - middle_of(rows[end - 1]) <= _MAX_ROW_STEP * body:
        if len(rows[end]) == 1 and rows[end][0].characters > MAX_CHARACTERS:
            break
        end += 1
        if len(rows[end - 1]) >= 2:
            stop = end
        elif end - stop > 1:
            break
    return stop


def _is_table(rows: Sequence[Row], columns: Sequence[Extent]) -> bool:
    table = [row_cells(row, columns) for row in rows]
    places = sum(cell.span for row in table for cell in row if cell.text)
    lengths = [characters_of(cell.text) for row in table for cell in row if cell.text]
    real = sum(1 for row in table if filled(row) >= 2)
    formulas = sum(has_signs(cell.text) for row in table for cell in row)
    return (
        real >= _MIN_ROWS
        and formulas < _MAX_FORMULA_SHARE * len(lengths)
        and places >= _MIN_FILLED_SHARE * len(rows) * len(columns)
        and median(lengths) <= _MAX_CELL_CHARACTERS
    )
