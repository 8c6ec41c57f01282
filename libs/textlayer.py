"""The text layer of a page: what the PDF itself says of it, inside the page's image: one object, one write.

It is an iTXt chunk of the PNG, JSON, compressed, before the pixels (PNG, Third Edition, 11.3.3.4,
https://www.w3.org/TR/png-3/#11iTXt). The render child, which a hostile document may have taken over, writes it; the
worker reads it, so `read` accepts only values of the right types, counts and ranges.

All lengths are pixels of the page image, whose origin is the top left corner.
"""

import struct
import zlib
from typing import Annotated

import msgspec
from msgspec import Meta

#: Of the JSON, in UTF-8. A layer that needs more is stored without its drawings, and one that needs more even so is not
#: stored at all: half a layer would pass for a whole page. Chosen: twice what 6,000 words (a newspaper page) take.
MAX_BYTES = 512 * 1024

#: Of a whole chunk: JSON that does not compress, and the chunk's own fields.
MAX_CHUNK_BYTES = MAX_BYTES + 1024

#: Pixels. No page image has a longer side (`MAX_SIDE` of the worker's `picture`).
MAX_SIDE = 30_000

#: Characters of one span. Chosen: far above the longest word, and above a line of a script without spaces.
MAX_SPAN_CHARACTERS = 1_000

_SIGNATURE_BYTES = 8
_HEAD = struct.Struct(">I4s")
_CRC_BYTES = 4
# The keyword; then: compressed, by deflate, no language tag, no translated keyword.
_PREFIX = b"Page layer\0" + b"\1\0" + b"\0" + b"\0"

_Length = Annotated[float, Meta(ge=0, le=MAX_SIDE)]
_Index = Annotated[int, Meta(ge=0, le=MAX_BYTES)]

#: Left, top, right and bottom edge.
Box = tuple[_Length, _Length, _Length, _Length]


class Style(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """How characters are set."""

    #: Which of the page's fonts; the numbers mean nothing else.
    font: _Index
    #: Of the font: the height of a line set solid.
    size: _Length
    bold: bool = False
    italic: bool = False
    #: Without fill and stroke, as OCR lays text over a scan.
    invisible: bool = False


class Span(msgspec.Struct, frozen=True, array_like=True):
    """A word, or the part of it that has one style. It begins with a space where one separates it from the last."""

    text: Annotated[str, Meta(min_length=1, max_length=MAX_SPAN_CHARACTERS)]
    box: Box
    #: The index of its style in `PageLayer.styles`.
    style: _Index


class LayerLine(msgspec.Struct, frozen=True, array_like=True):
    """Characters on one baseline, in logical order; a wide gap, as between the cells of a table, begins another."""

    #: The direction of the baseline, clockwise in whole degrees: 0 is text to the right, 90 text that runs down.
    turn: Annotated[int, Meta(ge=0, le=359)]
    spans: Annotated[tuple[Span, ...], Meta(min_length=1)]
    #: Set in columns from top to bottom; `turn` is then that of the characters.
    vertical: bool = False

    @property
    def text(self) -> str:
        """The characters of the line."""
        return "".join(span.text for span in self.spans).strip()


class Fill(msgspec.Struct, frozen=True, array_like=True):
    """A filled box that is more than a line."""

    box: Box
    #: The grey value of its colour, 0 is black.
    grey: Annotated[int, Meta(ge=0, le=255)]


class PageLayer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a PDF says of one page."""

    #: Of the page image.
    width: Annotated[int, Meta(ge=1, le=MAX_SIDE)]
    height: Annotated[int, Meta(ge=1, le=MAX_SIDE)]
    styles: tuple[Style, ...] = ()
    lines: tuple[LayerLine, ...] = ()
    #: The places of pictures.
    pictures: tuple[Box, ...] = ()
    #: Lines that are drawn along the page's axes, as thin boxes.
    rules: tuple[Box, ...] = ()
    fills: tuple[Fill, ...] = ()

    @property
    def picture_share(self) -> float:
        """The area of the pictures as a share of the page's; more than 1 where they cover each other."""
        return sum((right - left) * (bottom - top) for left, top, right, bottom in self.pictures) / (
            self.width * self.height
        )

    def is_sound(self) -> bool:
        """Whether indices and boxes fit together, which types alone do not say."""
        spans = [span for line in self.lines for span in line.spans]
        boxes = [*self.pictures, *self.rules, *(fill.box for fill in self.fills), *(span.box for span in spans)]
        return all(span.style < len(self.styles) for span in spans) and all(
            left <= right <= self.width and top <= bottom <= self.height for left, top, right, bottom in boxes
        )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(PageLayer)


def chunk(layer: PageLayer | None) -> bytes:
    """The chunk that carries this layer; empty for none, for one without text, and for one of more than `MAX_BYTES`."""
    if layer is None or not layer.lines:
        return b""
    plain = _encoder.encode(layer)
    if len(plain) > MAX_BYTES:
        plain = _encoder.encode(msgspec.structs.replace(layer, rules=(), fills=()))
    if len(plain) > MAX_BYTES:
        return b""
    body = _PREFIX + zlib.compress(plain, 1)
    return _HEAD.pack(len(body), b"iTXt") + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(b"iTXt")))


def read(png: bytes) -> PageLayer | None:
    """The layer in this image; None where there is none, or where it is damaged. Any bytes are accepted."""
    at = _SIGNATURE_BYTES
    while at + _HEAD.size <= len(png):
        length, kind = _HEAD.unpack_from(png, at)
        at += _HEAD.size
        if kind == b"IDAT":
            return None
        if kind == b"iTXt" and length <= MAX_CHUNK_BYTES and png.startswith(_PREFIX, at):
            return _decode(_inflate(png[at + len(_PREFIX) : at + length]))
        at += length + _CRC_BYTES
    return None


def visible_text(layer: PageLayer) -> str:
    """The text that a reader of the page sees, a line for each of its lines."""
    lines = (
        "".join(span.text for span in line.spans if not layer.styles[span.style].invisible) for line in layer.lines
    )
    return "\n".join(filter(None, map(str.strip, lines)))


def _inflate(packed: bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(packed, MAX_BYTES + 1)
    except zlib.error:
        return b""
    return plain if inflater.eof and len(plain) <= MAX_BYTES else b""


def _decode(plain: bytes) -> PageLayer | None:
    try:
        layer = _decoder.decode(plain)
    except (ValueError, RecursionError):
        return None
    return layer if layer.is_sound() else None
