"""Documents made by code, and their pages as the render child draws them."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pymupdf
from numpy.typing import NDArray
from PIL import Image

from services.web.render.document import (
    Document,
    FailedPage,
    RenderedPage,
    RenderLimits,
    open_document,
)
from services.web.render.filetype import FileType
from services.web.render.png import encode_png

# Only a part of it is typed.
mupdf: Any = pymupdf

Pixels = NDArray[np.uint8]


def children() -> list[psutil.Process]:
    return list(psutil.Process().children(recursive=True))


def grey_of(page_no: int) -> int:
    return 5 * page_no


def pdf(pages: int, **options: object) -> bytes:
    """Square pages of 144 points, each filled with the grey of its number."""
    document = mupdf.open()
    for page_no in range(1, pages + 1):
        page = document.new_page(width=144, height=144)
        level = grey_of(page_no) / 255
        page.draw_rect(page.rect, color=None, fill=(level, level, level))
    return bytes(document.tobytes(**options))


def noisy_pdf(pages: int) -> bytes:
    """Pages whose PNGs are larger than what fits between child and parent."""
    document = mupdf.open()
    for page_no in range(1, pages + 1):
        page = document.new_page(width=480, height=480)
        noise = np.random.default_rng(page_no).integers(0, 256, (1000, 1000, 3), np.uint8)
        noise[0:40, 0:40] = grey_of(page_no)
        page.insert_image(page.rect, stream=encode_png(noise))
    return bytes(document.tobytes())


def one_page(width: float, height: float, draw: Callable[[Any], object] | None = None) -> bytes:
    document = mupdf.open()
    page = document.new_page(width=width, height=height)
    if draw:
        draw(page)
    return bytes(document.tobytes())


def saved(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def pixels(page: RenderedPage | FailedPage) -> Pixels:
    assert isinstance(page, RenderedPage), page
    with Image.open(io.BytesIO(page.png)) as image:
        assert (image.width, image.height) == (page.width, page.height)
        return np.asarray(image)


async def render(
    path: Path,
    file_type: FileType = FileType.PDF,
    pages: Sequence[int] | None = None,
    limits: RenderLimits | None = None,
    dpi: int = 72,
) -> list[RenderedPage | FailedPage]:
    async with open_document(path, file_type, dpi=dpi, limits=limits) as document:
        wanted = range(1, document.total_pages + 1) if pages is None else pages
        return [page async for page in document.render(wanted)]


def any_file(folder: Path) -> Path:
    """A file for a child that does not look at it."""
    path = folder / "any.pdf"
    path.write_bytes(b"%PDF-")
    return path


async def opened(path: Path, file_type: FileType, limits: RenderLimits | None = None) -> Document:
    """A document that has been opened and closed again: what is known of it stays."""
    async with open_document(path, file_type, limits=limits) as document:
        return document


async def render_one(path: Path, file_type: FileType, limits: RenderLimits | None = None) -> Pixels:
    (page,) = await render(path, file_type, limits=limits)
    return pixels(page)
