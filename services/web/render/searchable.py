"""A document as a searchable PDF, made in a child process that may be killed at any moment.

    async with searchable_pdf(path, file_type, texts) as chunks:
        async for chunk in chunks:
            ...

The child gets the document as an open descriptor and the pages' lines as messages. What it sends is not read here.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from services.serving.childprocess import ChildLost, ChildTimedOut, time_limit
from services.web.render.document import DEFAULT_DPI, REMEDY, Renderer, Unreadable
from services.web.render.filetype import FileType
from services.web.render.protocol import BadFrame, FrameKind, PageText, RenderLimits, decode_made

# Bytes of the original that are read at a time. Chosen: few changes of thread, little memory.
_CHUNK = 1 << 20


@contextlib.asynccontextmanager
async def searchable_pdf(
    path: Path,
    file_type: FileType,
    texts: AsyncIterator[PageText],
    *,
    dpi: int = DEFAULT_DPI,
    limits: RenderLimits | None = None,
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Put the texts into the document; the bytes of the PDF, which may raise `Unreadable` on their way.

    `dpi` is that at which its pages were rendered, and the resolution of an image that states none. Raises
    `Unreadable`.
    """
    limits = limits or RenderLimits()
    renderer: Renderer | None = None
    try:
        renderer = Renderer.of_file(path, limits)
        with _explained():
            async with time_limit(limits.searchable_seconds):
                await renderer.open(file_type, dpi, searchable=True)
                async for text in texts:
                    await renderer.send(text)
                renderer.end_input()
                appended = await _made(renderer, limits)
        yield _chunks(renderer, path if appended else None, path.stat().st_size, limits)
    finally:
        if renderer is not None:
            await renderer.kill()


async def _made(renderer: Renderer, limits: RenderLimits) -> bool:
    """Wait until the PDF is ready; whether what follows is to be appended to the file. Raises `ChildLost`."""
    kind, _, payload = await renderer.receive_frame(limits.searchable_seconds)
    try:
        if kind is not FrameKind.SEARCHABLE:
            raise BadFrame(f"{kind.name} instead of a PDF")
        return decode_made(payload).appended
    except BadFrame as error:
        raise ChildLost("bad frame") from error


async def _chunks(
    renderer: Renderer, original: Path | None, file_bytes: int, limits: RenderLimits
) -> AsyncIterator[bytes]:
    if original is not None:
        with original.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk
    room = limits.max_searchable_bytes(file_bytes)
    loop = asyncio.get_running_loop()
    # A limit of each piece alone would let a child that is taken over hold its slot for hours.
    deadline = loop.time() + limits.searchable_seconds
    with _explained():
        while True:
            left = deadline - loop.time()
            if left <= 0:
                raise ChildTimedOut("timed out")
            kind, _, piece = await renderer.receive_frame(min(limits.open_seconds, left))
            room -= len(piece)
            if kind is not FrameKind.PIECE or room < 0:
                raise ChildLost("bad frame")
            if not piece:
                return
            yield piece


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise `Unreadable` where the child is lost."""
    try:
        yield
    except ChildTimedOut as error:
        raise Unreadable(f"Putting the text into the document took longer than allowed. {REMEDY}") from error
    except ChildLost as error:
        raise Unreadable(f"The document ended the program that puts the text into it. {REMEDY}") from error
