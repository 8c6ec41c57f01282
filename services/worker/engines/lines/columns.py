"""The columns of a table, from the alignment of the text in its rows.

Lengths are in units of the body text's height, so that they hold at any DPI. How the values were found is not recorded
unless a comment says so; `bench.tables` shows what a change does.
"""

from bisect import bisect_left
from collections.abc import Sequence
from statistics import median
from typing import TypeAlias

from services.worker.engines.lines.line_box import LineBox, Row
from services.worker.engines.lines.number import stands_for_number

# Share of the rows that may have text across the space between two columns: a heading over several columns, or a cell
# that spans them, joins no columns. Fewer would lose such tables, more would find columns in prose.
_MAX_CROSSING_SHARE = 0.2
# Least space between two columns. Wider joins the columns of dense tables, narrower splits a column at the spaces of
# its words; it was 1.0 until columns were found by vote.
_MIN_COLUMN_GAP = 0.5
# The same between two columns of numbers, which have no spaces, and the share of their texts that must be numbers.
# Chosen: dense tables of figures leave less than half a digit between them.
_MIN_NUMBER_GAP, _NUMBER_SHARE = 0.15, 0.8
# A row with fewer boxes than this share of the usual number has no say in where columns are: it heads a part of the
# table.
_MIN_VOTING_SHARE = 0.5
#: Signs of currency, which tables often set in a column of their own.
CURRENCIES = frozenset("$€£¥")

#: Left and right edge, in pixels.
Extent: TypeAlias = tuple[float, float]


def columns_of(rows: Sequence[Row], body: float, gap: float = _MIN_COLUMN_GAP) -> list[Extent]:
    """The columns, by vote: they end wherever at most `_MAX_CROSSING_SHARE` of the rows has text.

    `gap` is the least space between two columns, in body heights.
    """
    usual = median(len(row) for row in rows)
    rows = [row for row in rows if len(row) >= _MIN_VOTING_SHARE * usual]
    events = sorted((edge, step) for row in rows for b in row for edge, step in ((b.left, 1), (b.right, -1)))
    allowed = int(_MAX_CROSSING_SHARE * len(rows))
    found: list[Extent] = []
    depth, opened = 0, None
    for edge, step in events:
        depth += step
        if opened is None and depth > allowed:
            opened = edge
        elif opened is not None and depth <= allowed:
            found.append((opened, edge))
            opened = None
    return _with_currencies(_apart(found, rows, gap * body, _MIN_NUMBER_GAP * body), rows)


def _apart(extents: Sequence[Extent], rows: Sequence[Row], gap: float, number_gap: float) -> list[Extent]:
    """The extents, those joined that stand too close to each other to be columns."""
    boxes = sorted((box for row in rows for box in row), key=lambda box: (box.left + box.right) / 2)
    found: list[Extent] = []
    for extent in extents:
        space = extent[0] - found[-1][1] if found else gap
        close = space < gap and not (space >= number_gap and all(_are_numbers(e, boxes) for e in (found[-1], extent)))
        if close:
            found[-1] = (found[-1][0], extent[1])
        else:
            found.append(extent)
    return found


def _are_numbers(extent: Extent, boxes: Sequence[LineBox]) -> bool:
    """Whether the texts whose middle is in the extent are numbers, but for the name of a column."""
    first, stop = (bisect_left(boxes, x, key=lambda box: (box.left + box.right) / 2) for x in extent)
    texts = [box.line.text for box in boxes[first:stop]]
    return sum(map(stands_for_number, texts)) >= _NUMBER_SHARE * len(texts) > 0


def _with_currencies(columns: Sequence[Extent], rows: Sequence[Row]) -> list[Extent]:
    """The columns, those of nothing but currencies joined with the numbers at their right, of percent with the left."""
    found: list[Extent] = []
    pending: float | None = None
    for at, column in enumerate(columns):
        texts = {box.line.text for row in rows for box in row if column[0] <= (box.left + box.right) / 2 <= column[1]}
        if texts == {"%"} and found:
            found[-1] = (found[-1][0], column[1])
            continue
        if texts and texts <= CURRENCIES and at + 1 < len(columns):
            pending = column[0] if pending is None else pending
            continue
        found.append((column[0] if pending is None else pending, column[1]))
        pending = None
    return found
