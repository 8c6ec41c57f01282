"""Drawn rules as segments along an axis: the pieces of each rule joined."""

from collections.abc import Iterable, Sequence

import msgspec

from libs.page.block import Rect

# Rules within this distance are one: double rules, and the two edges of a thick one. Ends as near to another rule meet
# it. In units of the page's median line height. Chosen: below the height of any row.
SAME = 0.3
# Share of a place's side that a rule must cover to bound it. Chosen: a rule may begin behind a thick corner.
_COVER = 0.6


class Segment(msgspec.Struct, frozen=True):
    """A rule along one axis, in pixels."""

    #: Its place across the axis.
    at: float
    start: float
    end: float


def by_axis(rules: Sequence[Rect], unit: float) -> tuple[list[Segment], list[Segment]]:
    """The level rules and the upright ones, the pieces of each joined."""
    level = [Segment((b[1] + b[3]) / 2, b[0], b[2]) for b in rules if b[2] - b[0] >= b[3] - b[1]]
    upright = [Segment((b[0] + b[2]) / 2, b[1], b[3]) for b in rules if b[2] - b[0] < b[3] - b[1]]
    return _merged(level, unit), _merged(upright, unit)


def is_bounded(rules: Iterable[Segment], at: float, start: float, end: float, unit: float) -> bool:
    """Whether a rule at this place covers most of the way from `start` to `end`."""
    covered = sum(
        max(0.0, min(rule.end, end) - max(rule.start, start)) for rule in rules if abs(rule.at - at) <= SAME * unit
    )
    return covered >= _COVER * (end - start)


def _merged(segments: Iterable[Segment], unit: float) -> list[Segment]:
    """The segments, those of one rule joined."""
    rows: list[list[Segment]] = []
    for segment in sorted(segments, key=lambda s: s.at):
        if rows and segment.at - rows[-1][0].at <= SAME * unit:
            rows[-1].append(segment)
        else:
            rows.append([segment])
    joined: list[Segment] = []
    for row in rows:
        at = sum(s.at for s in row) / len(row)
        start, end = None, 0.0
        for segment in sorted(row, key=lambda s: s.start):
            if start is not None and segment.start <= end + SAME * unit:
                end = max(end, segment.end)
                continue
            if start is not None:
                joined.append(Segment(at, start, end))
            start, end = segment.start, segment.end
        if start is not None:
            joined.append(Segment(at, start, end))
    return joined
