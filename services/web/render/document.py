"""A document's pages as PNGs, rendered in child processes that may be killed at any moment.

    async with open_document(path, file_type, dpi=150, limits=limits) as document:
        ...  # document.total_pages is known: plan
        async for page in document.render(pages):
            ...  # one RenderedPage or FailedPage for each of `pages`, in order

One child opens and renders a document. While the caller stores a page the child renders the next, and then waits. A
page on which the child hangs, dies or breaks the protocol fails alone: the next page gets a new child.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Self

import msgspec
import structlog

from libs.png.header import TRAILER, BadPng, png_size
from services.serving import jail
from services.serving.childprocess import ChildLost, ChildProcess, ChildTimedOut, time_limit
from services.web.render.filetype import FileType
from services.web.render.protocol import (
    HEADER_BYTES,
    BadFrame,
    DocumentOpened,
    Fault,
    FrameKind,
    OpenRequest,
    PagesRequest,
    PageText,
    RenderLimits,
    decode_fault,
    decode_header,
    decode_opened,
    encode_request,
)

__all__ = ["Document", "FailedPage", "RenderLimits", "RenderedPage", "Unreadable", "open_document"]

#: Dots per inch of PDF pages where the caller names none.
DEFAULT_DPI = 150

#: Arguments to Python; the fault tests put a lying child in its place.
PROGRAM = ("-m", "services.web.render.child")

_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",  # each thread of numpy's would take address space
    "MALLOC_ARENA_MAX": "1",  # likewise each arena of the C library
}

log = structlog.get_logger()

#: What the owner of a document can do about it.
REMEDY = "Print the document to a new PDF and upload that."


class Unreadable(Exception):
    """The document yields no page; `reason` is a sentence or two for its owner, with what to do next."""

    def __init__(self, reason: str, fault: Fault | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        #: Where the child has found the reason.
        self.fault = fault


class RenderedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page as an 8-bit grey or RGB PNG."""

    page_no: int
    png: bytes
    #: Pixels.
    width: int
    #: Pixels.
    height: int


class FailedPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page that could not be rendered."""

    page_no: int
    #: A sentence or two for the document's owner.
    reason: str


class Renderer:
    """The parent's end of one render child. Its maker calls `kill` in every case."""

    def __init__(self, limits: RenderLimits, *, descriptor: int) -> None:
        """Start the child. It inherits `descriptor`, the document, and can open no other file."""
        self._limits = limits
        self._descriptor = descriptor
        self._process = ChildProcess(PROGRAM, environment=_ENVIRONMENT, descriptors=(descriptor,))

    @classmethod
    def of_file(cls, path: Path, limits: RenderLimits) -> Self:
        """Start a child for the document at `path`. Raises `Unreadable`."""
        try:
            # Opened for each child: children that share an open file share its offset.
            with path.open("rb", buffering=0) as file:
                return cls(limits, descriptor=file.fileno())
        except OSError as error:
            raise Unreadable(Fault.DAMAGED.value) from error

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def open(
        self, file_type: FileType, dpi: int, *, password: str | None = None, searchable: bool = False
    ) -> DocumentOpened:
        """Let the child open the document. Raises `Unreadable` or `ChildLost`."""
        await self.send(
            OpenRequest(
                descriptor=self._descriptor,
                file_type=file_type,
                dpi=dpi,
                limits=self._limits,
                parent=os.getpid(),
                walls=tuple(sorted(jail.supported())),
                password=password,
                searchable=searchable,
            )
        )
        kind, _, payload = await self.receive_frame(self._limits.open_seconds)
        try:
            if kind is FrameKind.DOCUMENT_FAULT:
                fault = decode_fault(payload)
                raise Unreadable(
                    f"{fault.value} (The limit is {self._limits.max_pages:,} pages.)"
                    if fault is Fault.TOO_MANY_PAGES
                    else fault.value,
                    fault,
                )
            if kind is not FrameKind.DOCUMENT:
                raise BadFrame(f"{kind.name} instead of a document")
            return decode_opened(payload, self._limits)
        except BadFrame as error:
            raise ChildLost("bad frame") from error

    async def send(self, request: OpenRequest | PagesRequest | PageText) -> None:
        """Send a request. Raises `ChildLost`."""
        async with time_limit(self._limits.open_seconds):
            await self._process.send(encode_request(request))

    def end_input(self) -> None:
        """Say that no request follows. Raises `ChildLost`."""
        self._process.end_input()

    async def receive_frame(self, seconds: float) -> tuple[FrameKind, int, bytes]:
        """The next frame: kind, page and payload, whole within `seconds`. Raises `ChildLost`."""
        try:
            async with time_limit(seconds):
                header = await self._process.receive_exactly(HEADER_BYTES)
                kind, page_no, length = decode_header(header, self._limits)
                return kind, page_no, await self._process.receive_exactly(length)
        except BadFrame as error:
            raise ChildLost("bad frame") from error

    async def kill(self) -> None:
        """End the child, as `ChildProcess.kill` does."""
        await self._process.kill()


