"""Pages of real print, and searchable PDFs of them.

A page is drawn by MuPDF, which also says where its words are. As a picture it is the scan; its lines are what an engine
that reads without a fault would find.
"""

import html
import io
import math
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pymupdf
from numpy.typing import NDArray
from PIL import Image

from libs.page.block import Line, Point, Rect
from services.web.render.filetype import FileType
from services.web.render.protocol import PageText, RenderLimits
from services.web.render.searchable import searchable_pdf
from tests.required import missing

# Only a part of it is typed.
mupdf: Any = pymupdf

DPI = 150
SCALE = DPI / 72
PROSE = (
    "The committee met on the third of March at ten in the morning, and",
    "the minutes of the meeting before were read: Mr Willoughby, MMXXVI,",
    "asked why 1,204.50 had been paid; illicit lilies fill the hill's rill.",
    "Which was answered. WHEN IT WAS ALL IN CAPITALS NOBODY MINDED.",
)
#: As programs are printed: indents, and marks that Markdown would take for its own.
PROGRAM = """\
<html>
  <body>
    <h2>Items</h2>
      <p>{.Name}</p>
    <p>No more</p>
  </body>
</html>"""


class Print(msgspec.Struct, frozen=True, kw_only=True):
    """A printed page: its picture, its words' places, and its lines, in pixels of the picture."""

    pixels: NDArray[np.uint8]
    words: tuple[tuple[str, Rect], ...]
    lines: tuple[Line, ...]

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


def printed(lines: Sequence[str] = PROSE, *, width: float = 420, height: float = 300) -> Print:
    document = mupdf.open()
    page = document.new_page(width=width, height=height)
    for number, line in enumerate(lines):
        page.insert_text((36, 60 + 30 * number), line, fontsize=11, fontname="tiro")
    pixmap = page.get_pixmap(dpi=DPI, colorspace=mupdf.csGRAY)
    pixels = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.stride)[:, : pixmap.width]
    words: list[tuple[str, Rect]] = []
    boxes: dict[int, list[tuple[str, Rect]]] = {}
    for left, top, right, bottom, text, *_ in page.get_text("words"):
        box = (left * SCALE, top * SCALE, right * SCALE, bottom * SCALE)
        words.append((text, box))
        boxes.setdefault(round(bottom), []).append((text, box))
    found = []
    for row in boxes.values():
        left, right = min(box[0] for _, box in row), max(box[2] for _, box in row)
        top, bottom = row[0][1][1], row[0][1][3]
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        found.append(Line(text=" ".join(text for text, _ in row), box=corners))
    return Print(pixels=np.ascontiguousarray(pixels), words=tuple(words), lines=tuple(found))


def saved(image: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def scan(print_: Print, *, rotate: int = 0, offset: Point = (0, 0), crop: bool = False, **save: Any) -> bytes:
    """A PDF with the picture as its page, seen upright after `/Rotate`, its origin and visible part elsewhere."""
    width, height = print_.width / SCALE, print_.height / SCALE
    turned = np.rot90(print_.pixels, rotate // 90)
    if rotate % 180:
        width, height = height, width
    document = mupdf.open()
    page = document.new_page(width=width, height=height)
    page.insert_image(page.rect, stream=saved(Image.fromarray(turned), "PNG"))
    x, y = offset
    if crop or offset != (0, 0):
        # The picture moves with the boxes' origin; a margin around it is cropped away.
        margin = 20 if crop else 0
        document.xref_set_key(
            page.xref, "MediaBox", f"[{x - margin} {y - margin} {x + width + margin} {y + height + margin}]"
        )
        document.xref_set_key(page.xref, "CropBox", f"[{x} {y} {x + width} {y + height}]")
        (contents,) = page.get_contents()
        document.update_stream(contents, b"1 0 0 1 %d %d cm\n" % (x, y) + document.xref_stream(contents))
    document.xref_set_key(page.xref, "Rotate", str(rotate))
    return bytes(document.tobytes(**save))


async def texts(*pages: PageText) -> AsyncIterator[PageText]:
    for page in pages:
        yield page


def text_of(print_: Print, page_no: int = 1) -> PageText:
    return PageText(page_no=page_no, width=print_.width, height=print_.height, lines=print_.lines)


async def searchable(
    path: Path, *pages: PageText, file_type: FileType = FileType.PDF, limits: RenderLimits | None = None
) -> bytes:
    async with searchable_pdf(path, file_type, texts(*pages), dpi=DPI, limits=limits) as chunks:
        return b"".join([chunk async for chunk in chunks])


def found_words(pdf: bytes, page_no: int = 1) -> list[tuple[str, Rect]]:
    """The words that MuPDF finds, in pixels of the page as it is seen."""
    with mupdf.open(stream=pdf) as document:
        page = document[page_no - 1]
        words = []
        for *box, text, _, _, _ in page.get_text("words"):
            seen = mupdf.Rect(box) * page.rotation_matrix * mupdf.Matrix(SCALE, SCALE)
            words.append((text, (seen.x0, seen.y0, seen.x1, seen.y1)))
        return words


def centre(box: Rect) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def assert_in_place(found: Sequence[tuple[str, Rect]], true: Sequence[tuple[str, Rect]]) -> None:
    """Each word is there, in order, its middle within half a line of the printed word's."""
    assert [text for text, _ in found] == [text for text, _ in true]
    for (text, box), (_, place) in zip(found, true, strict=True):
        height = place[3] - place[1]
        assert math.dist(centre(box), centre(place)) < height / 2, text


def pixels_of(pdf: bytes, page_no: int = 1, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The page at `DPI`, or of this width and height."""
    with mupdf.open(stream=pdf) as document:
        page = document[page_no - 1]
        across, down = (size[0] / page.rect.width, size[1] / page.rect.height) if size else (SCALE, SCALE)
        pixmap = page.get_pixmap(matrix=mupdf.Matrix(across, down), colorspace=mupdf.csRGB)
        return np.frombuffer(pixmap.samples, np.uint8).copy().reshape(pixmap.height, pixmap.width, 3)


def words_by_pdftotext(path: Path) -> list[tuple[str, Rect]]:
    """The words that pdftotext finds on the first page, in pixels of the page as it is seen."""
    program = shutil.which("pdftotext")
    if program is None:
        missing("pdftotext is not installed (Debian: apt-get install poppler-utils)")
    done = subprocess.run([program, "-bbox", "-l", "1", path, "-"], capture_output=True, text=True, check=True)
    words = []
    for *box, word in re.findall(r'xMin="(.*?)" yMin="(.*?)" xMax="(.*?)" yMax="(.*?)">(.*?)</word>', done.stdout):
        left, top, right, bottom = (float(number) * SCALE for number in box)
        words.append((html.unescape(word), (left, top, right, bottom)))
    return words


def check_by_qpdf(path: Path) -> None:
    """Where qpdf is installed, it finds nothing wrong."""
    if program := shutil.which("qpdf"):
        done = subprocess.run([program, "--check", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
