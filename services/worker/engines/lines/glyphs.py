"""Glyphs: connected components of ink about as large as a character, for text that the detection network misses.

The network is trained on lines of words. It takes a column of short cells (the digits of a table) for one tall shape
and often misses a lone digit. The ink itself is plain: tall boxes are cut into the rows of glyphs that they hold, and
glyphs that no box covers are put together to further boxes.

Lengths are in units of the median glyph height unless noted. On a dense tax table this step raised the words read from
152 of 963 to nearly all, and it left pages of prose unchanged; how each single value was found is not recorded.
"""

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from services.worker.engines.lines.detector import Quads, height_of
from services.worker.engines.picture import Pixels

#: Rectangles (n, 4): left, top, right, bottom in pixels.
Rectangles = npt.NDArray[np.float64]

# Grey values (0 to 255) by which ink is darker than the mean of its surroundings. Lower finds show-through and noise,
# higher loses faint print. The surroundings are a square whose side is the page's shorter side divided by this, and at
# least so many pixels (odd, as OpenCV demands): several characters wide.
_INK_CONTRAST = 25
_SURROUNDINGS_DIVISOR = 40
_MIN_SURROUNDINGS = 31
# What may be a character: its height in pixels and as a share of the page's height, its width as a multiple of its
# height and the reverse. Smaller components are noise; larger ones are pictures, long ones rules.
_MIN_HEIGHT_PIXELS = 5
_MAX_HEIGHT_SHARE = 0.1
_MAX_WIDTH_TO_HEIGHT = 3
_MAX_HEIGHT_TO_WIDTH = 8
# Fewer such components on a page have no usual height.
_MIN_COMPONENTS = 20
# Height and width of a glyph: from small letters to those with ascenders and descenders; two joined letters are as
# wide.
_MIN_HEIGHT, _MAX_HEIGHT, _MAX_WIDTH = 0.6, 1.8, 2.5
# Width over height, or the reverse, from which a component is a rule of a table; and its length up to which it may be a
# thin letter or a dash.
_RULE_ASPECT = 8
_MAX_STROKE = 2.5
# Height from which a box holds more than one line. Lower values cut lines with ascenders, descenders and margins in
# two.
_TALL = 2.7
# Share of a tall box's ink that must be its glyphs'. Below it the box holds larger letters, such as a heading's, which
# are one line however high.
_MIN_GLYPH_INK_SHARE = 0.8
# Height of the highest row in a tall box, beyond which the box is no column of rows.
_MAX_ROW_HEIGHT = 1.6
# What is level with a row belongs to it, such as full stops and wide letters, up to this multiple of the row's height.
_MAX_HEIGHT_IN_ROW = 1.5
# White space that separates two cells of a row within a box, and two words outside of boxes, where cells are words too.
_CELL_GAP = 2.0
_WORD_GAP = 0.45
# Margin around a box's glyphs. The detection network's boxes, for which recognition is made, have one too.
_MARGIN = 0.22
# Uncovered glyphs on a page, beyond which they are the texture of a picture: they would cost more than all its lines.
_MAX_UNCOVERED = 1500
# Vertical overlap of two glyphs of one line, as a share of the lower one's height.
_LINE_OVERLAP = 0.5
# A column of cells: so many boxes that are at most so wide and whose right edges differ by less than this.
_MIN_COLUMN_BOXES = 3
_MAX_CELL_WIDTH = 4
_EDGE_TOLERANCE = 0.5


class Glyphs(msgspec.Struct, frozen=True, kw_only=True):
    """The glyphs of a page, and the other components of ink, rules left out."""

    rectangles: Rectangles
    #: Pixels of ink of each glyph.
    areas: npt.NDArray[np.float64]
    #: Components that are larger or smaller than a glyph.
    others: Rectangles
    other_areas: npt.NDArray[np.float64]
    #: Components that are as narrow as a rule and no longer than a dash.
    strokes: Rectangles
    #: Median height of a component that may be a character, in pixels.
    height: float


