"""Reading order: lines of an upright page into the regions, rows and cells in which a person reads them.

Pure geometry on boxes in pixels. A page is cut again and again along its longest gutter (a strip that no line
crosses and that has lines of text on both sides); what has no gutter left is read row by row. A gutter between the
columns of a table is no gutter: there the rows belong together.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from statistics import median

import msgspec

from services.worker.engines.engine import Line

_GUTTER = 0.7
_NARROW_GUTTER = 0.1
_MIN_RUN = 2.5
_LONG_RUN = 6.0
_LOOSE = 2
_ALIGNED = 0.7
_LEVEL = 0.35
_PROSE_CHARACTERS = 16
_LONG_LINE = 24
_PROSE_FILL = 0.6
_SAME_ROW = 0.5


class Strip(msgspec.Struct, frozen=True, kw_only=True):
    """A line levelled: its extent in pixels after the tilt of the page was taken out."""

    line: Line
    left: float
    right: float
    middle: float
    height: float

    @property
    def top(self) -> float:
        """Upper edge, in pixels."""
        return self.middle - self.height / 2

    @property
    def bottom(self) -> float:
        """Lower edge, in pixels."""
        return self.middle + self.height / 2

    @property
    def width(self) -> float:
        """Length of the line, in pixels."""
        return self.right - self.left


Row = tuple[Strip, ...]


class Region(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the page that is read row by row, top to bottom; each row holds its strips from left to right."""

    rows: tuple[Row, ...]


def regions(lines: Sequence[Line]) -> list[Region]:
    """The page's regions in reading order; every line is in exactly one row of exactly one region."""
    strips = level(lines)
    return [Region(rows=rows(part)) for part in _flow(strips) if part]


def level(lines: Sequence[Line]) -> list[Strip]:
    """The lines with the page's common tilt taken out of their coordinates."""
    tilt = _tilt(lines)
    cosine, sine = math.cos(tilt), math.sin(tilt)
    strips = []
    for line in lines:
        xs = [x * cosine + y * sine for x, y in line.box]
        ys = [y * cosine - x * sine for x, y in line.box]
        (ax, ay), (bx, by), _, (dx, dy) = line.box
        long, short = math.hypot(bx - ax, by - ay), math.hypot(dx - ax, dy - ay)
        upright = abs(by - ay) > abs(bx - ax)
        height = max(1.0, (long if upright else short))
        centre = sum(xs) / 4
        half = max(1.0, (short if upright else long)) / 2
        strips.append(Strip(line=line, left=centre - half, right=centre + half, middle=sum(ys) / 4, height=height))
    return strips


def _tilt(lines: Sequence[Line]) -> float:
    angles = []
    for line in lines:
        (ax, ay), (bx, by), _, (dx, dy) = line.box
        long, short = math.hypot(bx - ax, by - ay), math.hypot(dx - ax, dy - ay)
        if long > 5 * short and abs(bx - ax) > abs(by - ay):
            angles.append((math.atan2(by - ay, bx - ax), long))
    if len(angles) < 3:
        return 0.0
    angles.sort()
    half, passed = sum(length for _, length in angles) / 2, 0.0
    for angle, length in angles:
        passed += length
        if passed >= half:
            # Beyond this the page was not set upright, and levelling would only scramble it.
            return angle if abs(angle) < math.radians(20) else 0.0
    return 0.0


def rows(strips: Sequence[Strip]) -> tuple[Row, ...]:
    """Strips that stand beside each other, top to bottom, each row from left to right."""
    found: list[list[Strip]] = []
    for strip in sorted(strips, key=lambda s: (s.middle, s.left)):
        for row in reversed(found[-3:]):
            if _beside(strip, row):
                row.append(strip)
                break
        else:
            found.append([strip])
    found.sort(key=lambda row: sum(s.middle for s in row) / len(row))
    return tuple(tuple(sorted(row, key=lambda s: s.left)) for row in found)


def _beside(strip: Strip, row: Sequence[Strip]) -> bool:
    # The neighbour in the row decides, not its mean: a slightly curved line stays one row.
    near = min(row, key=lambda s: max(s.left - strip.right, strip.left - s.right))
    shared = min(strip.bottom, near.bottom) - max(strip.top, near.top)
    if shared < _SAME_ROW * min(strip.height, near.height):
        return False
    if any(abs(strip.middle - s.middle) > 0.8 * max(strip.height, s.height) for s in row):
        return False
    return all(min(strip.right, s.right) - max(strip.left, s.left) < 0.5 * strip.height for s in row)


class _Gutter(msgspec.Struct, frozen=True, kw_only=True):
    """Where to cut: the strips before, left of, right of, set into and after the gutter.

    `length` is how far it reaches, in pixels; a `narrow` one is believed only between columns of prose.
    """

    above: list[Strip]
    left: list[Strip]
    right: list[Strip]
    apart: list[Strip]
    below: list[Strip]
    length: float
    narrow: bool


def _flow(strips: list[Strip]) -> list[list[Strip]]:
    if len(strips) < 4:
        return [strips]
    gutter = _best_gutter(strips)
    if gutter is None:
        return [strips]
    parts = (gutter.above, gutter.left, gutter.right, gutter.apart, gutter.below)
    return [region for part in parts if part for region in _flow(part)]


