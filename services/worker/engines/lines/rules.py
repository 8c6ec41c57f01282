"""Drawn rules on a scanned page: the lines of tables and forms, found in the pixels.

A rule is a straight run of ink along an axis that is longer than the strokes of letters and much longer than thick.
"""

from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from libs.page.block import Rect
from services.worker.engines.lines.detector import Quads, part_of
from services.worker.engines.picture import Pixels

# Grey values (0 to 255) by which ink is darker than the mean of its surroundings, a square of so many pixels a side.
# Chosen: grey hairlines count; the square is several times as wide as a rule is thick.
_CONTRAST = 20
_SURROUNDINGS = 41
# Pixels of a run at least, as a share of the page's shorter side and at least: longer than the strokes of its text,
# shorter than the sides of a table's cells. Chosen: 4 mm on A4, above the height of body text.
_MIN_RUN_SHARE = 1 / 50
_MIN_RUN = 24
# Length of a rule in its thicknesses at least, and its thickness in pixels at most as a share of the shorter side:
# what is thicker is a bar or a picture.
_MIN_ASPECT = 12
_MAX_THICKNESS_SHARE = 1 / 150
_MIN_MAX_THICKNESS = 6
# Pixels by which the runs of a rule may lie beside each other, as on a page that is a little tilted or curved.
_DRIFT = 3
# Rules of a page at most, beyond which they are the hatching of a picture.
_MAX_RULES = 1500

# A box of text is cut at an upright rule that covers this share of its height, and that leaves on both sides more than
# this share of its height as width. Chosen: a letter such as "l" or "|" covers as much, but is no rule by its length.
_CUT_COVER = 0.8
_CUT_MARGIN = 0.4
# Pixels by which two rules may miss each other where they meet. Chosen: corners are printed with small gaps.
_MEET = 4


def find(pixels: Pixels) -> tuple[Rect, ...]:
    """The rules of an upright page as thin boxes, in pixels; none where there are too many to be a table's."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    ink: npt.NDArray[np.uint8] = cv2.adaptiveThreshold(
        grey, 1, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY_INV, _SURROUNDINGS, _CONTRAST
    ).astype(np.uint8, copy=False)
    shorter = min(grey.shape)
    run = max(_MIN_RUN, round(_MIN_RUN_SHARE * shorter))
    thickest = max(_MIN_MAX_THICKNESS, round(_MAX_THICKNESS_SHARE * shorter))
    found = [*_along(ink, run, thickest), *(_turned(rule) for rule in _along(ink.T.copy(), run, thickest))]
    return tuple(found) if len(found) <= _MAX_RULES else ()


def _along(ink: npt.NDArray[np.uint8], run: int, thickest: int) -> list[Rect]:
    """The level rules in this ink."""
    runs = cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((1, run), np.uint8))
    # Runs of one rule lie a little above or below each other where the page is tilted.
    together = cv2.dilate(runs, np.ones((_DRIFT, _DRIFT), np.uint8))
    stats = cv2.connectedComponentsWithStats(together, connectivity=8)[2]
    rules: list[Rect] = []
    for left, top, width, height, area in stats[1:].tolist():
        thickness = area / width
        if thickness <= thickest + _DRIFT and width >= _MIN_ASPECT * max(1.0, thickness - _DRIFT + 1):
            rules.append((float(left), float(top), float(left + width), float(top + height)))
    return rules


def _turned(rule: Rect) -> Rect:
    top, left, bottom, right = rule
    return left, top, right, bottom


def cut(quads: Quads, rules: tuple[Rect, ...]) -> Quads:
    """The boxes of text, those cut in two through which an upright rule of a table runs: they hold two cells."""
    upright = _of_tables(rules)
    if not len(upright) or not len(quads):
        return quads
    pieces: list[npt.NDArray[np.float64]] = []
    for quad in quads:
        (left, top), (right, bottom) = quad.min(axis=0), quad.max(axis=0)
        height = bottom - top
        middles = (upright[:, 0] + upright[:, 2]) / 2
        covered = np.minimum(upright[:, 3], bottom) - np.maximum(upright[:, 1], top)
        inside = (middles > left + _CUT_MARGIN * height) & (middles < right - _CUT_MARGIN * height)
        places = np.sort(middles[inside & (covered >= _CUT_COVER * height)])
        shares = [0.0, *((places - left) / (right - left)).tolist(), 1.0]
        pieces.extend(part_of(quad, start, end) for start, end in pairwise(shares))
    return np.array(pieces)


def _of_tables(rules: tuple[Rect, ...]) -> npt.NDArray[np.float64]:
    """The upright rules that meet two level ones at least: the edge of a sheet or a stain meets none."""
    boxes = np.array(rules, dtype=np.float64).reshape(-1, 4)
    is_upright = boxes[:, 3] - boxes[:, 1] > boxes[:, 2] - boxes[:, 0]
    upright, level = boxes[is_upright], boxes[~is_upright]
    across = (upright[:, None, 2] >= level[None, :, 0] - _MEET) & (upright[:, None, 0] <= level[None, :, 2] + _MEET)
    down = (upright[:, None, 3] >= level[None, :, 1] - _MEET) & (upright[:, None, 1] <= level[None, :, 3] + _MEET)
    found: npt.NDArray[np.float64] = upright[(across & down).sum(axis=1) >= 2]
    return found