class Document:
    """An open document; made by `open_document`, which also ends it."""

    def __init__(self, path: Path, file_type: FileType, dpi: int, limits: RenderLimits, password: str | None) -> None:
        self._path = path
        self._file_type = file_type
        self._dpi = dpi
        self._limits = limits
        self._password = password
        self._renderer: Renderer | None = None
        self._opened: DocumentOpened | None = None
        self._rendering = False
        self._closed = False

    @property
    def total_pages(self) -> int:
        """Pages in the document, whether requested or not."""
        assert self._opened is not None
        return self._opened.total_pages

    @property
    def repaired(self) -> bool:
        """Whether the document is damaged: its pages were found by searching, and `total_pages` may lack some."""
        assert self._opened is not None
        return self._opened.repaired

    async def render(self, pages: Sequence[int]) -> AsyncIterator[RenderedPage | FailedPage]:
        """Yield exactly one item for each of these 1-based pages, in order, each as soon as it exists.

        May be called again, from any page. Raises `ValueError` for a page that the document does not have.
        """
        for page_no in pages:
            if not 1 <= page_no <= self.total_pages:
                raise ValueError(f"page {page_no} of a document of {self.total_pages} pages")
        if self._rendering:
            # An earlier call was abandoned half-way, and the child still sends the pages of that call.
            await self._drop()
        self._rendering = True
        requested = False
        lost_in_a_row = 0
        for index, page_no in enumerate(pages):
            if lost_in_a_row >= self._limits.max_lost_in_a_row:
                yield FailedPage(page_no=page_no, reason=self._given_up())
                continue
            try:
                if self._renderer is None:
                    await self._open()
                    requested = False
                assert self._renderer is not None
                if not requested:
                    await self._renderer.send(PagesRequest(pages=tuple(pages[index:])))
                    requested = True
                page = await self._receive(self._renderer, page_no)
                lost_in_a_row = 0
            except (ChildLost, Unreadable) as loss:
                pid = self._renderer.pid if self._renderer else None
                await self._drop()
                lost_in_a_row += 1
                log.warning("renderer_lost", page_no=page_no, why=str(loss), pid=pid)
                page = FailedPage(page_no=page_no, reason=self._reason(loss))
            yield page
        self._rendering = False

    async def _open(self) -> None:
        """Start a child and open the document in it. Raises `Unreadable` or `ChildLost`."""
        if self._closed:
            raise RuntimeError("the document is closed")
        self._renderer = Renderer.of_file(self._path, self._limits)
        opened = await self._renderer.open(self._file_type, self._dpi, password=self._password)
        if self._opened not in (None, opened):
            raise ChildLost("bad frame")  # another document than the first child opened
        self._opened = opened

    async def _receive(self, renderer: Renderer, page_no: int) -> RenderedPage | FailedPage:
        """The next page, which has to be this one. Raises `ChildLost`."""
        kind, sent_page_no, payload = await renderer.receive_frame(self._limits.render_seconds)
        try:
            if sent_page_no != page_no:
                raise BadFrame(f"page {sent_page_no} instead of {page_no}")
            if kind is FrameKind.PAGE_FAULT:
                return FailedPage(page_no=page_no, reason=decode_fault(payload).value)
            if kind is not FrameKind.PAGE:
                raise BadFrame(f"{kind.name} instead of a page")
            width, height = png_size(payload)
            if max(width, height) > self._limits.max_side or width * height > self._limits.max_pixels:
                raise BadFrame(f"a page of {width}x{height} pixels")
            if not payload.endswith(TRAILER):
                raise BadFrame("a PNG without an end")
        except (BadFrame, BadPng) as error:
            raise ChildLost("bad frame") from error
        return RenderedPage(page_no=page_no, png=payload, width=width, height=height)

    async def _drop(self) -> None:
        renderer, self._renderer = self._renderer, None
        if renderer is not None:
            await renderer.kill()

    async def _close(self) -> None:
        self._closed = True
        await self._drop()

    def _reason(self, loss: ChildLost | Unreadable) -> str:
        match loss:
            case Unreadable():
                return loss.reason
            case ChildTimedOut():
                return f"Drawing the page took longer than {self._limits.render_seconds:g} seconds. {REMEDY}"
            case _:
                return f"The page ended the program that draws pages. {REMEDY}"

    def _given_up(self) -> str:
        return (
            f"The page was not tried, because {self._limits.max_lost_in_a_row} pages in a row before it "
            f"could not be drawn. {REMEDY}"
        )


@contextlib.asynccontextmanager
async def open_document(
    path: Path,
    file_type: FileType,
    *,
    dpi: int = DEFAULT_DPI,
    limits: RenderLimits | None = None,
    slots: asyncio.Semaphore | None = None,
    password: str | None = None,
) -> AsyncIterator[Document]:
    """Open a document in a child process, which ends with the context in every case.

    `dpi` is the resolution of PDF pages in dots per inch; images keep their own pixels. `slots` bounds the number of
    children: one is held from here to the end. `password` opens an encrypted PDF. Raises `Unreadable`.
    """
    limits = limits or RenderLimits()
    async with slots or contextlib.nullcontext():
        document = Document(path, file_type, dpi, limits, password)
        try:
            try:
                await document._open()
            except ChildTimedOut as error:
                raise Unreadable(
                    f"Opening the document took longer than {limits.open_seconds:g} seconds. {REMEDY}"
                ) from error
            except ChildLost as error:
                raise Unreadable(f"The document ended the program that opens documents. {REMEDY}") from error
            yield document
        finally:
            await document._close()
