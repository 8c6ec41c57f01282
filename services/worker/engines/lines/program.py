"""Lines of a program, or of a terminal, among the rows of a region.

They are set in one pitch (every character is as wide as any other), and many of them have signs that prose has not.
Typewriting has one pitch too, so that both are asked for.
"""

import cmath
import re
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from libs.page.block import Line
from services.worker.engines.lines.line_box import LineBox, Row, middle_of

# What lines of programs, and of nothing else, end, begin, or are joined with; and what prose has now and then too.
_SIGNS = re.compile(
    r"[{}]$|^(?:[}\]]|//|/\*|#include|#!|\$\s[a-z./]|>>>|</?[a-z!]|(?:def|func)\s\w+\()"
    r"|\w\(\)|:=|==|=>|->|!=|&&|\|\||</\w|/>$"
)
_WEAK_SIGNS = re.compile(r"[=()\[\]].*;$|^(?:import|return|package|var|let|const|if|for|while)\b|^@\w+$")
# Shares of the rows with signs, and with either kind, at least; and rows at least. Chosen: half of a program's lines
# have none.
_MIN_SIGNS, _MIN_EITHER, _MIN_ROWS = 0.2, 0.4, 3
# By how much the width of a row may differ from that of its characters at the pitch, as a share of it, and at least in
# pitches. Where words have boxes, these are as wide as their advance; where they have not, the box of a line is wider
# than its ink by so many of its heights, and a character may be missing. Chosen: the
# rows of proportional print differ by 10 %.
_OFF_BY_WORDS, _OFF_BY_LINES = 0.02, 0.05
_LEAST_OFF_BY_WORDS, _LEAST_OFF_BY_LINES = 0.1, 1.0
_BOX_MARGIN = 0.35
# Characters of a row that shows a pitch at least.
_MIN_CHARACTERS = 8
# From row to row at most, in usual steps: more than so many empty lines end a program.
_MAX_STEP, _MAX_EMPTY = 3.5, 2


def programs(rows: Sequence[Row]) -> list[range]:
    """The rows of each program, from top to bottom."""
    found: list[range] = []
    start = 0
    while start < len(rows):
        run = _run(rows, start)
        run = range(max(run.start, found[-1].stop if found else 0), run.stop)
        if len(run) >= _MIN_ROWS and _has_signs([_text(rows[at]) for at in run]):
            found.append(run)
        start = max(run.stop, start + 1)
    return found


def text_of(rows: Sequence[Row]) -> str:
    """The rows of a program, with the spaces and empty lines that are printed."""
    pitch = median(pitch for row in rows if (pitch := _pitch(row)) is not None)
    steps = [middle_of(below) - middle_of(above) for above, below in pairwise(rows)]
    # Rows that are printed over each other have no step.
    step = max(median(steps), median(row[0].height for row in rows) / 2)
    placed = [_placed_texts(row) for row in rows]
    starts = [row[0][0] / pitch for row in placed]
    # Letters begin at different places of their width: the grid lies where all beginnings are nearest to it.
    grid = cmath.phase(sum(cmath.exp(2j * cmath.pi * start) for start in starts)) / (2 * cmath.pi)
    left = min(round(start - grid) for start in starts) + grid
    lines = [_in_columns(placed[0], left, pitch)]
    for row, space in zip(placed[1:], steps, strict=True):
        lines.extend([""] * min(round(space / step) - 1, _MAX_EMPTY))
        lines.append(_in_columns(row, left, pitch))
    return "\n".join(lines)


def _has_signs(texts: Sequence[str]) -> bool:
    signs = sum(_SIGNS.search(text) is not None for text in texts)
    weak = sum(_SIGNS.search(text) is None and _WEAK_SIGNS.search(text) is not None for text in texts)
    return signs >= _MIN_SIGNS * len(texts) and signs + weak >= _MIN_EITHER * len(texts)


def _run(rows: Sequence[Row], at: int) -> range:
    """The rows around `at` that are set in its pitch; none where it does not show one."""
    pitch = _pitch(rows[at])
    if pitch is None:
        return range(at, at)
    start, stop = at, at + 1
    while start > 0 and _has_pitch(rows[start - 1], pitch):
        start -= 1
    while stop < len(rows) and _has_pitch(rows[stop], pitch):
        stop += 1
    steps = [middle_of(below) - middle_of(above) for above, below in pairwise(rows[start:stop])]
    if not steps:
        return range(start, stop)
    far = [start + i + 1 for i, step in enumerate(steps) if step > _MAX_STEP * median(steps)]
    return range(max((i for i in far if i <= at), default=start), min((i for i in far if i > at), default=stop))


def _pitch(row: Row) -> float | None:
    """The width of a character in pixels; None where the row is too short to show it, or its words differ."""
    characters, width = _extent(row)
    if characters < _MIN_CHARACTERS:
        return None
    pitch = width / characters
    return pitch if _has_pitch(row, pitch) else None


def _has_pitch(row: Row, pitch: float) -> bool:
    """Whether the row, or each of its words where they are known, is as wide as its characters at this pitch."""
    if _has_advances(row):
        return all(
            abs(word.box[2] - word.box[0] - pitch * len(word.text))
            <= max(_LEAST_OFF_BY_WORDS * pitch, _OFF_BY_WORDS * pitch * len(word.text))
            for box in row
            for word in box.line.words
        )
    characters, width = _extent(row)
    return abs(width - pitch * characters) <= max(_LEAST_OFF_BY_LINES * pitch, _OFF_BY_LINES * width)


def _has_advances(row: Row) -> bool:
    """Whether each word is as wide as its characters advance: those of a text layer, not those that were recognised."""
    return all(box.line.words and box.line.confidence is None for box in row)


def _extent(row: Row) -> tuple[int, float]:
    """The characters of the row, and how wide they are together, in pixels."""
    if _has_advances(row):
        words = [word for box in row for word in box.line.words]
        return sum(len(word.text) for word in words), sum(word.box[2] - word.box[0] for word in words)
    characters = sum(len(box.line.text) for box in row)
    return characters, sum(box.width - _BOX_MARGIN * box.height for box in row)


def _text(row: Row) -> str:
    return " ".join(box.line.text for box in row)


def _in_columns(texts: Sequence[tuple[float, str]], left: float, pitch: float) -> str:
    """The texts of a row from these places on, each in its column; `left` is the place of the first, in pitches."""
    written = ""
    for start, text in texts:
        column = round(start / pitch - left)
        written += " " * max(column - len(written), 1 if written else 0) + text
    return written


def _placed_texts(row: Row) -> list[tuple[float, str]]:
    """The words of the row, or the texts of its boxes, each with the place of its left edge in pixels."""
    return [(start, text) for box in row for start, text in _texts(box, box.line)]


def _texts(box: LineBox, line: Line) -> list[tuple[float, str]]:
    if not line.words:
        return [(box.left, line.text)]
    # The boxes of words are those of the page, those of lines are level: only the distance within the line counts.
    first = line.words[0].box[0]
    return [(box.left + word.box[0] - first, word.text) for word in line.words]
