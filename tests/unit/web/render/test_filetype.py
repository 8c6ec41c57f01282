import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from services.web.render.filetype import HEAD_BYTES, FileType, file_type


def saved(format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(buffer, format_name, **options)
    return buffer.getvalue()[:HEAD_BYTES]


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"%PDF-1.7\n", FileType.PDF),
        (saved("PNG"), FileType.PNG),
        (saved("JPEG"), FileType.JPEG),
        (saved("TIFF"), FileType.TIFF),
        (saved("TIFF", big_tiff=True), FileType.TIFF),
        (b"MM\0*\0\0\0\x08", FileType.TIFF),
        (b"MM\0+\0\x08\0\0", FileType.TIFF),
        (saved("WEBP"), FileType.WEBP),
        (saved("BMP"), FileType.BMP),
        (saved("GIF"), FileType.GIF),
        (b"GIF87a", FileType.GIF),
        (saved("JPEG2000"), FileType.JP2),
        (saved("JPEG2000", no_jp2=True), FileType.JP2),
    ],
)
def test_every_supported_type_is_known_by_its_content(head: bytes, expected: FileType) -> None:
    assert file_type(head) is expected


@pytest.mark.parametrize("junk", [0, 1, 1023])
def test_a_pdf_header_may_begin_anywhere_in_the_first_1024_bytes(junk: int) -> None:
    assert file_type(b"\n" * junk + b"%PDF-1.4") is FileType.PDF


def test_a_pdf_header_that_begins_later_is_not_one() -> None:
    assert file_type(b"\n" * 1024 + b"%PDF-1.4") is None


def test_an_image_that_mentions_a_pdf_header_stays_an_image() -> None:
    assert file_type(saved("JPEG", comment=b"%PDF-1.4")) is FileType.JPEG


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"<html><body>%PDF</body></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"PK\x03\x04",
        b"BMW is a maker of cars, and this is text about them.",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x1cftypheic",
    ],
)
def test_anything_else_is_unknown(head: bytes) -> None:
    assert file_type(head) is None


@given(st.binary(max_size=HEAD_BYTES))
def test_no_head_makes_it_raise(head: bytes) -> None:
    file_type(head)


def test_media_types_are_the_registered_ones() -> None:
    assert FileType.PDF.media_type == "application/pdf"
    assert FileType.JPEG.media_type == "image/jpeg"
    assert FileType.JP2.media_type == "image/jp2"
