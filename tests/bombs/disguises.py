"""What is no document at all, what is two at once, and what is only a part of one."""

import io
import zipfile

from PIL import Image

from tests.bombs.bomb import Maker, Makers
from tests.bombs.paper import Pdf
from tests.bombs.pictures import SMALL, saved

UNREADABLE = "damaged|something else inside|No page"


def archive(*names: str) -> bytes:
    """A zip of these names: what XPS, EPUB and comic books are made of."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in names:
            zipped.writestr(name, b"application/epub+zip" if name == "mimetype" else b"<FixedPage/>" * 9_999)
    return buffer.getvalue()


def laughs() -> bytes:
    """XML whose entities blow up to gigabytes, as SVG."""
    entities = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 11))
    return (
        b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a0 "laugh">%s]><svg xmlns="http://www.w3.org/2000/svg"><text>&a10;</text></svg>'
        % entities
    )


DISGUISED: dict[str, bytes] = {
    "html": b"<!DOCTYPE html><html><body><h1>No PDF</h1></body></html>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><rect width="9" height="9"/></svg>',
    "laughs": laughs(),
    "fb2": b'<?xml version="1.0"?><FictionBook><body><section><p>No PDF</p></section></body></FictionBook>',
    "zip": archive("a.txt"),
    "cbz": archive("001.png", "002.png"),
    "xps": archive("[Content_Types].xml", "_rels/.rels", "FixedDocumentSequence.fdseq"),
    "epub": archive("mimetype", "META-INF/container.xml"),
    "script": b"%!PS-Adobe-3.0\n{ } loop\n",
    "text": b"plain text",
    "one byte": b"%",
}

SOUND = Pdf().page(b"0 0 99 99 re f").data()


def masked(name: str, data: bytes) -> Maker:
    """A viewer finds the signature anywhere in the first kilobyte; so does whoever hides it in a comment."""

    def make() -> bytes:
        return b"<!-- %PDF-1.7 -->" + data

    make.__name__ = f"masked_{name.replace(' ', '_')}"
    return make


def pdf_and_zip() -> bytes:
    """A PDF that is a zip as well."""
    return SOUND + DISGUISED["zip"]


def pdf_and_page() -> bytes:
    """A PDF within a web page."""
    return b"<html><script>alert(1)</script><!--\n" + SOUND + b"\n--></html>"


def png_and_pdf() -> bytes:
    """A picture with a PDF behind it."""
    return saved(SMALL, "PNG") + SOUND


def gif_and_script() -> bytes:
    """A picture that a browser could run."""
    return saved(SMALL, "GIF") + b"*/=1;alert(1)//"


def cuts(data: bytes, *marks: bytes) -> list[bytes]:
    """The file up to each place where one of the marks begins, and one byte further."""
    places = {at + more for mark in marks for at in _finds(data, mark) for more in (0, len(mark))}
    return [data[:at] for at in sorted(places | {len(data) - 1}) if at]


def _finds(data: bytes, mark: bytes) -> list[int]:
    found, at = [], data.find(mark)
    while at >= 0:
        found.append(at)
        at = data.find(mark, at + 1)
    return found


def truncated() -> dict[str, bytes]:
    """Documents cut off at every boundary of their format, by file name."""
    frames = {"save_all": True, "append_images": [SMALL]}
    whole = {
        "pdf": cuts(SOUND, b"obj\n", b"endobj", b"stream", b"xref", b"trailer", b"startxref", b"%%EOF"),
        "png": cuts(saved(SMALL, "PNG"), b"IHDR", b"IDAT", b"IEND"),
        "jpg": cuts(saved(SMALL, "JPEG"), b"\xff\xdb", b"\xff\xc0", b"\xff\xc4", b"\xff\xda", b"\xff\xd9"),
        "tiff": cuts(saved(SMALL, "TIFF", **frames), b"\x00\x01\x03\x00", b"\x11\x01\x04\x00"),
        "gif": cuts(saved(SMALL, "GIF", **frames), b"\x21", b"\x2c", b"\x3b"),
        "webp": cuts(saved(SMALL, "WEBP"), b"VP8"),
        "bmp": cuts(saved(SMALL, "BMP"), b"\0\0\x28"),
        "jp2": cuts(
            saved(Image.new("L", (64, 48)), "JPEG2000"), b"ihdr", b"jp2c", b"\xff\x51", b"\xff\x90", b"\xff\xd9"
        ),
    }
    return {f"cut_{at:02}.{ending}": part for ending, parts in whole.items() for at, part in enumerate(parts)}


MAKERS: Makers = (
    *((masked(name, data), UNREADABLE) for name, data in DISGUISED.items()),
    (pdf_and_zip, "rendered|damaged"),
    (pdf_and_page, "rendered|damaged"),
    (png_and_pdf, "rendered"),
    (gif_and_script, "rendered"),
)
