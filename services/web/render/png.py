"""PNG files of pages, written fast and without loss. `libs.png` has the reader; only this module needs ISA-L.

Encoding, not rendering, is what a page image costs: a general encoder tries five filters a row and deflates with zlib.
One filter for the whole page in numpy and ISA-L's deflate give about the same size in a fraction of the time (50 mixed
pages at 150 DPI, one core: 14 ms a page, 282 ms with MuPDF's own encoder).

Format: PNG (Third Edition), https://www.w3.org/TR/png-3/. `libs.png` reads exactly what is written here.
"""

import struct
import zlib

import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from libs import textlayer
from libs.png.header import FILTER_UP, GREY, IHDR, RGB, SIGNATURE, TRAILER

_DEFLATE_LEVEL = 1  # of ISA-L's 0 to 3
# Rows that are looked at first for colour. Chosen: enough for nearly every coloured page, at little cost for grey ones.
_PROBE_ROWS = 64
_METRES_PER_INCH = 0.0254


def encode_png(pixels: NDArray[np.uint8], dpi: float | None = None, layer: textlayer.PageLayer | None = None) -> bytes:
    """Encode 8-bit pixels of shape (height, width) for grey or (height, width, 3) for RGB.

    `dpi` (dots per inch) is recorded in pHYs, which counts whole pixels per metre; `layer` is the page's text layer.
    Raises `ValueError` on any other shape or type.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        raise ValueError(f"pixels must be uint8 of shape (h, w) or (h, w, 3), not {pixels.dtype} {pixels.shape}")
    height, width = pixels.shape[:2]
    if not (height and width):
        raise ValueError(f"an image of {width}x{height} pixels has nothing to encode")
    colour = GREY if pixels.ndim == 2 else RGB
    header = IHDR.pack(width, height, 8, colour, 0, 0, 0)
    chunks = [SIGNATURE, _chunk(b"IHDR", header)]
    if dpi is not None:
        per_metre = round(dpi / _METRES_PER_INCH)
        chunks.append(_chunk(b"pHYs", struct.pack(">IIB", per_metre, per_metre, 1)))
    chunks.append(textlayer.chunk(layer))
    chunks.append(_chunk(b"IDAT", isal_zlib.compress(_filtered(pixels.reshape(height, -1)), _DEFLATE_LEVEL)))
    chunks.append(TRAILER)
    return b"".join(chunks)


def without_colour(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey of shape (h, w) when every pixel of (h, w, 3) is exactly grey, else the pixels as they are."""
    if pixels.ndim == 2:
        return pixels
    # Most coloured pages have colour in the sampled rows; only a grey page needs a look at every pixel.
    for sample in (pixels[:: max(1, len(pixels) // _PROBE_ROWS)], pixels):
        red, green, blue = sample[..., 0], sample[..., 1], sample[..., 2]
        if not (np.array_equal(red, green) and np.array_equal(green, blue)):
            return pixels
    return np.ascontiguousarray(pixels[..., 0])


def _filtered(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each row minus the one above it, after its filter byte. Pages of text consist mostly of vertical runs."""
    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = FILTER_UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return filtered


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))
