"""Reading order: lines of an upright page into the regions and rows in which a person reads them.

Pure geometry on boxes in pixels. A page is cut along its longest gutter, and each part again, until no gutter is left;
what remains is read row by row.
"""

from collections.abc import Sequence
from statistics import median

import msgspec

from libs.page.block import Line
from services.worker.engines.lines.gutter import longest_gutter
from services.worker.engines.lines.initials import placed
from services.worker.engines.lines.line_box import LineBox, Row, level

# The boxes of one row. How these values were found is not recorded; stricter ones split rows of a curved page, laxer
# ones join two rows that are set close.

# Least vertical overlap with the neighbour, as a share of the lower box's height.
_MIN_OVERLAP = 0.5
# Greatest distance between the middles of any two, as a share of the higher box's height: a row does not drift.
_MAX_DISTANCE = 0.8
# Greatest horizontal overlap with any box, as a share of the box's height: boxes over each other are two rows.
_MAX_COVER = 0.5
# Rows, the lowest so far, that a box may still join. The boxes come from top to bottom, so older rows have ended.
_OPEN_ROWS = 3
# Fewer lines than this have no two columns.
_MIN_LINES = 4
# Boxes side by side in rows, as on a page of cards: each begins with a heading so many times as high as the usual line,
# level with that of the box beside it within this distance, below this much space; in heights of the usual line.
# Chosen: sections of two columns of text do not begin level with each other but at their top.
_CARD_HEADING = 1.1
_CARD_LEVEL = 0.35
_CARD_SPACE = 1.5


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the page that is read row by row, from top to bottom."""

    rows: tuple[Row, ...]


def regions(lines: Sequence[Line]) -> list[Region]:
    """The page's regions in reading order; every line is in exactly one row of exactly one region."""
    return [Region(rows=rows(part)) for part in _parts(placed(level(lines))) if part]


def rows(boxes: Sequence[LineBox]) -> tuple[Row, ...]:
    """The boxes that stand beside each other, as rows from top to bottom."""
    found: list[list[LineBox]] = []
    for box in sorted(boxes, key=lambda b: (b.middle, b.left)):
        for row in reversed(found[-_OPEN_ROWS:]):
            if _belongs(box, row):
                row.append(box)
                break
        else:
            found.append([box])
    found.sort(key=lambda row: sum(b.middle for b in row) / len(row))
    return tuple(tuple(sorted(row, key=lambda b: b.left)) for row in found)


def _belongs(box: LineBox, row: Sequence[LineBox]) -> bool:
    # Compared with the nearest box, not with the row's mean: a line of a curved page stays one row.
    near = min(row, key=lambda b: max(b.left - box.right, box.left - b.right))
    overlap = min(box.bottom, near.bottom) - max(box.top, near.top)
    if overlap < _MIN_OVERLAP * min(box.height, near.height):
        return False
    if any(abs(box.middle - b.middle) > _MAX_DISTANCE * max(box.height, b.height) for b in row):
        return False
    return all(min(box.right, b.right) - max(box.left, b.left) < _MAX_COVER * box.height for b in row)


def _parts(boxes: list[LineBox]) -> list[list[LineBox]]:
    """The parts of the page that no gutter divides, in reading order."""
    gutter = longest_gutter(boxes) if len(boxes) >= _MIN_LINES else None
    if gutter is None:
        return [boxes]
    sides: tuple[list[LineBox], ...] = (gutter.above, gutter.left, gutter.right, gutter.inset, gutter.below)
    if (top := _second_row_of_cards(gutter.left, gutter.right)) is not None:
        between = [*gutter.left, *gutter.right, *gutter.inset]
        upper, lower = [b for b in between if b.middle < top], [b for b in between if b.middle >= top]
        sides = (gutter.above, upper, lower, gutter.below)
    return [part for side in sides if side for part in _parts(side)]


def _second_row_of_cards(left: Sequence[LineBox], right: Sequence[LineBox]) -> float | None:
    """Where the second row of boxes begins, if both columns are boxes whose headings stand beside each other."""
    unit = median(box.height for box in (*left, *right))
    first, *lefts = _card_headings(left, unit)
    other, *rights = _card_headings(right, unit)
    if first is None or other is None or abs(first.middle - other.middle) > _CARD_LEVEL * unit:
        return None
    tops = [
        min(a.top, b.top)
        for a in lefts
        for b in rights
        if a is not None and b is not None and abs(a.middle - b.middle) <= _CARD_LEVEL * unit
    ]
    return min(tops, default=None)


def _card_headings(column: Sequence[LineBox], unit: float) -> list[LineBox | None]:
    """The first box of the column if it may be a heading, else None; then those below a wide space that may be."""
    ordered = sorted(column, key=lambda box: box.top)
    high = [box if box.height >= _CARD_HEADING * unit else None for box in ordered]
    found, bottom = high[:1], ordered[0].bottom
    for box, heading in zip(ordered[1:], high[1:], strict=True):
        if heading is not None and box.top - bottom >= _CARD_SPACE * unit:
            found.append(heading)
        bottom = max(bottom, box.bottom)
    return found
