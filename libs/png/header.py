"""The form of pages' PNGs, and their size. Without numpy, which the web service loads in its children only.

`services.web.render.png` writes them, in a jailed child; `pixels` decodes them. One form alone is read: 8-bit grey or
RGB, not interlaced, one IDAT chunk, each row unfiltered or minus the row above it.

Format: PNG (Third Edition), https://www.w3.org/TR/png-3/.
"""

import struct
import zlib
from typing import NamedTuple

from libs.codec import BadMessage

#: The first bytes of every PNG.
SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Bytes that `png_size` needs: the signature and the IHDR chunk.
HEAD_BYTES = 33
#: The IEND chunk, with which every PNG ends.
TRAILER = b"\0\0\0\0IEND\xaeB`\x82"

#: Width, height, bit depth, colour type, compression, filter method, interlace: the content of IHDR.
IHDR = struct.Struct(">IIBBBBB")
#: Colour types.
GREY, RGB = 0, 2
#: Filter types of a row: as it is, and minus the row above.
FILTER_NONE, FILTER_UP = 0, 2


class BadPng(BadMessage):
    """The bytes are not a PNG as the render child writes them."""


class Header(NamedTuple):
    """What the head of a page's PNG says."""

    #: Pixels.
    width: int
    #: Pixels.
    height: int
    #: 1 for grey, 3 for RGB.
    channels: int


def png_size(head: bytes) -> tuple[int, int]:
    """Width and height in pixels, read from the first `HEAD_BYTES` bytes.

    Raises `BadPng` unless they are the head of an 8-bit grey or RGB PNG with a sound header.
    """
    width, height, _ = read_header(head)
    return width, height


def read_header(head: bytes) -> Header:
    """The header in the first `HEAD_BYTES` bytes. Raises `BadPng` as `png_size` does."""
    if len(head) < HEAD_BYTES or not head.startswith(SIGNATURE) or head[8:16] != b"\0\0\0\rIHDR":
        raise BadPng("no PNG header")
    if zlib.crc32(head[12:29]) != int.from_bytes(head[29:33], "big"):
        raise BadPng("the PNG header is damaged")
    width, height, depth, colour, compression, row_filter, interlace = IHDR.unpack(head[16:29])
    if not (width and height) or depth != 8 or colour not in (GREY, RGB):
        raise BadPng(f"not an 8-bit grey or RGB PNG: {width}x{height}, depth {depth}, colour type {colour}")
    if compression or row_filter or interlace:
        raise BadPng("not a plain PNG")
    return Header(width=width, height=height, channels=3 if colour == RGB else 1)
