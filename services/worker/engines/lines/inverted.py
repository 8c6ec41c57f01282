"""Panels: filled boxes with light letters on them, such as the headings of a form or the header of a table.

The recognition network reads light letters nearly as well as dark ones, but what looks for ink finds none there. So the
panels of a page are turned to dark letters on a light ground.
"""

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from services.worker.engines.lines.detector import Quads
from services.worker.engines.picture import Pixels

# Panels are looked for on a page whose shorter side is shrunk to so many pixels (about 75 DPI on A4), as what is left
# after a median over a square of so many pixels a side: less than a line of text is high, so that the letters vanish,
# and more than twice as wide as the strokes of a heading, so that these vanish too.
_SIDE, _WINDOW = 620, 7
# Grey values by which a panel is darker than the paper, and by which the letters on it are lighter, at least. Chosen:
# the first leaves out shades on which letters are dark, the second is what can be read.
_MIN_FILL, _MIN_CONTRAST = 50, 60
# Height and width of a panel on the shrunken page in pixels at least: a line of 6 points; and as shares of the page at
# most, beyond which it is the ground of the page.
_MIN_HEIGHT, _MIN_WIDTH, _MAX_SHARE = 7, 20, 0.5
# Share of its outline that a panel fills, and share of its ground that is of one shade within so many grey values: what
# is ragged or shaded is a picture.
_MIN_FILLED, _MIN_EVEN, _SHADE = 0.85, 0.55, 25
# Share of a panel that is letters, and by how many times their pixels are more than those of dark ones.
_MIN_LETTERS, _MAX_LETTERS, _LIGHTER = 0.01, 0.45, 4
# Panels of a page at most, beyond which they are parts of a picture.
_MAX_PANELS = 200


class Panels(msgspec.Struct, frozen=True, kw_only=True):
    """The panels of a page."""

    #: The page with its panels inverted.
    pixels: Pixels
    #: Left, top, right and bottom of each (n, 4), in pixels.
    boxes: npt.NDArray[np.float64]

    def holding(self, quads: Quads) -> npt.NDArray[np.intp]:
        """The indices of the boxes whose middle is in a panel."""
        x, y = quads[..., 0].mean(axis=1)[:, None], quads[..., 1].mean(axis=1)[:, None]
        left, top, right, bottom = self.boxes.T
        return np.flatnonzero(((x > left) & (x < right) & (y > top) & (y < bottom)).any(axis=1))


def find(pixels: Pixels) -> Panels | None:
    """The panels of an upright page, or `None` where it has none."""
    grey: npt.NDArray[np.uint8] = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)
    scale = min(1.0, _SIDE / min(grey.shape))
    shape = (max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale)))
    small = cv2.resize(grey, shape, interpolation=cv2.INTER_AREA)
    ground = cv2.medianBlur(small, _WINDOW)
    paper = int(np.percentile(ground, 90))
    filled = (ground.astype(np.int16) <= paper - _MIN_FILL).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(filled, connectivity=4)
    if count - 1 > _MAX_PANELS:
        return None
    boxes: list[tuple[int, int, int, int]] = []
    for left, top, width, height, area in stats[1:].tolist():
        if width < _MIN_WIDTH or height < _MIN_HEIGHT or width * height > _MAX_SHARE * filled.size:
            continue
        if area < _MIN_FILLED * width * height:
            continue
        box = tuple(round(edge / scale) for edge in (left, top, left + width, top + height))
        if _has_light_letters(grey[box[1] : box[3], box[0] : box[2]]):
            boxes.append((box[0], box[1], box[2], box[3]))
    if not boxes:
        return None
    inverted = pixels.copy()
    for left, top, right, bottom in boxes:
        inverted[top:bottom, left:right] = 255 - inverted[top:bottom, left:right]
    return Panels(pixels=inverted, boxes=np.array(boxes, dtype=np.float64))


def _has_light_letters(panel: npt.NDArray[np.uint8]) -> bool:
    """Whether this part of a page is of one shade but for lighter letters."""
    shade = int(np.median(panel))
    apart = panel.astype(np.int16) - shade
    even = float((np.abs(apart) <= _SHADE).mean())
    lighter, darker = float((apart >= _MIN_CONTRAST).mean()), float((apart <= -_MIN_CONTRAST).mean())
    return even >= _MIN_EVEN and _MIN_LETTERS <= lighter <= _MAX_LETTERS and lighter >= _LIGHTER * darker
