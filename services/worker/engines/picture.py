"""The pixels of one page: decoded, judged blank or not, turned and straightened.

Knows Pillow and numpy only, so that every engine can use it. Coordinates are pixels with the origin at the top
left corner; an angle is clockwise as the page is seen.
"""

import io
import math
import warnings

import msgspec
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

Pixels = npt.NDArray[np.uint8]
Points = npt.NDArray[np.float64]

# Several times the largest page the extractor writes; beyond it one page would take gigabytes.
MAX_PIXELS = 120_000_000
# OpenCV addresses pixels of a picture with 16 bits where it cuts lines out of it.
MAX_SIDE = 30_000
MIN_SIDE = 8

# Tuned on scans: a lone digit of 8 points at 100 DPI has more than this many dark pixels, a speck of dust fewer.
_BLANK_SIDE = 1200
_TILE = 32
_INK_CONTRAST = 48
_INK_PIXELS = 8

_SKEW_SIDE = 1000
_SKEW_LIMIT = 10.0
_PAGE_EDGE = 0.04


class PictureError(ValueError):
    """The image of a page cannot be used; the message is one sentence for the page's owner."""


def decode(data: bytes) -> Pixels:
    """The image as RGB pixels (height, width, 3), transparency laid on white.

    Raises `PictureError` where the bytes are no whole image, or one too large or too small to read.
    """
    try:
        with warnings.catch_warnings():
            # Pillow's own bomb warning comes at a size we still read; our limit is checked just below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                _check_size(*image.size)
                image.load()
                return _flatten(image)
    except PictureError:
        raise
    except Image.DecompressionBombError as error:
        raise PictureError("The page image has too many pixels; render it at a lower resolution.") from error
    except (OSError, ValueError, SyntaxError, EOFError, KeyError, IndexError, TypeError) as error:
        # Pillow's decoders let all of these out for damaged files.
        raise PictureError("The page image is damaged and cannot be decoded; extract the page again.") from error


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise PictureError(
            f"The page image has {width} x {height} pixels, more than {MAX_PIXELS:,} in all or {MAX_SIDE:,} on a "
            "side; render it at a lower resolution."
        )
    if min(width, height) < MIN_SIDE:
        raise PictureError(f"The page image has only {width} x {height} pixels; there is nothing to read.")


def _flatten(image: Image.Image) -> Pixels:
    if image.mode.startswith("I") or image.mode == "F":
        # 16-bit and float scans: spread over the whole range, whatever part of it they use.
        depth = np.asarray(image, dtype=np.float64)
        low, high = float(depth.min()), float(depth.max())
        if not math.isfinite(high - low):
            raise PictureError("The page image holds values that are not numbers; extract the page again.")
        ceiling = max(high, 255.0) if low >= 0 else high
        floor = min(low, 0.0)
        grey = ((depth - floor) * (255.0 / max(ceiling - floor, 1.0))).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if "transparency" in image.info or image.mode in {"RGBA", "LA", "PA", "RGBa", "La"}:
        layered = image.convert("RGBA")
        paper = Image.new("RGBA", layered.size, "white")
        paper.alpha_composite(layered)
        image = paper
    return np.ascontiguousarray(np.asarray(image.convert("RGB")))


