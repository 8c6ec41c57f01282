"""Documents made by code, whose pages say in pixels what they are: eight by eight fields, black or white."""

import io
import zlib
from pathlib import Path

import msgspec
import pymupdf
from PIL import Image

from tests.simulation.script import Document

FIELDS = 8
FIELD = 12  # points or pixels


def pdf(document: Document) -> bytes:
    """The document as a PDF; its last line is its token."""
    with pymupdf.open() as drawn:
        for page_no in range(1, len(document.pages) + 1):
            page = drawn.new_page(width=FIELDS * FIELD, height=FIELDS * FIELD)
            shape = page.new_shape()
            for row, column in _black(document.token, page_no):
                corner = (column * FIELD, row * FIELD)
                shape.draw_rect(pymupdf.Rect(corner, (corner[0] + FIELD, corner[1] + FIELD)))
            shape.finish(color=None, fill=(0, 0, 0))
            shape.commit()
        return bytes(drawn.tobytes()) + b"\n" + document.token.encode()


def tiff(document: Document) -> bytes:
    """The document as an image of many frames; its last line is its token."""
    frames = []
    for page_no in range(1, len(document.pages) + 1):
        small = Image.new("L", (FIELDS, FIELDS), 255)
        for row, column in _black(document.token, page_no):
            small.putpixel((column, row), 0)
        frames.append(small.resize((FIELDS * FIELD, FIELDS * FIELD), Image.Resampling.NEAREST))
    file = io.BytesIO()
    frames[0].save(file, "TIFF", save_all=True, append_images=frames[1:])
    return file.getvalue() + b"\n" + document.token.encode()


def broken(document: Document) -> bytes:
    """What calls itself a PDF and is none."""
    return b"%PDF-1.7\nnothing of the kind\n" + document.token.encode()


def read(image: bytes) -> tuple[str, int]:
    """Token and number of the page on this picture. Raises `ValueError` for any other picture."""
    with Image.open(io.BytesIO(image)) as opened:
        grey = opened.convert("L")
    across, down = grey.width / FIELDS, grey.height / FIELDS
    value = 0
    for number in range(FIELDS * FIELDS):
        row, column = divmod(number, FIELDS)
        pixel = grey.getpixel((int((column + 0.5) * across), int((row + 0.5) * down)))
        assert isinstance(pixel, int | float)
        value = value << 1 | (pixel < 128)
    said = (value >> 16).to_bytes(6, "big")
    if zlib.crc32(said) & 0xFFFF != value & 0xFFFF:
        raise ValueError("no page of ours")
    return said[:4].hex(), int.from_bytes(said[4:], "big")


def save_script(library: Path, document: Document) -> None:
    """Leave the document's script where the engine looks for it."""
    (library / document.token).write_bytes(msgspec.json.encode(document))


def _black(token: str, page_no: int) -> list[tuple[int, int]]:
    said = bytes.fromhex(token) + page_no.to_bytes(2, "big")
    value = int.from_bytes(said, "big") << 16 | zlib.crc32(said) & 0xFFFF
    return [divmod(n, FIELDS) for n in range(FIELDS * FIELDS) if value >> (FIELDS * FIELDS - 1 - n) & 1]
