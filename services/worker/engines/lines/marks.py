"""Marks of ink: what the detection network merges or leaves out.

The network is made for lines of words. Columns of short cells (the digits of a table) it takes for one tall shape,
and a lone digit it often does not see at all. The ink itself is plain: here each connected mark of the size of
a character is found, tall boxes are cut into the rows of marks they hold, and marks that no box covers are put
together to further boxes.
"""

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from services.worker.engines.lines.detector import Quads, height_of
from services.worker.engines.picture import Pixels

Rectangles = npt.NDArray[np.float64]

_CONTRAST = 25
_MIN_SIDE = 5
_MAX_SHARE = 0.1
_TALL = 2.7
_OWN_INK = 0.8
_ROW = 1.6
_MARGIN = 0.22
_CELL_GAP = 2.0
_WORD_GAP = 0.45
_MOST = 1500
_COLUMN = 3


class Marks(msgspec.Struct, frozen=True, kw_only=True):
    """Marks of the size of a character as rectangles (n, 4: left, top, right, bottom) in pixels.

    `unit` is the usual height of one, `areas` are their pixels of ink; `others` are the shapes that are larger or
    smaller, and `other_areas` theirs.
    """

    rectangles: Rectangles
    areas: npt.NDArray[np.float64]
    others: Rectangles
    other_areas: npt.NDArray[np.float64]
    unit: float


def find(pixels: Pixels) -> Marks | None:
    """The marks on a page that are about as large as its characters, or `None` where there are too few to tell."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    around = max(31, (min(grey.shape) // 40) | 1)
    ink = cv2.adaptiveThreshold(grey, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, around, _CONTRAST)
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    left, top, width, height, areas = stats[1:].astype(np.float64).T
    plausible = (height >= _MIN_SIDE) & (height <= _MAX_SHARE * grey.shape[0]) & (width <= 3 * height)
    plausible &= height <= 8 * width
    if plausible.sum() < 20:
        return None
    unit = float(np.median(height[plausible]))
    sized = plausible & (height >= 0.6 * unit) & (height <= 1.8 * unit) & (width <= 2.5 * unit)
    rectangles = np.stack([left, top, left + width, top + height], axis=1)
    # Rules of a table run through its columns and say nothing of what stands there.
    rules = (height > 8 * width) | (width > 8 * height)
    others = ~sized & ~rules
    return Marks(
        rectangles=rectangles[sized],
        areas=areas[sized],
        others=rectangles[others],
        other_areas=areas[others],
        unit=unit,
    )


def rows_of(marks: Marks, quad: Quads) -> Quads:
    """The cells of a tall box: its marks by rows, each row cut at wide gaps. Empty where it holds one row only."""
    within = _inside(marks.rectangles, quad)
    inside, ink = marks.rectangles[within], marks.areas[within].sum()
    strange = _inside(marks.others, quad)
    others, other_ink = marks.others[strange], marks.other_areas[strange].sum()
    # Larger letters, as in a heading, are one line however high.
    if len(inside) < 2 or ink < _OWN_INK * (ink + other_ink):
        return _no_quads()
    rows = _runs(inside, axis=1, gap=0.0)
    if len(rows) < 2 or max(row[:, 3].max() - row[:, 1].min() for row in rows) > _ROW * marks.unit:
        return _no_quads()
    # Full stops and wide letters belong to the row they stand in.
    whole = [np.concatenate([row, others[_level_with(others, row)]]) for row in rows]
    cells = [cell for row in whole for cell in _runs(row, axis=0, gap=_CELL_GAP * marks.unit)]
    return _quads(cells, marks.unit)


def left_out(marks: Marks, quads: Quads) -> Quads:
    """Boxes around the marks that no box covers, neighbours in a row together."""
    free = np.ones(len(marks.rectangles), dtype=bool)
    for quad in quads:
        free &= ~_inside(marks.rectangles, quad)
    rest = marks.rectangles[free]
    if not len(rest) or len(rest) > _MOST:
        return _no_quads()
    groups = [word for row in _lines(rest) for word in _runs(row, axis=0, gap=_WORD_GAP * marks.unit)]
    return _quads(groups, marks.unit)


def in_columns(marks: Marks, boxes: Quads, sure: npt.NDArray[np.bool_], quads: Quads) -> npt.NDArray[np.bool_]:
    """Which boxes stand in a column of cells: several other short boxes end where they end."""
    short = quads[(quads[:, 1, 0] - quads[:, 0, 0]) < 4 * marks.unit]
    edges = np.concatenate([boxes[sure, 1, 0], short[:, 1, 0]])
    level = np.abs(boxes[:, 1, 0][:, None] - edges[None, :]) < 0.5 * marks.unit
    found: npt.NDArray[np.bool_] = level.sum(axis=1) >= _COLUMN
    return found


def tall(marks: Marks, quads: Quads) -> npt.NDArray[np.intp]:
    """Which boxes are higher than a line of this page's characters can be."""
    return np.flatnonzero(height_of(quads) > _TALL * marks.unit)


def _inside(rectangles: Rectangles, quad: Quads) -> npt.NDArray[np.bool_]:
    """Whose middle lies within the outline of the box."""
    (left, top), (right, bottom) = quad.min(axis=0), quad.max(axis=0)
    x, y = (rectangles[:, 0] + rectangles[:, 2]) / 2, (rectangles[:, 1] + rectangles[:, 3]) / 2
    found: npt.NDArray[np.bool_] = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    return found


def _level_with(rectangles: Rectangles, row: Rectangles) -> npt.NDArray[np.bool_]:
    top, bottom = row[:, 1].min(), row[:, 3].max()
    middle = (rectangles[:, 1] + rectangles[:, 3]) / 2
    height = rectangles[:, 3] - rectangles[:, 1]
    found: npt.NDArray[np.bool_] = (middle >= top) & (middle <= bottom) & (height <= 1.5 * (bottom - top))
    return found


def _lines(rectangles: Rectangles) -> list[Rectangles]:
    """Marks that stand level with each other, a group for each line across the whole page."""
    rows: list[list[npt.NDArray[np.float64]]] = []
    for mark in rectangles[np.argsort((rectangles[:, 1] + rectangles[:, 3]) / 2, kind="stable")]:
        last = rows[-1][-1] if rows else None
        if last is not None and min(mark[3], last[3]) - max(mark[1], last[1]) > 0.5 * min(
            mark[3] - mark[1], last[3] - last[1]
        ):
            rows[-1].append(mark)
        else:
            rows.append([mark])
    return [np.array(row) for row in rows]


def _runs(rectangles: Rectangles, *, axis: int, gap: float) -> list[Rectangles]:
    """The marks parted wherever nothing lies for more than `gap` pixels along the axis (0 across, 1 down)."""
    ordered = rectangles[np.argsort(rectangles[:, axis], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, axis + 2])
    cuts = np.flatnonzero(ordered[1:, axis] - reach[:-1] > gap) + 1
    return np.split(ordered, cuts)


def _quads(groups: list[Rectangles], unit: float) -> Quads:
    margin = _MARGIN * unit
    quads = []
    for group in groups:
        left, top = group[:, :2].min(axis=0) - margin
        right, bottom = group[:, 2:].max(axis=0) + margin
        quads.append([[left, top], [right, top], [right, bottom], [left, bottom]])
    return np.array(quads, dtype=np.float64).reshape(-1, 4, 2)


def _no_quads() -> Quads:
    return np.zeros((0, 4, 2))
