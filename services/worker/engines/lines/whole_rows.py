"""Rows of text that are lines of the same cells, joined to the rows of a table.

Lengths are in units of the body text's height, so that they hold at any DPI.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from services.worker.engines.lines.columns import Extent
from services.worker.engines.lines.heads import centred, is_title
from services.worker.engines.lines.line_box import LineBox, Row, middle_of
from services.worker.engines.lines.number import is_figure, is_number
from services.worker.engines.lines.row_cells import filled, row_cells

# A row with one cell continues the row above or below it where the step between both is less than this share of the
# usual one. Chosen: the lines of a cell are set solid, and rows are not.
_SOLID = 0.75
# The step to a further line of a cell at most, in usual ones. Chosen: more space stands above the title of a part.
_USUAL = 1.25
# Space at most between the lines of a name of a column, in heights of the lower line. Chosen: as above.
_MAX_SPACE = 0.5
# Rows with a number in front that show that rows are counted. Chosen: two numbers may follow each other by chance.
_MIN_COUNTED = 3
_ORDINAL = re.compile(r"(\d{1,3})[.)]?")
# Rows of a table with names of columns in two lines, at least.
_MIN_NAMED = 4
# Share of the rows of two columns that must have both, where those without the first go on with the second.
_MIN_PAIRS = 0.5


def whole_rows(
    rows: Sequence[Row], columns: Sequence[Extent], body: float, header_rows: int | None
) -> tuple[list[Row], int | None]:
    """The rows, those joined that are lines of the same cells, and how many of them head the columns."""
    texts = [_texts([row], columns) for row in rows]
    counts = [filled(row_cells(row, columns)) for row in rows]
    steps = [
        middle_of(b) - middle_of(a) for (a, b), n in zip(pairwise(rows), pairwise(counts), strict=True) if min(n) > 1
    ]
    usual = median(steps) if steps else 0.0
    counted, paired = _are_counted(texts), _are_pairs(texts)
    named_twice = header_rows is None and _names_in_two_lines(texts)
    joined: list[list[Row]] = []
    is_whole = False
    for at, row in enumerate(rows):
        step = middle_of(row) - middle_of(rows[at - 1]) if at else 0.0
        if not at or at == header_rows:
            is_line = False
        elif at == 1 and named_twice:
            is_line = True
        elif header_rows is not None and at < header_rows:
            is_line = _goes_on_heading(row, joined[-1], columns, body)
        elif step <= _USUAL * usual and not texts[at][0] and (counted or paired) and not is_title(row, columns, body):
            is_line = _is_further_line(texts[at], _texts(joined[-1], columns))
        else:
            # Of two whole rows each is one of its own, whatever stands between them.
            is_line = step < _SOLID * usual and (counts[at] == 1 or not is_whole)
        if is_line:
            joined[-1].append(row)
        else:
            joined.append([row])
        is_whole = counts[at] > 1 or (is_line and is_whole)
    heads, passed = 0, 0
    for group in joined:
        passed += len(group)
        heads += header_rows is not None and passed <= header_rows
    return [_merged(group) for group in joined], None if header_rows is None else heads


def _merged(rows: Sequence[Row]) -> Row:
    return tuple(sorted((box for row in rows for box in row), key=lambda b: b.left))


def _texts(rows: Sequence[Row], columns: Sequence[Extent]) -> list[str]:
    """The text in each column; that of a cell over several stands in the first of them."""
    found = []
    for cell in row_cells(_merged(rows), columns):
        found += [cell.text, *[""] * (cell.span - 1)]
    return found


def _goes_on_heading(row: Row, above: Sequence[Row], columns: Sequence[Extent], body: float) -> bool:
    """Whether a row of a header has further lines of the names above it, not names below one over several columns."""
    if all(any(_is_below(box, other) for other in above[-1]) for box in row):
        return True
    return centred(row, columns, body) is None and centred(_merged(above), columns, body) is None


def _is_below(box: LineBox, other: LineBox) -> bool:
    overlap = min(box.right, other.right) - max(box.left, other.left)
    return 2 * overlap >= min(box.width, other.width) and box.top - other.bottom < _MAX_SPACE * box.height


def _names_in_two_lines(texts: Sequence[Sequence[str]]) -> bool:
    """Whether the second row has further lines of names of columns beside each other, above rows of figures."""
    if len(texts) < _MIN_NAMED:
        return False
    first, second, *below = texts
    places = [at for at, text in enumerate(first) if text]
    # Names over several columns stand apart from each other.
    beside = len(places) > 1 and places[-1] - places[0] == len(places) - 1
    further = all(second[at] for at in places) and sum(map(bool, second)) > len(places)
    figures = sum(any(map(is_figure, row)) for row in below)
    return beside and further and not any(map(is_figure, (*first, *second))) and 2 * figures > len(below)


def _are_counted(texts: Sequence[Sequence[str]]) -> bool:
    """Whether the rows have numbers in front that count up."""
    numbers = [int(found[1]) for row in texts if row[0] and (found := _ORDINAL.fullmatch(row[0]))]
    named = sum(1 for row in texts if row[0])
    return len(numbers) == named >= _MIN_COUNTED and all(b == a + 1 for a, b in pairwise(numbers))


def _are_pairs(texts: Sequence[Sequence[str]]) -> bool:
    """Whether most rows are a name and what belongs to it."""
    return len(texts[0]) == 2 and sum(all(row) for row in texts) >= _MIN_PAIRS * len(texts)


def _is_further_line(row: Sequence[str], above: Sequence[str]) -> bool:
    """Whether what has no number or no name of its own belongs to the row above, which has one.

    A sum and a row of cells of their own do not.
    """
    both = sum(bool(text and other) for text, other in zip(row, above, strict=True))
    return bool(above[0]) and both <= 1 and not (len(row) == 2 and is_number(row[1]))
