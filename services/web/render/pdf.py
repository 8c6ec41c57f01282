"""PDF pages through MuPDF. In a render child only: MuPDF holds the interpreter and cannot be interrupted."""

import math
import time
from typing import Any

import numpy as np
import pymupdf

from services.web.render.pdf_text import visible_text
from services.web.render.png import encode_png, without_colour
from services.web.render.protocol import Fault, RenderLimits
from services.web.render.source import Refused

# Only a part of it is typed.
mupdf: Any = pymupdf

_POINTS_PER_INCH = 72
_TEXT_SHARE = 0.2
_ROUNDING = 0.001  # fz_round_rect forgives this much of a pixel


class PdfSource:
    """A PDF whose pages are drawn as a viewer would draw them, with annotations and rotation, at `dpi`."""

    def __init__(self, path: str, dpi: int, limits: RenderLimits) -> None:
        mupdf.TOOLS.mupdf_display_errors(False)
        mupdf.TOOLS.mupdf_display_warnings(False)
        self._dpi = dpi
        self._limits = limits
        self._document: Any = _open(path)
        self.total_pages: int = self._document.page_count
        self.repaired: bool = self._document.is_repaired

    def page_png(self, page_no: int) -> bytes:
        """Render one page: smaller where it would pass the limits, and grey where it has no colour."""
        began = time.monotonic()
        page = self._document.load_page(page_no - 1)
        scale = page_scale(page.rect.width, page.rect.height, self._dpi, self._limits)
        matrix = mupdf.Matrix(scale, scale)
        drawing = page.get_displaylist()
        try:
            pixmap = drawing.get_pixmap(matrix=matrix, alpha=False, colorspace=mupdf.csRGB)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            # What MuPDF keeps of earlier pages may be all that is in the way.
            mupdf.TOOLS.store_shrink(100)
            pixmap = drawing.get_pixmap(matrix=matrix, alpha=False, colorspace=mupdf.csRGB)
        rows = np.frombuffer(pixmap.samples_mv, np.uint8).reshape(pixmap.height, pixmap.stride)
        pixels = rows[:, : 3 * pixmap.width].reshape(pixmap.height, pixmap.width, 3)
        # A page that was slow to draw may be slow to search, and its image is what counts.
        hurried = time.monotonic() - began > self._limits.render_seconds * _TEXT_SHARE
        text = "" if hurried else visible_text(drawing)
        return encode_png(without_colour(pixels), scale * _POINTS_PER_INCH, text)


def page_scale(width: float, height: float, dpi: int, limits: RenderLimits) -> float:
    """Pixels per point for a page of `width` x `height` points: by `dpi`, or less to keep the limits.

    Raises `Refused` for a page that would be less than a pixel wide or high.
    """
    scale = dpi / _POINTS_PER_INCH
    if min(width, height) * scale < 1:
        raise Refused(Fault.PAGE_EMPTY)
    scale = min(scale, limits.max_side / max(width, height))
    if _pixels(width, scale) * _pixels(height, scale) > limits.max_pixels:
        # Each side is rounded up, so solve (width * s + 1) * (height * s + 1) = max_pixels for s.
        half = (width + height) / 2
        area = width * height
        scale = (math.sqrt(half * half + area * (limits.max_pixels - 1)) - half) / area
    if min(width, height) * scale < 1:
        raise Refused(Fault.PAGE_EMPTY)
    return scale


def _pixels(side: float, scale: float) -> int:
    """As MuPDF rounds an area to whole pixels."""
    return math.ceil(side * scale - _ROUNDING)


def _open(path: str) -> Any:
    try:
        document = mupdf.open(path, filetype="pdf")
    except (MemoryError, RuntimeError) as error:
        raise Refused(Fault.TOO_LARGE_TO_OPEN if _out_of_memory(error) else Fault.DAMAGED) from error
    # MuPDF looks at the content too, and opens HTML, SVG and more whatever they are called.
    if not document.is_pdf:
        raise Refused(Fault.NOT_PDF)
    if document.needs_pass:
        raise Refused(Fault.ENCRYPTED)
    return document


def _out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "malloc" in str(error)
