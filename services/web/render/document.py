"""A document's pages as PNGs, drawn in child processes that may be killed at any moment.

    async with open_document(path, file_type, dpi=150, limits=limits) as document:
        ...  # document.total_pages is known: plan
        async for page in document.render(pages):
            ...  # one RenderedPage or FailedPage for each of `pages`, in order

One child opens and draws a document. While the caller stores a page the child draws the next, and then waits.
A page that hangs, kills its child or makes it talk nonsense fails alone: the next page gets a new child.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import structlog

from services.serving.childprocess import ChildLost, ChildTimedOut
from services.web.render.filetype import FileType
from services.web.render.png import TRAILER, BadPng, png_size
from services.web.render.process import Child
from services.web.render.protocol import (
    BadFrame,
    DocumentOpened,
    Fault,
    Kind,
    OpenRequest,
    PagesRequest,
    RenderLimits,
    decode_fault,
    decode_opened,
)

__all__ = [
    "Document",
    "DocumentInfo",
    "FailedPage",
    "RenderLimits",
    "RenderedPage",
    "Unreadable",
    "describe",
    "open_document",
]

DEFAULT_DPI = 150

_log = structlog.get_logger()

_REMEDY = "Print the document to a new PDF and upload that."


class Unreadable(Exception):
    """The document yields no page; `reason` is a sentence or two for its owner, with what to do next."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class DocumentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a document once it is open.

    `repaired`: it was damaged, its pages were found by searching, and some may be missing from `total_pages`.
    """

    total_pages: int
    repaired: bool


class RenderedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page as an 8-bit grey or RGB PNG of `width` x `height` pixels."""

    page_no: int
    png: bytes
    width: int
    height: int


class FailedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page that could not be drawn; `reason` is a sentence or two for the document's owner."""

    page_no: int
    reason: str