def encode(pixels: Pixels) -> bytes:
    """The pixels as an uncompressed image that other programs read quickly (PNM)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PPM")
    return buffer.getvalue()


def is_blank(pixels: Pixels) -> bool:
    """True where no mark as large as a small character stands out from the paper around it.

    Certain rather than clever: shadows, show-through and specks may still be called "not blank", and the engine
    then reads nothing there; but a page with a single printed digit is never called blank.
    """
    grey = _grey_thumbnail(pixels, _BLANK_SIDE).astype(np.int16)
    rows, columns = (side // _TILE for side in grey.shape)
    if not rows or not columns:
        return int(grey.max()) - int(grey.min()) < _INK_CONTRAST
    # Tiles twice, the second time shifted by half, so that a mark on a tile's edge is seen whole.
    for shift in (0, _TILE // 2):
        part = grey[shift:, shift:]
        rows, columns = part.shape[0] // _TILE, part.shape[1] // _TILE
        if not rows or not columns:
            continue
        grid = part[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE)
        tiles = grid.swapaxes(1, 2).reshape(rows * columns, _TILE * _TILE)
        paper = np.median(tiles, axis=1, keepdims=True)
        ink = (np.abs(tiles - paper) > _INK_CONTRAST).sum(axis=1)
        if int(ink.max()) >= _INK_PIXELS:
            return False
    return True


def _grey_thumbnail(pixels: Pixels, side: int) -> npt.NDArray[np.uint8]:
    image = Image.fromarray(pixels)
    factor = max(1, math.ceil(max(image.size) / side))
    # Grey last: `reduce` on the RGB image is one pass and averages noise away.
    small = image.reduce(factor) if factor > 1 else image
    return np.asarray(ImageOps.grayscale(small))


class Pose(msgspec.Struct, frozen=True, kw_only=True):
    """How the stored page was turned: `rotation` (0, 90, 180, 270) and then `skew`, clockwise, in degrees.

    `width` and `height` are those of the stored page, in pixels.
    """

    width: int
    height: int
    rotation: int = 0
    skew: float = 0.0

    def turned_size(self) -> tuple[int, int]:
        """Width and height after the rotation and before the skew, in pixels."""
        return (self.height, self.width) if self.rotation in (90, 270) else (self.width, self.height)

    def size(self) -> tuple[int, int]:
        """Width and height of the upright picture, in pixels; straightening enlarges it so that no corner is lost."""
        width, height = self.turned_size()
        if not self.skew:
            return width, height
        cosine, sine = abs(math.cos(math.radians(self.skew))), abs(math.sin(math.radians(self.skew)))
        return math.ceil(width * cosine + height * sine), math.ceil(width * sine + height * cosine)

    def to_stored(self, points: Points) -> Points:
        """Points (..., 2) of the upright picture in the coordinates of the stored page, kept inside it."""
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
        """The stored page's pixels set upright."""
        upright = np.ascontiguousarray(np.rot90(pixels, k=-(self.rotation // 90)))
        if not self.skew:
            return upright
        angle = math.radians(self.skew)
        cosine, sine = math.cos(angle), math.sin(angle)
        turned_width, turned_height = self.turned_size()
        width, height = self.size()
        # Pillow asks, for each output pixel, where it comes from: the same map as `_unskew`.
        source = (
            cosine,
            sine,
            turned_width / 2 - cosine * width / 2 - sine * height / 2,
            -sine,
            cosine,
            turned_height / 2 + sine * width / 2 - cosine * height / 2,
        )
        paper = tuple(int(v) for v in np.median(upright[::16, ::16].reshape(-1, 3), axis=0))
        image = Image.fromarray(upright).transform(
            (width, height),
            Image.Transform.AFFINE,
            source,
            resample=Image.Resampling.BICUBIC,
            fillcolor=paper,
        )
        return np.asarray(image)


def skew_by_profile(pixels: Pixels) -> float:
    """The clockwise turn in degrees (within 10 either way) that would level the text lines; 0.0 where unsure.

    The sum over each row of dark pixels is sharpest when lines lie level (projection profile; Postl 1986). For
    engines that cannot see the tilt of their own boxes.
    """
    grey = _grey_thumbnail(pixels, _SKEW_SIDE).astype(np.int16)
    height, width = grey.shape
    edge_y, edge_x = int(height * _PAGE_EDGE), int(width * _PAGE_EDGE)
    grey = grey[edge_y : height - edge_y, edge_x : width - edge_x]
    if min(grey.shape) < 4 * _TILE:
        return 0.0
    ink_y, ink_x = np.nonzero(grey < np.median(grey) - _INK_CONTRAST)
    # Photographs and black borders would drown the lines of text.
    if not 200 <= ink_y.size <= 0.3 * grey.size:
        return 0.0

    def sharpness(angle: float) -> float:
        turned = ink_y + ink_x * math.tan(math.radians(angle))
        rows = np.bincount((turned - turned.min()).astype(np.int64))
        return float(np.square(np.diff(rows.astype(np.float64))).sum())

    coarse = np.arange(-_SKEW_LIMIT, _SKEW_LIMIT + 0.01, 0.5)
    scores = [sharpness(angle) for angle in coarse]
    best = coarse[int(np.argmax(scores))]
    fine = np.arange(best - 0.5, best + 0.51, 0.1)
    best = float(max(fine, key=sharpness))
    # Only a clear gain is trusted: a page of photographs has no levels to find.
    clear = sharpness(best) >= max(2 * float(np.median(scores)), 1.3 * sharpness(0.0))
    if abs(best) > _SKEW_LIMIT or not clear:
        return 0.0
    return best
