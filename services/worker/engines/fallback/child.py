"""Read one page for the worker, the last attempt at it: `python -m services.worker.engines.fallback.child`.

A socket carries one request in and one answer out (see `protocol`). The process can be killed at any moment and leaves
nothing behind: it writes no file, and it dies with its parent.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

from services.serving.confinement import confine, die_with, parent_channel
from services.worker.engines.context import EngineContext
from services.worker.engines.engine import EngineInfo, EngineUnavailable, OcrEngine, PageFailure, PageImage
from services.worker.engines.fallback.protocol import FallbackAnswer, FallbackRequest, decode_request, encode_answer
from services.worker.engines.select import create_engine
from services.worker.engines.settings import EngineSettings

# Open files at once. Chosen: an engine opens its models and its libraries, some dozens.
_OPEN_FILES = 256
# Bytes of one read from the channel.
_CHUNK = 1 << 18


def main() -> None:
    """FallbackAnswer one request."""
    channel = parent_channel()
    request, image = decode_request(_all(channel))
    die_with(request.parent)
    confine(memory_bytes=request.memory_bytes, open_files=_OPEN_FILES, cpu_seconds=request.cpu_seconds)
    channel.sendall(encode_answer(asyncio.run(_answer(request, image))))
    channel.close()
    # Not by returning: threads of an engine that was interrupted would delay the end of the interpreter.
    os._exit(0)


async def _answer(request: FallbackRequest, image: bytes) -> FallbackAnswer:
    unknown = EngineInfo(name=request.engine, revision="none", device="none")
    try:
        settings = EngineSettings(ocr_threads=request.threads, ocr_languages=request.languages)
        engine = create_engine(request.engine, EngineContext(settings=settings))
        await engine.load()
    except EngineUnavailable as error:
        return FallbackAnswer(engine=unknown, refused=str(error))
    try:
        return await _read(engine, image)
    except MemoryError:
        return FallbackAnswer(engine=engine.info(), refused="it takes more memory than allowed.")
    except Exception as error:
        return FallbackAnswer(engine=engine.info(), refused=f"it broke down ({type(error).__name__}).")


async def _read(engine: OcrEngine, image: bytes) -> FallbackAnswer:
    async def only() -> AsyncIterator[PageImage]:
        yield PageImage(page_no=1, data=image)

    async for reading in engine.recognise(only()):
        if isinstance(reading, PageFailure):
            return FallbackAnswer(engine=engine.info(), refused=reading.reason)
        return FallbackAnswer(engine=engine.info(), text=reading)
    return FallbackAnswer(engine=engine.info(), refused="it gave no answer.")


def _all(channel: socket.socket) -> bytes:
    data = bytearray()
    while chunk := channel.recv(_CHUNK):
        data += chunk
    return bytes(data)


if __name__ == "__main__":
    main()