class Document:
    """An open document; made by `open_document`, which also ends it."""

    def __init__(self, path: Path, file_type: FileType, dpi: int, limits: RenderLimits) -> None:
        self._request = OpenRequest(
            path=str(path.resolve()), file_type=file_type, dpi=dpi, limits=limits, parent=os.getpid()
        )
        self._limits = limits
        self._child: Child | None = None
        self._opened: DocumentOpened | None = None
        self._busy = False
        self._closed = False

    @property
    def info(self) -> DocumentInfo:
        """What is known of the document."""
        assert self._opened is not None
        return DocumentInfo(total_pages=self._opened.total_pages, repaired=self._opened.repaired)

    @property
    def total_pages(self) -> int:
        """Pages in the document, whether asked for or not."""
        return self.info.total_pages

    async def render(self, pages: Sequence[int]) -> AsyncIterator[RenderedPage | FailedPage]:
        """Yield exactly one item for each of these 1-based pages, in order, each as soon as it exists.

        May be called again, from any page. Raises `ValueError` for a page that the document does not have.
        """
        for page_no in pages:
            if not 1 <= page_no <= self.total_pages:
                raise ValueError(f"page {page_no} of a document of {self.total_pages} pages")
        if self._busy:
            # An earlier call was left half-way, and its child still speaks of other pages.
            await self._drop()
        self._busy = True
        told = False
        lost_in_a_row = 0
        for index, page_no in enumerate(pages):
            if lost_in_a_row >= self._limits.max_lost_in_a_row:
                yield FailedPage(page_no=page_no, reason=self._given_up())
                continue
            try:
                if self._child is None:
                    await self._open()
                    told = False
                assert self._child is not None
                if not told:
                    await self._child.send(PagesRequest(pages=tuple(pages[index:])))
                    told = True
                page = await self._next(page_no)
                lost_in_a_row = 0
            except (ChildLost, Unreadable) as loss:
                pid = self._child.pid if self._child else None
                await self._drop()
                lost_in_a_row += 1
                _log.warning("page_lost_its_renderer", page_no=page_no, why=str(loss), pid=pid)
                page = FailedPage(page_no=page_no, reason=self._reason(loss))
            yield page
        self._busy = False

    async def _open(self) -> None:
        """Start a child and open the document in it. Raises `Unreadable` or `ChildLost`."""
        if self._closed:
            raise RuntimeError("the document is closed")
        self._child = Child(self._limits)
        await self._child.send(self._request)
        kind, _, payload = await self._child.frame(self._limits.open_seconds)
        try:
            if kind is Kind.DOCUMENT_FAULT:
                fault = decode_fault(payload)
                raise Unreadable(
                    f"{fault.value} (The limit is {self._limits.max_pages:,} pages.)"
                    if fault is Fault.TOO_MANY_PAGES
                    else fault.value
                )
            if kind is not Kind.DOCUMENT:
                raise BadFrame(f"{kind.name} instead of a document")
            opened = decode_opened(payload, self._limits)
            if self._opened not in (None, opened):
                raise BadFrame("the document has changed")
        except BadFrame as error:
            raise ChildLost("nonsense") from error
        self._opened = opened

    async def _next(self, page_no: int) -> RenderedPage | FailedPage:
        assert self._child is not None
        kind, spoken_of, payload = await self._child.frame(self._limits.render_seconds)
        try:
            if spoken_of != page_no:
                raise BadFrame(f"page {spoken_of} instead of {page_no}")
            if kind is Kind.PAGE_FAULT:
                return FailedPage(page_no=page_no, reason=decode_fault(payload).value)
            if kind is not Kind.PAGE:
                raise BadFrame(f"{kind.name} instead of a page")
            width, height = png_size(payload)
            if max(width, height) > self._limits.max_side or width * height > self._limits.max_pixels:
                raise BadFrame(f"a page of {width}x{height} pixels")
            if not payload.endswith(TRAILER):
                raise BadFrame("a PNG without an end")
        except (BadFrame, BadPng) as error:
            raise ChildLost("nonsense") from error
        return RenderedPage(page_no=page_no, png=payload, width=width, height=height)

    async def _drop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            await child.kill()

    async def _close(self) -> None:
        self._closed = True
        await self._drop()

    def _reason(self, loss: ChildLost | Unreadable) -> str:
        match loss:
            case Unreadable():
                return loss.reason
            case ChildTimedOut():
                return f"Drawing the page took longer than {self._limits.render_seconds:g} seconds. {_REMEDY}"
            case _:
                return f"The page ended the program that draws pages. {_REMEDY}"

    def _given_up(self) -> str:
        return (
            f"The page was not tried, because {self._limits.max_lost_in_a_row} pages in a row before it "
            f"could not be drawn. {_REMEDY}"
        )


@contextlib.asynccontextmanager
async def open_document(
    path: Path,
    file_type: FileType,
    *,
    dpi: int = DEFAULT_DPI,
    limits: RenderLimits | None = None,
    slots: asyncio.Semaphore | None = None,
) -> AsyncIterator[Document]:
    """Open a document in a child process, and end that process on the way out, however that is.

    `dpi` is the resolution of PDF pages in dots per inch; images keep their own pixels. `slots` bounds the
    children that live at once: one is held from here to the end. Raises `Unreadable`.
    """
    limits = limits or RenderLimits()
    async with slots or contextlib.nullcontext():
        document = Document(path, file_type, dpi, limits)
        try:
            try:
                await document._open()
            except ChildTimedOut as error:
                raise Unreadable(
                    f"Opening the document took longer than {limits.open_seconds:g} seconds. {_REMEDY}"
                ) from error
            except ChildLost as error:
                raise Unreadable(f"The document ended the program that opens documents. {_REMEDY}") from error
            yield document
        finally:
            await document._close()


async def describe(path: Path, file_type: FileType, limits: RenderLimits | None = None) -> DocumentInfo:
    """Open a document only to count its pages. Raises `Unreadable`."""
    async with open_document(path, file_type, limits=limits) as document:
        return document.info
