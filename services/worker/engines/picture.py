"""The pixels of one page: decoding, encoding, and whether they show anything.

Needs Pillow and numpy only, so that every engine can use it. Pillow works on pixels and opens no image here: what it
would decode comes from a process that a document may have taken over (`libs.png`).
"""

import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from libs.png.header import BadPng, png_size
from libs.png.pixels import decode_png

Pixels = npt.NDArray[np.uint8]

#: Pixels of a page image. Three times what the extractor writes at most; more would take gigabytes while it is read.
MAX_PIXELS = 120_000_000
#: Pixels. OpenCV's `warpAffine`, which cuts lines out of the page, addresses pixels with 16 signed bits: 32,767.
MAX_SIDE = 30_000
#: Pixels. Chosen: no character is legible on fewer.
MIN_SIDE = 8

# Blank pages are judged on a grey thumbnail whose longer side has at most so many pixels (about 100 DPI on A4), in
# square tiles of so many pixels.
_BLANK_SIDE = 1200
_TILE = 32
# A pixel is ink where its grey value (0 to 255) differs from the tile's median by more than this; a tile holds a mark
# from so many pixels of ink on. Tuned on scans: a lone digit of 8 points at 100 DPI has more, a speck of dust fewer.
INK_CONTRAST = 48
_INK_PIXELS = 8


class PictureError(ValueError):
    """The image of a page cannot be used; the message is one sentence for the page's owner."""


def decode(data: bytes) -> Pixels:
    """The page image, as the render child writes it, as RGB pixels (height, width, 3).

    Raises `PictureError` where the bytes are no such image, or one too large or too small to read.
    """
    try:
        _check_size(*png_size(data))
        pixels = decode_png(data, max_pixels=MAX_PIXELS, max_side=MAX_SIDE)
    except BadPng as error:
        raise PictureError("The page image is damaged and cannot be decoded; extract the page again.") from error
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise PictureError(
            f"The page image has {width} x {height} pixels, more than {MAX_PIXELS:,} in all or {MAX_SIDE:,} on a "
            "side; render it at a lower resolution."
        )
    if min(width, height) < MIN_SIDE:
        raise PictureError(f"The page image has only {width} x {height} pixels; there is nothing to read.")


def encode(pixels: Pixels) -> bytes:
    """The pixels as an uncompressed PNM image, which costs other programs no time to decode."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PPM")
    return buffer.getvalue()


def is_blank(pixels: Pixels) -> bool:
    """True where no mark as large as a small character differs from the paper around it.

    Errs towards "not blank": shadows, show-through and specks may count as marks, and the engine then reads nothing;
    but a page with a single printed digit is never blank.
    """
    grey = grey_thumbnail(pixels, _BLANK_SIDE).astype(np.int16)
    rows, columns = (side // _TILE for side in grey.shape)
    if not rows or not columns:
        return int(grey.max()) - int(grey.min()) < INK_CONTRAST
    # A second grid is shifted by half a tile, so that a mark on the edges of the first is whole in it.
    for shift in (0, _TILE // 2):
        part = grey[shift:, shift:]
        rows, columns = part.shape[0] // _TILE, part.shape[1] // _TILE
        if not rows or not columns:
            continue
        grid = part[: rows * _TILE, : columns * _TILE].reshape(rows, _TILE, columns, _TILE)
        tiles = grid.swapaxes(1, 2).reshape(rows * columns, _TILE * _TILE)
        paper = np.median(tiles, axis=1, keepdims=True)
        ink = (np.abs(tiles - paper) > INK_CONTRAST).sum(axis=1)
        if int(ink.max()) >= _INK_PIXELS:
            return False
    return True


def grey_thumbnail(pixels: Pixels, side: int) -> npt.NDArray[np.uint8]:
    """The page in grey (height, width), reduced by a whole factor to at most `side` pixels on its longer side."""
    image = Image.fromarray(pixels)
    factor = max(1, math.ceil(max(image.size) / side))
    # Converted after the reduction, which is one pass over the RGB image and averages noise away.
    small = image.reduce(factor) if factor > 1 else image
    return np.asarray(ImageOps.grayscale(small))
