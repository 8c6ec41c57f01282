"""Bands of a ruled table that hold several rows: only the text shows where one ends.

A rule below the header and one at the foot are all that many tables have. The band between them is cut into its rows
where each line of text has entries in most columns, as numbers and dates are, or where space stands between them. Cells
of several lines, which are common too, have neither. Lengths are in units of the page's median line height.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from libs.page.block import Line, Rect
from services.worker.engines.lines.line_box import level
from services.worker.engines.lines.order import rows as text_rows
from services.worker.engines.lines.segment import Segment, is_bounded

# Rows of entries that a band needs, and their share of its rows. Chosen: two lines with a number in each may be one
# cell, such as two dates; the rest are names of groups of rows, and further lines of a cell.
_MIN_ROWS, _MIN_SHARE = 3, 0.5
# Characters of an entry at most, one of which is a digit. Chosen: above long amounts and dates, below a line of prose.
_MAX_ENTRY = 18


# Space between two rows at least, where space parts them. Chosen: the lines of a cell are set solid.
_SPACE = 0.5


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of text in a band."""

    top: float
    bottom: float
    #: By column.
    texts: dict[int, str]


def rules_between_rows(
    lines: Sequence[Line],
    edges: tuple[Sequence[float], Sequence[float]],
    rules: tuple[Sequence[Segment], Sequence[Segment]],
    unit: float,
) -> tuple[list[Segment], list[Segment]]:
    """Level and upright rules that are not drawn: between the rows of each band that has several, and its columns.

    `edges` are the places where columns and where bands end, `rules` the level and the upright rules of the table.
    """
    (xs, ys), (across, down) = edges, rules
    between: list[Segment] = []
    beside: list[Segment] = []
    for top, bottom in pairwise(ys):
        inside = [line for line in lines if top <= _middle(line) <= bottom]
        if bottom - top < _MIN_ROWS * unit or not (rows := _rows_of_band(_rows(inside, xs), unit)):
            continue
        # A cell that reaches over the edge of the band is none of its rows.
        whole = [
            (left, right)
            for left, right in pairwise(xs)
            if all(y in (ys[0], ys[-1]) or is_bounded(across, y, left, right, unit) for y in (top, bottom))
        ]
        ends = [(above.bottom + below.top) / 2 for above, below in pairwise(rows)]
        between += [Segment(y, left, right) for y in ends for left, right in whole]
        beside += [
            Segment(x, top, bottom)
            for x in xs[1:-1]
            if not is_bounded(down, x, top, bottom, unit)
            and not any(left < x < right for left, right in _spans(inside))
        ]
    return between, beside


def _rows_of_band(lines: Sequence[_Row], unit: float) -> list[_Row]:
    """The rows that these rows of text make; none where they are one."""
    joined = _joined(lines)
    if _has_entries(joined):
        return joined
    spaced: list[_Row] = []
    for line in lines:
        if spaced and line.top - spaced[-1].bottom < _SPACE * unit:
            spaced[-1] = _together(spaced[-1], line)
        else:
            spaced.append(line)
    return spaced if len(spaced) >= _MIN_ROWS and all(len(row.texts) > 1 for row in spaced) else []


def _rows(lines: Sequence[Line], xs: Sequence[float]) -> list[_Row]:
    found = []
    for row in text_rows(level(lines)):
        texts: dict[int, str] = {}
        for box in row:
            words = [(word.text, word.box[0], word.box[2]) for word in box.line.words]
            for text, left, right in words or [(box.line.text, box.left, box.right)]:
                column = bisect_right(xs, (left + right) / 2)
                texts[column] = f"{texts[column]} {text}" if column in texts else text
        found.append(_Row(top=min(box.top for box in row), bottom=max(box.bottom for box in row), texts=texts))
    return found


def _joined(rows: Sequence[_Row]) -> list[_Row]:
    """The rows, those joined with the one above that go on with its text in a column, and are alone in the others."""
    found: list[_Row] = []
    for row in rows:
        found.append(_together(found.pop(), row) if found and _continues(row, found[-1]) else row)
    return found


def _together(above: _Row, row: _Row) -> _Row:
    columns = {*above.texts, *row.texts}
    texts = {at: " ".join(one.texts[at] for one in (above, row) if at in one.texts) for at in columns}
    return _Row(top=above.top, bottom=max(above.bottom, row.bottom), texts=texts)


def _continues(row: _Row, above: _Row) -> bool:
    shared = row.texts.keys() & above.texts.keys()
    return len(shared) == 1 and all(row.texts[at][0].islower() for at in shared)


def _has_entries(rows: Sequence[_Row]) -> bool:
    columns = {at for row in rows for at in row.texts}
    full = [row for row in rows if 2 * len(row.texts) >= len(columns) and len(row.texts) > 1]
    if len(full) < max(_MIN_ROWS, _MIN_SHARE * len(rows)):
        return False
    return any(all(_is_entry(row.texts.get(at, "")) for row in full) for at in columns)


def _is_entry(text: str) -> bool:
    return len(text) <= _MAX_ENTRY and any(map(str.isdigit, text))


def _spans(lines: Sequence[Line]) -> Iterator[tuple[float, float]]:
    """Left and right edge of each word, or of each line that has none."""
    for line in lines:
        boxes: list[Rect] = [word.box for word in line.words]
        yield from ((box[0], box[2]) for box in boxes)
        if not boxes:
            xs = [x for x, _ in line.box]
            yield min(xs), max(xs)


def _middle(line: Line) -> float:
    return sum(y for _, y in line.box) / len(line.box)
