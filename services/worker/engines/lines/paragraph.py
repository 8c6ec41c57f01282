"""Where paragraphs end: by leading, indents and short last rows.

Lengths are in units of the body text's height unless noted, so that they hold at any DPI. How the values were found is
not recorded; each comment says what the value trades off, and `bench.accuracy` shows what a change does.
"""

from collections.abc import Sequence
from itertools import pairwise

from services.worker.engines.lines.line_box import Row, middle_of

# A step from row to row that begins a paragraph, in usual steps of the region. The usual step counts as at least the
# second value times the lower row's height: in a region of few rows it may be that of overlapping boxes.
_PARAGRAPH_LEADING = 1.45
_MIN_LEADING = 1.15
# Share of a region's steps that are smaller than the usual one. Chosen: a quarter of the rows go on a paragraph even in
# minutes and letters, and fewer steps are those of boxes that reach into each other.
_SOLID_SHARE = 0.25
# Indent of a paragraph's first row.
_INDENT = 0.8
# Heights of two rows, of the lower one, from which they are set in different sizes: as headings are.
_OTHER_SIZE = 1.35
# The same of two rows that are both larger than the text: a heading above a smaller one, else lines of one heading.
_OTHER_HEADING = 1.2
# From where an item begins: a row that begins as far to its left is no part of it, one as far to its right is.
_OUTDENT = 0.5
# A last row is short where it ends this share of the region's width before the right margin; the row after it begins a
# paragraph if it starts within so many body heights of the left margin.
_SHORT_ROW_SHARE = 0.2
_NEAR_LEFT_MARGIN = 3

# What the last row of a paragraph may end with.
_SENTENCE_ENDS = '.!?:;”"»'


def usual_step(rows: Sequence[Row]) -> float:
    """Distance from row to row within a paragraph, in pixels: where many are of one row, most steps are wider."""
    steps = sorted(middle_of(b) - middle_of(a) for a, b in pairwise(rows))
    return steps[int(_SOLID_SHARE * (len(steps) - 1))] if steps else 0.0


def height_of(row: Row) -> float:
    """In pixels, of the box with most text: a bracket does not make its row a heading."""
    return max(row, key=lambda box: len(box.line.text)).height


def text_of(row: Row) -> str:
    """The texts of the row from left to right; an initial begins a word."""
    return "".join(box.line.text if box.initial else f"{box.line.text} " for box in row).removesuffix(" ")


def is_apart(row: Row, before: Row, step: float) -> bool:
    """Whether there is more space between both rows than between those of a paragraph; `step` as in `usual_step`."""
    lower = min(height_of(row), height_of(before))
    return middle_of(row) - middle_of(before) > _PARAGRAPH_LEADING * max(step, _MIN_LEADING * lower)


def _are_aligned(row: Row, other: Row, body: float) -> bool:
    """Whether both rows begin at one place, end at one place, or have one middle."""
    left, right = row[0].left - other[0].left, row[-1].right - other[-1].right
    return min(abs(left), abs(right), abs(left + right) / 2) <= body


def begins_block(
    row: Row,
    before: Row,
    after: Row | None,
    item: Row | None,
    margins: tuple[float, float],
    step: float,
    body: float,
) -> bool:
    """True where `row` begins a block of its own instead of continuing the one of the row before.

    `item` is the first row of that block if it is a list item; `margins` are the edges of the region, `step` is its
    `usual_step` and `body` the height of the body text, in pixels.
    """
    lower, higher = sorted((height_of(row), height_of(before)))
    if higher > _OTHER_SIZE * lower:
        return True
    if lower > _OTHER_SIZE * body and (higher > _OTHER_HEADING * lower or not _are_aligned(row, before, body)):
        return True
    if is_apart(row, before, step):
        return True
    if lower >= _OTHER_SIZE * body:
        return False  # the lines of a title are often centred
    indented = row[0].left - before[0].left > _INDENT * body
    if indented and (after is None or row[0].left - after[0].left > _INDENT * body):
        # In a list the rows after the item's first are indented; in prose only the first row of a paragraph is.
        return item is None
    indent = row[0].left - item[0].left if item is not None else 0.0
    if indent < -_OUTDENT * body:
        return True
    short = margins[1] - before[-1].right > _SHORT_ROW_SHARE * (margins[1] - margins[0])
    ended = text_of(before)[-1:] in _SENTENCE_ENDS
    near = row[0].left - margins[0] < _NEAR_LEFT_MARGIN * body
    return short and ended and (near or indent > _OUTDENT * body)
