"""The skew of a page from its pixels, for engines whose line boxes are not tilted with the text."""

import math

import numpy as np

from services.worker.engines.picture import INK_CONTRAST, Pixels, grey_thumbnail

# Pixels of the longer side of the grey thumbnail that is measured, and the least that must be left of the shorter one.
# Larger is slower, smaller measures small angles less exactly.
_THUMBNAIL_SIDE = 1000
_MIN_SIDE = 128
# Share of each side that is left out at the page's edges: scans have black borders there.
_PAGE_EDGE = 0.04
# Dark pixels below which there is no text to measure, and the share of all pixels above which photographs or black
# borders hide it.
_MIN_INK_PIXELS = 200
_MAX_INK_SHARE = 0.3
# Degrees: the largest skew that is searched for, and the steps of the coarse and the fine search.
_MAX_SKEW = 10.0
_COARSE_STEP = 0.5
_FINE_STEP = 0.1
# Sharpness that the best angle needs, as multiples of the median over all angles and of the sharpness at 0 degrees: on
# photographs no angle stands out. `test_skew` has pages of text and noise that these values tell apart.
_MIN_GAIN_OVER_MEDIAN = 2
_MIN_GAIN_OVER_LEVEL = 1.3


def skew_by_profile(pixels: Pixels) -> float:
    """The clockwise turn in degrees, from -10 to 10, that levels the lines of text; 0.0 where it is not clear.

    Counts of dark pixels by row differ most from row to row where lines are level (projection profile; Postl 1986).
    """
    grey = grey_thumbnail(pixels, _THUMBNAIL_SIDE).astype(np.int16)
    height, width = grey.shape
    edge_y, edge_x = int(height * _PAGE_EDGE), int(width * _PAGE_EDGE)
    grey = grey[edge_y : height - edge_y, edge_x : width - edge_x]
    if min(grey.shape) < _MIN_SIDE:
        return 0.0
    ink_y, ink_x = np.nonzero(grey < np.median(grey) - INK_CONTRAST)
    if not _MIN_INK_PIXELS <= ink_y.size <= _MAX_INK_SHARE * grey.size:
        return 0.0

    def sharpness(angle: float) -> float:
        turned = ink_y + ink_x * math.tan(math.radians(angle))
        rows = np.bincount((turned - turned.min()).astype(np.int64))
        return float(np.square(np.diff(rows.astype(np.float64))).sum())

    coarse = np.arange(-_MAX_SKEW, _MAX_SKEW + 0.01, _COARSE_STEP)
    scores = [sharpness(angle) for angle in coarse]
    best = coarse[int(np.argmax(scores))]
    fine = np.arange(best - _COARSE_STEP, best + _COARSE_STEP + 0.01, _FINE_STEP)
    best = float(max(fine, key=sharpness))
    median, level = float(np.median(scores)), sharpness(0.0)
    clear = sharpness(best) >= max(_MIN_GAIN_OVER_MEDIAN * median, _MIN_GAIN_OVER_LEVEL * level)
    if abs(best) > _MAX_SKEW or not clear:
        return 0.0
    return best
