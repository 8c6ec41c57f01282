"""Gutters: the white bands between columns of text, along which a page is cut.

A gutter is a vertical band that no line crosses, with lines of text on both sides. The band between two columns of a
table is none: the cells of a row belong together.

Lengths are in units of the median line height of the part of the page that is cut, so that they hold at any DPI. The
thresholds date from the first version of the reading order, whose development left no record of measurements; each
comment says what the value trades off, and `bench.accuracy` shows what a change does.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from statistics import median

import msgspec

from services.worker.engines.lines.line_box import LineBox

# A gutter's least width and length. Wider or longer would miss columns set close or of few lines; narrower or shorter
# would take the spaces between words for gutters.
_MIN_WIDTH = 0.7
_MIN_LENGTH = 2.5
# A narrow gutter has to be this long, and to lie between two columns of prose: boxes of tightly set columns nearly
# touch.
_NARROW_WIDTH = 0.1
_NARROW_LENGTH = 6.0
# Candidates are tried at the right edges of lines, rounded to a quarter: fine enough to hit every gutter, and it bounds
# the work on a page of many lines. Each candidate lies this far right of its edge.
_CANDIDATES_PER_UNIT = 4
_BESIDE_EDGE = 0.1
# By how much a line must reach over a band on both sides to cross it: a box may be a little longer than its text.
_CROSSING = 0.2
# Lines that may be taken off each end of a column, because they stand alone beyond the other column (a running head,
# the next heading). More would take a column apart that is longer than its neighbour. The gap before them must exceed:
_MAX_LOOSE = 2
_GAP_BELOW_HEAD = 1.0
_GAP_ABOVE_TAIL = 0.6
# Lines set into a gutter with text on both sides (a caption between two columns): as a share of the columns' lines, and
# what each takes off the gutter's length, which decides between gutters. Neighbours by height among which the text on
# both sides is looked for, and their overlap with the line as a share of its height.
_MAX_INSET_SHARE = 0.25
_INSET_LENGTH = 2
_INSET_NEIGHBOURS = 12
_INSET_OVERLAP = 0.3
# Two sides are cells of the same rows where this share of the lines of the shorter side is level, within this distance,
# with a line of the other. A higher share splits tables, a lower one joins columns that happen to be set level.
_MAX_ALIGNED_SHARE = 0.7
_LEVEL = 0.35
# A side is prose with this median length of its lines in characters, or a shorter one if the lines also fill this share
# of its width. Cells of tables are shorter, or ragged.
_LONG_LINE_CHARACTERS = 24
_PROSE_CHARACTERS = 16
_PROSE_FILL = 0.6
_MIN_PROSE_LINES = 3
# A column has at least two lines: one line beside others is a label.
_MIN_COLUMN_LINES = 2


class Gutter(msgspec.Struct, frozen=True, kw_only=True):
    """Where to cut: the lines above, left of, right of, set into and below the gutter, in reading order."""

    above: list[LineBox]
    left: list[LineBox]
    right: list[LineBox]
    inset: list[LineBox]
    below: list[LineBox]
    #: In pixels, less the part that inset lines take.
    length: float
    #: Too narrow to count except between columns of prose.
    narrow: bool


def longest_gutter(boxes: list[LineBox]) -> Gutter | None:
    """The longest gutter between columns of text, or None where the lines are one column or a table."""
    ordered = sorted(boxes, key=lambda b: b.middle)
    unit = median(b.height for b in boxes)
    best: Gutter | None = None
    for edge in sorted({round(b.right / unit * _CANDIDATES_PER_UNIT) for b in boxes}):
        for gutter in _gutters_at((edge / _CANDIDATES_PER_UNIT + _BESIDE_EDGE) * unit, ordered, unit):
            if (best is None or gutter.length > best.length) and _separates_columns(gutter, unit):
                best = gutter
    return best


def _gutters_at(x: float, ordered: list[LineBox], unit: float) -> list[Gutter]:
    """The stretches, down the page, in which no line crosses x, with text on both sides."""
    crossing = [i for i, b in enumerate(ordered) if _crosses(b, x, unit)]
    inset = {i for i in crossing if _is_inset(ordered, i)}
    found = []
    start = 0
    for stop in [*(i for i in crossing if i not in inset), len(ordered)]:
        run = [ordered[i] for i in range(start, stop) if i not in inset]
        set_in = [ordered[i] for i in range(start, stop) if i in inset]
        gutter = _cut(ordered[:start], run, set_in, ordered[stop:], x, unit)
        if gutter is not None:
            found.append(gutter)
        start = stop
    return found


def _crosses(box: LineBox, x: float, unit: float) -> bool:
    return box.left < x - _CROSSING * unit and box.right > x + _CROSSING * unit


def _cut(
    above: list[LineBox], run: list[LineBox], inset: list[LineBox], below: list[LineBox], x: float, unit: float
) -> Gutter | None:
    # The first line of a run may be the one that ended the run before it: it crosses x and stays above.
    crossing = [b for b in run[:1] if _crosses(b, x, unit)]
    above, run = [*above, *crossing], run[len(crossing) :]
    left = [b for b in run if (b.left + b.right) / 2 <= x]
    right = [b for b in run if (b.left + b.right) / 2 > x]
    left, right, heads, tails = _trim(left, right, unit)
    if min(len(left), len(right)) < _MIN_COLUMN_LINES or len(inset) > _MAX_INSET_SHARE * len(run):
        return None
    width = min(b.left for b in right) - max(b.right for b in left)
    length = min(left[-1].bottom, right[-1].bottom) - max(left[0].top, right[0].top)
    wide = width >= _MIN_WIDTH * unit and length >= _MIN_LENGTH * unit
    if not wide and not (width >= _NARROW_WIDTH * unit and length >= _NARROW_LENGTH * unit):
        return None
    return Gutter(
        above=[*above, *heads],
        left=left,
        right=right,
        inset=inset,
        below=[*tails, *below],
        length=length - _INSET_LENGTH * unit * len(inset),
        narrow=not wide,
    )


def _is_inset(ordered: list[LineBox], at: int) -> bool:
    """True for a line with text beside it on both sides: it ends no gutter."""
    box = ordered[at]
    left = right = False
    for other in ordered[max(0, at - _INSET_NEIGHBOURS) : at + _INSET_NEIGHBOURS + 1]:
        if min(box.bottom, other.bottom) - max(box.top, other.top) > _INSET_OVERLAP * box.height:
            left = left or other.right < box.left
            right = right or other.left > box.right
    return left and right


def _trim(
    left: list[LineBox], right: list[LineBox], unit: float
) -> tuple[list[LineBox], list[LineBox], list[LineBox], list[LineBox]]:
    """Both columns without the lines at their ends that stand alone beyond the other; then those, heads and tails."""
    heads: list[LineBox] = []
    tails: list[LineBox] = []
    for _ in range(_MAX_LOOSE):
        for column, other in ((left, right), (right, left)):
            if len(column) <= _MIN_COLUMN_LINES or len(other) < _MIN_COLUMN_LINES:
                continue
            if column[0].bottom < other[0].top and column[1].top - column[0].bottom > _GAP_BELOW_HEAD * unit:
                heads.append(column.pop(0))
            if column[-1].top > other[-1].bottom and column[-1].top - column[-2].bottom > _GAP_ABOVE_TAIL * unit:
                tails.insert(0, column.pop())
    return left, right, heads, tails


def _separates_columns(gutter: Gutter, unit: float) -> bool:
    """True where both sides are columns of text, not cells of the same rows."""
    if is_prose(gutter.left, unit) and is_prose(gutter.right, unit):
        return True
    if gutter.narrow:
        return False
    left, right = _facing(gutter.left, gutter.right), _facing(gutter.right, gutter.left)
    fewer, more = sorted((left, right), key=len)
    middles = sorted(b.middle for b in more)
    aligned = sum(1 for b in fewer if _distance_to_nearest(middles, b.middle) < _LEVEL * unit)
    return len(fewer) >= _MIN_COLUMN_LINES and aligned < _MAX_ALIGNED_SHARE * len(fewer)


def _distance_to_nearest(ordered: list[float], value: float) -> float:
    at = bisect_left(ordered, value)
    return min((abs(value - other) for other in ordered[max(0, at - 1) : at + 1]), default=math.inf)


def _facing(boxes: list[LineBox], other: list[LineBox]) -> list[LineBox]:
    """The boxes beside the other side's extent; a caption above or below it proves nothing about rows."""
    top, bottom = min(b.top for b in other), max(b.bottom for b in other)
    return [b for b in boxes if top <= b.middle <= bottom]


def is_prose(boxes: Sequence[LineBox], unit: float) -> bool:
    """Whether these boxes, one below the other, are lines of prose; `unit` is the median line height in pixels."""
    if len(boxes) < _MIN_PROSE_LINES:
        return False
    extent = max(b.right for b in boxes) - min(b.left for b in boxes)
    fill = median(b.width for b in boxes) / max(extent, unit)
    characters = median(b.characters for b in boxes)
    return characters >= _LONG_LINE_CHARACTERS or (fill >= _PROSE_FILL and characters >= _PROSE_CHARACTERS)
