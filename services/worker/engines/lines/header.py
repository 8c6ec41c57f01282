"""Header cells of a table: those of its first row, where the rows below show by their numbers that it names columns."""

import re
from collections.abc import Sequence

import msgspec

from libs.page import table
from libs.page.block import Cell

# Rows below the header at least, and the share of them that must hold a number. Chosen: a header above one row may as
# well be a row of its own, and a table of words alone does not show whether its first row is another.
_MIN_ROWS = 2
_NUMBER_SHARE = 0.5

# Rows of a header above the one that names each column.
_MAX_SPANNING = 2

# A number as tables have them: with signs, marks of currency and percent, separators, brackets.
_NUMBER = re.compile(r"[\s(+\-–−±<>~$€£¥%]*\d[\d\s.,:/'’%$€£¥)*\-–]*")
# What names a column although it is a number.
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")


def headed(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells, those of the first row marked as headers where they are; more rows where the first has spans."""
    if any(cell.header for cell in cells):
        return tuple(cells)
    rows = table.rows(cells)
    count = _header_rows(rows)
    below = rows[count:]
    numbers = sum(1 for row in below if any(_NUMBER.fullmatch(cell.text) for cell in row))
    if not count or len(below) < _MIN_ROWS or numbers < _NUMBER_SHARE * len(below):
        return tuple(cells)
    return tuple(msgspec.structs.replace(cell, header=True) if cell.row < count else cell for cell in cells)


def _header_rows(rows: Sequence[Sequence[Cell]]) -> int:
    """The rows up to one that names columns: those before it have spans; one text over several columns may follow."""
    at = 0
    while at < min(_MAX_SPANNING, len(rows)) and _spans(rows[at]) and not _numbers(rows[at]):
        at += 1
    if at < len(rows) and _names_columns(rows[at]):
        at += 1
    elif not at or not _names_columns(rows[at - 1]):
        return 0
    is_unit = at < len(rows) and _spans(rows[at]) and sum(1 for cell in rows[at] if cell.text) == 1
    return at + (is_unit and not _numbers(rows[at]))


def _spans(row: Sequence[Cell]) -> bool:
    return any(cell.column_span > 1 and cell.text for cell in row)


def _numbers(row: Sequence[Cell]) -> list[str]:
    """The texts of the row that are numbers but no years."""
    return [cell.text for cell in row if _NUMBER.fullmatch(cell.text) and not _YEAR.fullmatch(cell.text)]


def _names_columns(row: Sequence[Cell]) -> bool:
    """Whether two cells of the row or more have text, and none a number but for years."""
    return sum(1 for cell in row if cell.text) >= 2 and not _numbers(row)
