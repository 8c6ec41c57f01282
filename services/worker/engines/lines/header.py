"""Header cells of a table: its first rows, where they alone are bold, or numbers below show that they name columns."""

from collections.abc import Sequence

import msgspec

from libs.page import table
from libs.page.block import Cell, Line, Rect
from services.worker.engines.lines.number import is_figure, is_number

# Rows below the header at least, and the share of them that must hold a number. Chosen: a header above one row may as
# well be a row of its own, and a table of words alone does not show whether its first row is another.
_MIN_ROWS = 2
_NUMBER_SHARE = 0.5

# Rows of a header above the one that names each column.
_MAX_SPANNING = 2

# Rows in bold that may be a header at most, and the share of the lines below that may be bold too: names of rows and
# sums often are. Chosen.
_MAX_BOLD, _MAX_BOLD_SHARE = 3, 0.5


def headed(cells: Sequence[Cell], lines: Sequence[Line] = (), bold: frozenset[int] = frozenset()) -> tuple[Cell, ...]:
    """The cells, those of the first row marked as headers where they are; more rows where the first has spans.

    `lines` are the table's, `bold` has the `id` of each line in bold.
    """
    if any(cell.header for cell in cells):
        return tuple(cells)
    rows = table.rows(cells)
    count = max(_bold_rows(rows, lines, bold), _rows_above_numbers(rows))
    return tuple(msgspec.structs.replace(cell, header=True) if cell.row < count else cell for cell in cells)


def _bold_rows(rows: Sequence[Sequence[Cell]], lines: Sequence[Line], bold: frozenset[int]) -> int:
    """The first rows whose text is all bold, where they name several columns and most lines below are not bold."""
    rest = list(lines)
    count, names = 0, 0
    for row in rows[: _MAX_BOLD + 1]:
        boxes = [cell.box for cell in row if cell.text and cell.box is not None]
        own = [[line for line in rest if _is_in(line, box)] for box in boxes]
        if not own or not all(id(line) in bold for part in own for line in part):
            break
        count, names = count + 1, max(names, len(own))
        taken = {id(line) for part in own for line in part}
        rest = [line for line in rest if id(line) not in taken]
    below = sum(id(line) in bold for line in rest)
    return count if names > 1 and count <= _MAX_BOLD and rest and below < _MAX_BOLD_SHARE * len(rest) else 0


def _is_in(line: Line, box: Rect) -> bool:
    """Whether the middle of the line is in the box."""
    x, y = (sum(point[axis] for point in line.box) / len(line.box) for axis in (0, 1))
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _rows_above_numbers(rows: Sequence[Sequence[Cell]]) -> int:
    """The first rows that name columns, where most rows below them have a number."""
    count = _header_rows(rows)
    below = rows[count:]
    numbers = sum(1 for row in below if any(is_number(cell.text) for cell in row))
    return count if len(below) >= _MIN_ROWS and numbers >= _NUMBER_SHARE * len(below) else 0


def _header_rows(rows: Sequence[Sequence[Cell]]) -> int:
    """The rows up to one that names columns: those before it have spans; one text over several columns may follow."""
    # A title in a row of its own is above the header.
    titles = next((at for at, row in enumerate(rows) if len(row) > 1), 0)
    at = titles
    while at < min(titles + _MAX_SPANNING, len(rows)) and _spans(rows[at]) and not _numbers(rows[at]):
        at += 1
    if at < len(rows) and _names_columns(rows[at]):
        at += 1
    elif at == titles or not _names_columns(rows[at - 1]):
        return 0
    is_unit = at < len(rows) and _spans(rows[at]) and sum(1 for cell in rows[at] if cell.text) == 1
    return at + (is_unit and not _numbers(rows[at]))


def _spans(row: Sequence[Cell]) -> bool:
    return any(cell.column_span > 1 and cell.text for cell in row)


def _numbers(row: Sequence[Cell]) -> list[str]:
    """The texts of the row that are numbers but no years."""
    return [cell.text for cell in row if is_figure(cell.text)]


def _names_columns(row: Sequence[Cell]) -> bool:
    """Whether two cells of the row or more have text, and none a number but for years."""
    return sum(1 for cell in row if cell.text) >= 2 and not _numbers(row)
