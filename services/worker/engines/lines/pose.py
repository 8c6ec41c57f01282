"""How a stored page is turned to be upright, and the way back from upright coordinates to stored ones.

Coordinates are pixels with the origin at the top left corner; angles are clockwise as the page is seen.
"""

import math

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image

from services.worker.engines.picture import Pixels

Points = npt.NDArray[np.float64]

# Pixels between two samples of the paper's colour: enough for a median, and quick on a large page.
_COLOUR_STEP = 16


class Pose(msgspec.Struct, frozen=True, kw_only=True):
    """How the stored page is turned to be upright: by `rotation`, then by `skew`."""

    #: Of the stored page, in pixels.
    width: int
    height: int
    #: Clockwise, in degrees: 0, 90, 180 or 270.
    rotation: int = 0
    #: Clockwise, in degrees: the small angle that levels the lines.
    skew: float = 0.0

    def turned_size(self) -> tuple[int, int]:
        """Width and height after the rotation and before the skew, in pixels."""
        return (self.height, self.width) if self.rotation in (90, 270) else (self.width, self.height)

    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture, in pixels: with a skew it is larger, so that no corner is lost."""
        width, height = self.turned_size()
        if not self.skew:
            return width, height
        cosine, sine = abs(math.cos(math.radians(self.skew))), abs(math.sin(math.radians(self.skew)))
        return math.ceil(width * cosine + height * sine), math.ceil(width * sine + height * cosine)

    def to_stored(self, points: Points) -> Points:
        """Points (..., 2) of the upright picture in coordinates of the stored page, clipped to it."""
        moved = self._unskew(np.asarray(points, dtype=np.float64))
        x, y = moved[..., 0], moved[..., 1]
        turned_width, turned_height = self.turned_size()
        if self.rotation == 90:
            x, y = y, turned_width - x
        elif self.rotation == 180:
            x, y = turned_width - x, turned_height - y
        elif self.rotation == 270:
            x, y = turned_height - y, x
        return np.stack([np.clip(x, 0, self.width), np.clip(y, 0, self.height)], axis=-1)

    def from_stored(self, points: Points) -> Points:
        """Points (..., 2) of the stored page in coordinates of the upright picture: the way back of `to_stored`."""
        moved = np.asarray(points, dtype=np.float64)
        x, y = moved[..., 0], moved[..., 1]
        if self.rotation == 90:
            x, y = self.height - y, x
        elif self.rotation == 180:
            x, y = self.width - x, self.height - y
        elif self.rotation == 270:
            x, y = y, self.width - x
        if self.skew:
            angle = math.radians(self.skew)
            cosine, sine = math.cos(angle), math.sin(angle)
            turned_width, turned_height = self.turned_size()
            width, height = self.size()
            x, y = x - turned_width / 2, y - turned_height / 2
            x, y = cosine * x - sine * y + width / 2, sine * x + cosine * y + height / 2
        return np.stack([x, y], axis=-1)

    def _unskew(self, points: Points) -> Points:
        if not self.skew:
            return points
        angle = math.radians(self.skew)
        cosine, sine = math.cos(angle), math.sin(angle)
        turned_width, turned_height = self.turned_size()
        width, height = self.size()
        x, y = points[..., 0] - width / 2, points[..., 1] - height / 2
        return np.stack([cosine * x + sine * y + turned_width / 2, -sine * x + cosine * y + turned_height / 2], axis=-1)

    def apply(self, pixels: Pixels) -> Pixels:
        """The upright picture of the stored page's pixels; corners outside the page get the paper's median colour."""
        upright = np.ascontiguousarray(np.rot90(pixels, k=-(self.rotation // 90)))
        if not self.skew:
            return upright
        angle = math.radians(self.skew)
        cosine, sine = math.cos(angle), math.sin(angle)
        turned_width, turned_height = self.turned_size()
        width, height = self.size()
        # Pillow maps each output pixel to its source, as `_unskew` does.
        source = (
            cosine,
            sine,
            turned_width / 2 - cosine * width / 2 - sine * height / 2,
            -sine,
            cosine,
            turned_height / 2 + sine * width / 2 - cosine * height / 2,
        )
        sample = upright[::_COLOUR_STEP, ::_COLOUR_STEP].reshape(-1, 3)
        paper = tuple(int(v) for v in np.median(sample, axis=0))
        image = Image.fromarray(upright).transform(
            (width, height),
            Image.Transform.AFFINE,
            source,
            resample=Image.Resampling.BICUBIC,
            fillcolor=paper,
        )
        return np.asarray(image)