def find(pixels: Pixels) -> Glyphs | None:
    """The glyphs of a page, or `None` where there are too few components to know the size of a character."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    around = max(_MIN_SURROUNDINGS, (min(grey.shape) // _SURROUNDINGS_DIVISOR) | 1)
    ink = cv2.adaptiveThreshold(grey, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, around, _INK_CONTRAST)
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    left, top, width, height, areas = stats[1:].astype(np.float64).T
    plausible = (height >= _MIN_HEIGHT_PIXELS) & (height <= _MAX_HEIGHT_SHARE * grey.shape[0])
    plausible &= (width <= _MAX_WIDTH_TO_HEIGHT * height) & (height <= _MAX_HEIGHT_TO_WIDTH * width)
    if plausible.sum() < _MIN_COMPONENTS:
        return None
    usual = float(np.median(height[plausible]))
    sized = plausible & (height >= _MIN_HEIGHT * usual) & (height <= _MAX_HEIGHT * usual)
    sized &= width <= _MAX_WIDTH * usual
    rectangles = np.stack([left, top, left + width, top + height], axis=1)
    # Rules run through the columns of a table: as ink of a box they would hide its glyphs' share.
    rules = (height > _RULE_ASPECT * width) | (width > _RULE_ASPECT * height)
    others = ~sized & ~rules
    strokes = rules & (np.maximum(width, height) <= _MAX_STROKE * usual)
    return Glyphs(
        rectangles=rectangles[sized],
        areas=areas[sized],
        others=rectangles[others],
        other_areas=areas[others],
        strokes=rectangles[strokes],
        height=usual,
    )


def tall(glyphs: Glyphs, quads: Quads) -> npt.NDArray[np.intp]:
    """The indices of boxes that are higher than a line of this page's characters."""
    return np.flatnonzero(height_of(quads) > _TALL * glyphs.height)


def cells_of(glyphs: Glyphs, quad: Quads, others: Quads) -> Quads:
    """The boxes of the cells in a tall box (4, 2): its glyphs by rows, each row cut at wide gaps.

    `others` are the other boxes of the page: what stands nearer to the middle of one of them is no row of this box.
    Empty where the box holds one row only.
    """
    within = _inside(glyphs.rectangles, quad) & ~_nearer(glyphs.rectangles, quad, others)
    inside, ink = glyphs.rectangles[within], glyphs.areas[within].sum()
    other_within = _inside(glyphs.others, quad) & ~_nearer(glyphs.others, quad, others)
    rest, other_ink = glyphs.others[other_within], glyphs.other_areas[other_within].sum()
    if len(inside) < 2 or ink < _MIN_GLYPH_INK_SHARE * (ink + other_ink):
        return _no_quads()
    rows = _runs(inside, axis=1, gap=0.0)
    if len(rows) < 2 or max(row[:, 3].max() - row[:, 1].min() for row in rows) > _MAX_ROW_HEIGHT * glyphs.height:
        return _no_quads()
    whole = [np.concatenate([row, rest[_level_with(rest, row)]]) for row in rows]
    cells = [cell for row in whole for cell in _runs(row, axis=0, gap=_CELL_GAP * glyphs.height)]
    return _quads(cells, glyphs.height)


def uncovered(glyphs: Glyphs, quads: Quads) -> Quads:
    """The boxes around glyphs that no box in `quads` covers; neighbours in a row share one."""
    free = np.ones(len(glyphs.rectangles), dtype=bool)
    for quad in quads:
        free &= ~_inside(glyphs.rectangles, quad)
    rest = glyphs.rectangles[free]
    if not len(rest) or len(rest) > _MAX_UNCOVERED:
        return _no_quads()
    words = [word for row in _lines(rest) for word in _runs(row, axis=0, gap=_WORD_GAP * glyphs.height)]
    return _quads(words, glyphs.height)