def _best_gutter(strips: list[Strip]) -> _Gutter | None:
    ordered = sorted(strips, key=lambda s: s.middle)
    unit = median(s.height for s in strips)
    best: _Gutter | None = None
    # A quarter of a line is fine enough to hit every gutter, and bounds the work on a page of many lines.
    for edge in sorted({round(s.right / unit * 4) for s in strips}):
        for gutter in _runs(ordered, (edge / 4 + 0.1) * unit, unit):
            if (best is None or gutter.length > best.length) and _separates(gutter, unit):
                best = gutter
    return best


def _runs(ordered: list[Strip], x: float, unit: float) -> list[_Gutter]:
    """The stretches of the page in which no strip crosses x, with text on both sides."""
    crossing = [i for i, s in enumerate(ordered) if s.left < x - 0.2 * unit and s.right > x + 0.2 * unit]
    inset = {i for i in crossing if _is_inset(ordered, i)}
    found = []
    start = 0
    for stop in [*(i for i in crossing if i not in inset), len(ordered)]:
        run = [ordered[i] for i in range(start, stop) if i not in inset]
        apart = [ordered[i] for i in range(start, stop) if i in inset]
        gutter = _cut(ordered[:start], run, apart, ordered[stop:], x, unit)
        if gutter is not None:
            found.append(gutter)
        start = stop
    return found


def _cut(
    above: list[Strip], run: list[Strip], apart: list[Strip], below: list[Strip], x: float, unit: float
) -> _Gutter | None:
    # The strip that ended the run before this one crosses x: it stays above.
    crossing = [s for s in run[:1] if s.left < x - 0.2 * unit and s.right > x + 0.2 * unit]
    above, run = [*above, *crossing], run[len(crossing) :]
    left = [s for s in run if (s.left + s.right) / 2 <= x]
    right = [s for s in run if (s.left + s.right) / 2 > x]
    left, right, heads, tails = _trim(left, right, unit)
    if len(left) < 2 or len(right) < 2 or len(apart) > 0.25 * len(run):
        return None
    gap = min(s.left for s in right) - max(s.right for s in left)
    length = min(left[-1].bottom, right[-1].bottom) - max(left[0].top, right[0].top)
    wide = gap >= _GUTTER * unit and length >= _MIN_RUN * unit
    if not wide and not (gap >= _NARROW_GUTTER * unit and length >= _LONG_RUN * unit):
        return None
    return _Gutter(
        above=[*above, *heads],
        left=left,
        right=right,
        apart=apart,
        below=[*tails, *below],
        length=length - 2 * unit * len(apart),
        narrow=not wide,
    )


def _is_inset(ordered: list[Strip], at: int) -> bool:
    """True for a strip with text beside it on both sides (a caption set into two columns), which parts nothing."""
    strip = ordered[at]
    left = right = False
    for other in ordered[max(0, at - 12) : at + 13]:
        if min(strip.bottom, other.bottom) - max(strip.top, other.top) > 0.3 * strip.height:
            left = left or other.right < strip.left
            right = right or other.left > strip.right
    return left and right


def _trim(
    left: list[Strip], right: list[Strip], unit: float
) -> tuple[list[Strip], list[Strip], list[Strip], list[Strip]]:
    """Takes from the ends of two columns what stands alone beyond the other: running heads, the next heading."""
    heads: list[Strip] = []
    tails: list[Strip] = []
    for _ in range(_LOOSE):
        for column, other in ((left, right), (right, left)):
            if len(column) < 3 or len(other) < 2:
                continue
            if column[0].bottom < other[0].top and column[1].top - column[0].bottom > unit:
                heads.append(column.pop(0))
            if column[-1].top > other[-1].bottom and column[-1].top - column[-2].bottom > 0.6 * unit:
                tails.insert(0, column.pop())
    return left, right, heads, tails


def _separates(gutter: _Gutter, unit: float) -> bool:
    """True where both sides are columns of text, not cells of the same rows."""
    if _is_prose(gutter.left, unit) and _is_prose(gutter.right, unit):
        return True
    if gutter.narrow:
        return False
    left, right = _facing(gutter.left, gutter.right), _facing(gutter.right, gutter.left)
    fewer, more = sorted((left, right), key=len)
    middles = sorted(s.middle for s in more)
    matched = sum(1 for s in fewer if _nearest(middles, s.middle) < _LEVEL * unit)
    return len(fewer) >= 2 and matched < _ALIGNED * len(fewer)


def _nearest(ordered: list[float], value: float) -> float:
    at = bisect_left(ordered, value)
    return min((abs(value - other) for other in ordered[max(0, at - 1) : at + 1]), default=math.inf)


def _facing(strips: list[Strip], other: list[Strip]) -> list[Strip]:
    """The strips that have the other side beside them; a caption above or below says nothing of rows."""
    top, bottom = min(s.top for s in other), max(s.bottom for s in other)
    return [s for s in strips if top <= s.middle <= bottom]


def _is_prose(strips: list[Strip], unit: float) -> bool:
    if len(strips) < 3:
        return False
    extent = max(s.right for s in strips) - min(s.left for s in strips)
    fill = median(s.width for s in strips) / max(extent, unit)
    characters = median(len(s.line.text) for s in strips)
    return characters >= _LONG_LINE or (fill >= _PROSE_FILL and characters >= _PROSE_CHARACTERS)
