"""Boxes of lines in level coordinates: what reading order, tables and paragraphs are found from."""

import math
from collections.abc import Sequence
from unicodedata import east_asian_width

import msgspec

from libs.page.block import Line

# Lines that show the page's tilt: at least so many times as long as high (shorter boxes have no exact angle), and at
# least so many of them.
_MIN_ASPECT = 5
_MIN_LINES = 3
# Degrees. A page tilted by more was not set upright, and level coordinates would only scramble it.
_MAX_TILT = 20


class LineBox(msgspec.Struct, frozen=True, kw_only=True):
    """A line and its extent in pixels, after the page's tilt is taken out of the coordinates."""

    line: Line
    left: float
    right: float
    #: Halfway between the upper and the lower edge.
    middle: float
    height: float
    #: Of the text, as `characters_of` counts.
    characters: int
    #: A large initial, placed on the row that it begins; the text of that row follows it without a space.
    initial: bool = False

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


#: Boxes beside each other, from left to right.
Row = tuple[LineBox, ...]


def level(lines: Sequence[Line]) -> list[LineBox]:
    """The boxes of the lines, in the same order, with the page's common tilt taken out."""
    tilt = _tilt(lines)
    cosine, sine = math.cos(tilt), math.sin(tilt)
    boxes = []
    for line in lines:
        xs = [x * cosine + y * sine for x, y in line.box]
        ys = [y * cosine - x * sine for x, y in line.box]
        (ax, ay), (bx, by), _, (dx, dy) = line.box
        long, short = math.hypot(bx - ax, by - ay), math.hypot(dx - ax, dy - ay)
        upright = abs(by - ay) > abs(bx - ax)
        height = max(1.0, (long if upright else short))
        centre = sum(xs) / 4
        half = max(1.0, (short if upright else long)) / 2
        boxes.append(
            LineBox(
                line=line,
                left=centre - half,
                right=centre + half,
                middle=sum(ys) / 4,
                height=height,
                characters=characters_of(line.text),
            )
        )
    return boxes


def middle_of(row: Row) -> float:
    """Where the row stands: the mean of its boxes, in pixels from the top."""
    return sum(b.middle for b in row) / len(row)


def characters_of(text: str) -> int:
    """How long the text is: wide characters, as those of Chinese and Japanese, count twice."""
    return len(text) if text.isascii() else sum(1 + (east_asian_width(character) in "WF") for character in text)


def _tilt(lines: Sequence[Line]) -> float:
    """The page's clockwise tilt in radians: the median over long lines, weighted by their length; 0.0 if unknown."""
    angles = []
    for line in lines:
        (ax, ay), (bx, by), _, (dx, dy) = line.box
        long, short = math.hypot(bx - ax, by - ay), math.hypot(dx - ax, dy - ay)
        if long > _MIN_ASPECT * short and abs(bx - ax) > abs(by - ay):
            angles.append((math.atan2(by - ay, bx - ax), long))
    if len(angles) < _MIN_LINES:
        return 0.0
    angles.sort()
    half, passed = sum(length for _, length in angles) / 2, 0.0
    for angle, length in angles:
        passed += length
        if passed >= half:
            return angle if abs(angle) < math.radians(_MAX_TILT) else 0.0
    return 0.0