def in_columns(glyphs: Glyphs, boxes: Quads, sure: npt.NDArray[np.bool_], quads: Quads) -> npt.NDArray[np.bool_]:
    """Which of `boxes` stand in a column of cells: several short boxes, of the `sure` ones and `quads`, end alike."""
    short = quads[(quads[:, 1, 0] - quads[:, 0, 0]) < _MAX_CELL_WIDTH * glyphs.height]
    edges = np.concatenate([boxes[sure, 1, 0], short[:, 1, 0]])
    aligned = np.abs(boxes[:, 1, 0][:, None] - edges[None, :]) < _EDGE_TOLERANCE * glyphs.height
    found: npt.NDArray[np.bool_] = aligned.sum(axis=1) >= _MIN_COLUMN_BOXES
    return found


def _inside(rectangles: Rectangles, quad: Quads) -> npt.NDArray[np.bool_]:
    """Which rectangles have their centre in the upright outline of the box."""
    (left, top), (right, bottom) = quad.min(axis=0), quad.max(axis=0)
    x, y = (rectangles[:, 0] + rectangles[:, 2]) / 2, (rectangles[:, 1] + rectangles[:, 3]) / 2
    found: npt.NDArray[np.bool_] = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    return found


def _nearer(rectangles: Rectangles, quad: Quads, others: Quads) -> npt.NDArray[np.bool_]:
    """Which rectangles lie in one of the other boxes and nearer to its middle, in its heights, than to this one's."""
    found = np.zeros(len(rectangles), dtype=bool)
    y = (rectangles[:, 1] + rectangles[:, 3]) / 2
    (left, top), (right, bottom) = quad.min(axis=0), quad.max(axis=0)
    low, high = others.min(axis=1), others.max(axis=1)
    touching = (low[:, 0] < right) & (high[:, 0] > left) & (low[:, 1] < bottom) & (high[:, 1] > top)
    own = np.abs(y - (top + bottom) / 2) / max(bottom - top, 1.0)
    for other in others[touching]:
        upper, lower = other[:, 1].min(), other[:, 1].max()
        away = np.abs(y - (upper + lower) / 2) / max(lower - upper, 1.0)
        found |= _inside(rectangles, other) & (away < own)
    return found


def _level_with(rectangles: Rectangles, row: Rectangles) -> npt.NDArray[np.bool_]:
    top, bottom = row[:, 1].min(), row[:, 3].max()
    middle = (rectangles[:, 1] + rectangles[:, 3]) / 2
    height = rectangles[:, 3] - rectangles[:, 1]
    level = (middle >= top) & (middle <= bottom)
    found: npt.NDArray[np.bool_] = level & (height <= _MAX_HEIGHT_IN_ROW * (bottom - top))
    return found


def _lines(rectangles: Rectangles) -> list[Rectangles]:
    """The glyphs by lines, each across the whole page, from top to bottom."""
    rows: list[list[npt.NDArray[np.float64]]] = []
    for glyph in rectangles[np.argsort((rectangles[:, 1] + rectangles[:, 3]) / 2, kind="stable")]:
        last = rows[-1][-1] if rows else None
        if last is not None and min(glyph[3], last[3]) - max(glyph[1], last[1]) > _LINE_OVERLAP * min(
            glyph[3] - glyph[1], last[3] - last[1]
        ):
            rows[-1].append(glyph)
        else:
            rows.append([glyph])
    return [np.array(row) for row in rows]


def _runs(rectangles: Rectangles, *, axis: int, gap: float) -> list[Rectangles]:
    """The rectangles, separated wherever more than `gap` pixels along the axis (0 across, 1 down) are white."""
    ordered = rectangles[np.argsort(rectangles[:, axis], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, axis + 2])
    cuts = np.flatnonzero(ordered[1:, axis] - reach[:-1] > gap) + 1
    return np.split(ordered, cuts)


def _quads(groups: list[Rectangles], height: float) -> Quads:
    margin = _MARGIN * height
    quads = []
    for group in groups:
        left, top = group[:, :2].min(axis=0) - margin
        right, bottom = group[:, 2:].max(axis=0) + margin
        quads.append([[left, top], [right, top], [right, bottom], [left, bottom]])
    return np.array(quads, dtype=np.float64).reshape(-1, 4, 2)


def _no_quads() -> Quads:
    return np.zeros((0, 4, 2))
