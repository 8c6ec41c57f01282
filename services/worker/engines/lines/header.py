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

# A number as tables have them: with signs, marks of currency and percent, separators, brackets.
_NUMBER = re.compile(r"[\s(+\-–−±<>~$€£¥%]*\d[\d\s.,:/'’%$€£¥)*\-–]*")
# What names a column although it is a number.
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")


def headed(cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells, those of the first row marked as headers where they are; a second row where the first has spans."""
    rows = table.rows(cells)
    count = _header_rows(rows)
    below = rows[count:]
    numbers = sum(1 for row in below if any(_NUMBER.fullmatch(cell.text) for cell in row))
    if not count or len(below) < _MIN_ROWS or numbers < _NUMBER_SHARE * len(below):
        return tuple(cells)
    return tuple(msgspec.structs.replace(cell, header=True) if cell.row < count else cell for cell in cells)


def _header_rows(rows: Sequence[Sequence[Cell]]) -> int:
    if not rows or not _names_columns(rows[0]):
        return 0
    spans = any(cell.column_span > 1 for cell in rows[0])
    return 2 if spans and len(rows) > 1 and _names_columns(rows[1]) else 1


def _names_columns(row: Sequence[Cell]) -> bool:
    """Whether two cells of the row or more have text, and none a number but for years."""
    texts = [cell.text for cell in row if cell.text]
    numbers = [text for text in texts if _NUMBER.fullmatch(text) and not _YEAR.fullmatch(text)]
    return len(texts) >= 2 and not numbers
