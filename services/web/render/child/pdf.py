"""PDF pages through MuPDF, each with its text layer. MuPDF holds the interpreter lock and cannot be interrupted."""

import math
import mmap
import re
import time
from typing import Any

import numpy as np
import pymupdf
from numpy.typing import NDArray

from services.web.render.child.layer import page_layer
from services.web.render.png import encode_png, without_colour
from services.web.render.protocol import Fault, RenderError, RenderLimits

# PyMuPDF is typed in part only.
mupdf: Any = pymupdf
_pdf: Any = pymupdf.mupdf

_POINTS_PER_INCH = 72  # ISO 32000-1, 8.3.2.3
# Share of `render_seconds` that drawing may have taken for the page's text to be searched too. Chosen: a page that was
# slow to draw may be slow to search, and its image is what counts.
_TEXT_SHARE = 0.2
# Pixels by which MuPDF's fz_round_rect lets a rectangle pass a whole pixel without counting another.
_ROUNDING = 0.001
# What MuPDF reports of content that it cannot read, a line each. Errors begin with their class (`fz_report_error`);
# warnings, most of them harmless, do not. Left out are classes that mean no damage, such as "unsupported error".
_UNREADABLE_CONTENT = re.compile(r"^(?:(?:format|library|syntax) error: |content stream is not a stream)", re.MULTILINE)


class PdfSource:
    """A PDF whose pages are drawn as a viewer would draw them, with annotations and rotation, at `dpi`."""

    def __init__(self, descriptor: int, dpi: int, limits: RenderLimits, password: str | None = None) -> None:
        mupdf.TOOLS.mupdf_display_errors(False)
        mupdf.TOOLS.mupdf_display_warnings(False)
        self._dpi = dpi
        self._limits = limits
        self._content, self._document = open_pdf(descriptor, password)
        self.total_pages: int = self._document.page_count
        self.repaired: bool = self._document.is_repaired

    def page_png(self, page_no: int) -> bytes:
        """Render one page: smaller where it would pass the limits, and grey where it has no colour."""
        began = time.monotonic()
        page = self._document.load_page(page_no - 1)
        scale = page_scale(page.rect.width, page.rect.height, self._dpi, self._limits)
        matrix = mupdf.Matrix(scale, scale)
        # What loading reports concerns the page tree, and is common in sound documents that leave out a type.
        mupdf.TOOLS.reset_mupdf_warnings()
        drawing = page.get_displaylist()
        try:
            pixmap = drawing.get_pixmap(matrix=matrix, alpha=False, colorspace=mupdf.csRGB)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            # The memory may be taken by what MuPDF caches of earlier pages.
            mupdf.TOOLS.store_shrink(100)
            pixmap = drawing.get_pixmap(matrix=matrix, alpha=False, colorspace=mupdf.csRGB)
        rows = np.frombuffer(pixmap.samples_mv, np.uint8).reshape(pixmap.height, pixmap.stride)
        pixels = rows[:, : 3 * pixmap.width].reshape(pixmap.height, pixmap.width, 3)
        if self._is_damaged() and _one_colour(pixels):
            raise RenderError(Fault.PAGE_MISSING)
        hurried = time.monotonic() - began > self._limits.render_seconds * _TEXT_SHARE
        layer = None if hurried else page_layer(drawing, scale, pixmap.width, pixmap.height)
        return encode_png(without_colour(pixels), scale * _POINTS_PER_INCH, layer)

    def _is_damaged(self) -> bool:
        """Whether content of the page just drawn may be missing.

        Asked after each page: MuPDF repairs a document when it first needs an object that it cannot find.
        """
        reports = mupdf.TOOLS.mupdf_warnings(reset=True)
        return bool(self._document.is_repaired or _UNREADABLE_CONTENT.search(reports))


def _one_colour(pixels: NDArray[np.uint8]) -> bool:
    """Whether pixels of shape (h, w, 3) are all the same.

    Compared row by row: most pages differ early, and a comparison of the whole would take as much memory as the page.
    """
    return all(bool((row == pixels[0, 0]).all()) for row in pixels)


def page_scale(width: float, height: float, dpi: int, limits: RenderLimits) -> float:
    """Pixels per point for a page of `width` x `height` points: by `dpi`, or less to keep the limits.

    Raises `RenderError` for a page that would be less than a pixel wide or high.
    """
    scale = dpi / _POINTS_PER_INCH
    if min(width, height) * scale < 1:
        raise RenderError(Fault.PAGE_EMPTY)
    scale = min(scale, limits.max_side / max(width, height))
    if _pixels(width, scale) * _pixels(height, scale) > limits.max_pixels:
        # Each side is rounded up, so solve (width * s + 1) * (height * s + 1) = max_pixels for s.
        half = (width + height) / 2
        area = width * height
        scale = (math.sqrt(half * half + area * (limits.max_pixels - 1)) - half) / area
    if min(width, height) * scale < 1:
        raise RenderError(Fault.PAGE_EMPTY)
    return scale


def _pixels(side: float, scale: float) -> int:
    """As MuPDF rounds an area to whole pixels."""
    return math.ceil(side * scale - _ROUNDING)


def open_pdf(descriptor: int, password: str | None = None) -> tuple[memoryview, Any]:
    """The file's bytes, which have to live as long as the document, and the document. Raises `RenderError`."""
    # Mapped, because MuPDF opens files by path only, which the jail refuses; it does not copy a buffer.
    content = memoryview(mmap.mmap(descriptor, 0, prot=mmap.PROT_READ))
    try:
        document = mupdf.open(stream=content, filetype="pdf")
    except (MemoryError, RuntimeError) as error:
        raise RenderError(Fault.TOO_LARGE_TO_OPEN if _out_of_memory(error) else Fault.DAMAGED) from error
    # MuPDF goes by the content too, and opens HTML, SVG and more under any name.
    if not document.is_pdf:
        raise RenderError(Fault.NOT_PDF)
    if document.needs_pass:
        if password is None:
            raise RenderError(Fault.ENCRYPTED)
        # MuPDF encodes it as the PDF's kind of encryption demands, and tries it for both the user and the owner.
        if not document.authenticate(password):
            raise RenderError(Fault.WRONG_PASSWORD)
    return content, document


def add_stream(file: Any, content: bytes, dictionary: str) -> Any:
    """Add a stream whose bytes are as its dictionary says; a reference to it."""
    entries = mupdf.JM_pdf_obj_from_str(file, dictionary)
    return _pdf.pdf_add_stream(file, mupdf.JM_BufferFromBytes(content), entries, 1)


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "malloc" in str(error)
