"""The pixels of pages' PNGs.

A child that a document has taken over writes what it likes, so its PNGs are decoded by this reader and not by a library
for every image format. It knows the one form that the child writes (`header`), refuses everything else, allocates
nothing before the size is known and allowed, and inflates no further than that size. Apart from zlib and numpy no
native code sees the bytes.
"""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from libs.png.header import FILTER_NONE, FILTER_UP, HEAD_BYTES, TRAILER, BadPng, read_header

_CHUNK_HEAD = struct.Struct(">I4s")
_CRC_BYTES = 4
# Ancillary chunks before the pixels. Chosen: the child writes two, pHYs and the text layer.
_MOST_ANCILLARY = 8
# In the first letter of a chunk's name: the chunk may be left out (PNG, 5.4).
_ANCILLARY = 0x20


def decode_png(data: bytes, *, max_pixels: int, max_side: int) -> NDArray[np.uint8]:
    """The pixels, of shape (height, width) for grey and (height, width, 3) for RGB.

    Allocates at most three times the size of the pixels and of a filter byte a row. Raises `BadPng`, also for a picture
    of more than `max_pixels` pixels or a side of more than `max_side`.
    """
    width, height, channels = read_header(data)
    if width * height > max_pixels or max(width, height) > max_side:
        raise BadPng(f"a PNG of {width}x{height} pixels")
    stride = width * channels
    rows = np.frombuffer(_inflate(_pixel_data(data), height * (1 + stride)), np.uint8).reshape(height, 1 + stride)
    pixels = _unfiltered(rows)
    return pixels.reshape(height, width, 3) if channels == 3 else pixels


def _pixel_data(data: bytes) -> memoryview:
    """The content of the one IDAT chunk. Ancillary chunks before it are passed over, whatever they hold."""
    view = memoryview(data)
    at = HEAD_BYTES
    for _ in range(_MOST_ANCILLARY + 1):
        if at + _CHUNK_HEAD.size > len(data):
            raise BadPng("the PNG is cut off")
        length, name = _CHUNK_HEAD.unpack_from(data, at)
        body, end = at + _CHUNK_HEAD.size, at + _CHUNK_HEAD.size + length
        if end + _CRC_BYTES > len(data):
            raise BadPng("the PNG is cut off")
        if name == b"IDAT":
            if zlib.crc32(view[at + 4 : end]) != int.from_bytes(view[end : end + _CRC_BYTES], "big"):
                raise BadPng("the pixels of the PNG are damaged")
            if view[end + _CRC_BYTES :] != TRAILER:
                raise BadPng("more than one IDAT chunk, or no end")
            return view[body:end]
        if not name[0] & _ANCILLARY:
            raise BadPng("a PNG with a critical chunk that the render child does not write")
        at = end + _CRC_BYTES
    raise BadPng("too many chunks before the pixels")


def _inflate(packed: memoryview, size: int) -> bytes:
    """Exactly `size` bytes, or `BadPng`; a stream that holds more is not inflated further."""
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(packed, size + 1)
    except zlib.error as error:
        raise BadPng("the pixels of the PNG are damaged") from error
    if len(plain) != size or not inflater.eof or inflater.unused_data:
        raise BadPng("the PNG has not the pixels that its header states")
    return plain


def _unfiltered(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels of shape (height, stride) from rows of shape (height, 1 + stride), each with its filter type first."""
    filters, filtered = rows[:, 0], rows[:, 1:]
    if not np.isin(filters, (FILTER_NONE, FILTER_UP)).all():
        raise BadPng("a PNG with a row filter that the render child does not write")
    pixels = np.empty(filtered.shape, np.uint8)
    # Row by row: numpy adds a whole row faster than it accumulates a column, whose bytes are far apart.
    above = np.zeros(filtered.shape[1], np.uint8)
    for row, source, is_up in zip(pixels, filtered, (filters == FILTER_UP).tolist(), strict=True):
        if is_up:
            np.add(source, above, out=row)
        else:
            row[:] = source
        above = row
    return pixels
