"""The engine around a page reader that runs on the CPU, one page at a time.

Decoding, blank pages, reading order and Markdown are the same for all such readers. Pages are read in one daemon
thread, which neither blocks the event loop nor delays the end of the process; meanwhile the next image is decoded.
"""

import asyncio
import queue
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

import msgspec

from libs.page.block import lines_of, mean_confidence
from libs.page.markdown import to_markdown
from services.worker.engines.engine import EngineInfo, Finish, PageFailure, PageImage, PageText
from services.worker.engines.guard.comparison import by_layer
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.lines.page_reader import PageReader
from services.worker.engines.picture import PictureError, Pixels, decode, is_blank

T = TypeVar("T")


class CpuEngine:
    """An `OcrEngine` around a `PageReader`."""

    def __init__(self, reader: PageReader) -> None:
        self._reader = reader
        self._thread = _ReadingThread()

    async def load(self) -> None:
        """Load the reader's models. Raises `EngineUnavailable`."""
        await self._thread.run(self._reader.load)

    def info(self) -> EngineInfo:
        """The reader's."""
        return self._reader.info()

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """Reads the pages in order, one at a time; at most one further image is decoded ahead."""
        upcoming = asyncio.create_task(_take(pages))
        try:
            while (page := await upcoming) is not None:
                upcoming = asyncio.create_task(_take(pages))
                if isinstance(page, PageFailure):
                    yield page
                else:
                    yield await self._thread.run(page.read, self._reader)
        finally:
            if not upcoming.done():
                upcoming.cancel()
                await asyncio.wait([upcoming])


class _DecodedPage:
    """A decoded page; `seconds` is the time that decoding took."""

    def __init__(self, image: PageImage, pixels: Pixels, seconds: float) -> None:
        self._page_no = image.page_no
        self._data = image.data
        self._languages = image.languages
        self._pixels = pixels
        self._seconds = seconds

    def read(self, reader: PageReader) -> PageText | PageFailure:
        started = time.monotonic()
        height, width = self._pixels.shape[:2]
        try:
            if is_blank(self._pixels):
                finish, page = Finish.BLANK, None
            else:
                finish, page = Finish.STOP, reader.read(self._pixels, self._languages)
        except PictureError as error:
            return PageFailure(page_no=self._page_no, reason=str(error), seconds=self._spent(started))
        if page is None:
            return PageText(
                page_no=self._page_no,
                markdown="",
                finish=finish,
                seconds=self._spent(started),
                width=width,
                height=height,
            )
        blocks = lay_out(page)
        markdown = to_markdown(blocks)
        info = reader.info(self._languages)
        scripts = info.scripts
        trust = msgspec.structs.replace(
            by_layer(markdown, self._data, reads=scripts),
            confidence=mean_confidence(lines_of(blocks)),
            unreadable=page.left_out,
            script=page.script,
            reads=() if page.left_out is None else scripts,
            nothing_read=page.left_out is None and not markdown and not blocks,
        )
        return PageText(
            page_no=self._page_no,
            markdown=markdown,
            finish=finish,
            seconds=self._spent(started),
            blocks=blocks,
            width=width,
            height=height,
            rotation=page.pose.rotation,
            skew=round(page.pose.skew, 2),
            engine=None if info == reader.info() else info,
            trust=trust,
        )

    def _spent(self, started: float) -> float:
        return round(self._seconds + time.monotonic() - started, 3)


async def _take(pages: AsyncIterator[PageImage]) -> _DecodedPage | PageFailure | None:
    """The next page decoded, or None after the last."""
    image = await anext(pages, None)
    if image is None:
        return None
    started = time.monotonic()
    try:
        pixels = await asyncio.to_thread(decode, image.data)
    except PictureError as error:
        seconds = round(time.monotonic() - started, 3)
        return PageFailure(page_no=image.page_no, reason=str(error), seconds=seconds)
    return _DecodedPage(image, pixels, time.monotonic() - started)


class _ReadingThread:
    """One daemon thread that runs calls one after another and hands their results to the event loop."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def deliver(result: T | None, error: BaseException | None) -> None:
            # The caller may have been cancelled while the page was read.
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]  # no error: it is a T, which may be None

        def call() -> None:
            result, error = None, None
            try:
                result = function(*arguments)
            except BaseException as caught:  # the waiting caller gets every exception
                error = caught
            # A closed loop: the process ends while a page is read, and no caller waits any more.
            if not loop.is_closed():
                loop.call_soon_threadsafe(deliver, result, error)

        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="page-reader", daemon=True)
            self._thread.start()
        self._calls.put(call)
        return await future

    def _work(self) -> None:
        while True:
            self._calls.get()()
