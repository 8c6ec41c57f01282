"""The process in which one page gets its last chance: `python -m services.worker.engines.fallback_child`.

Standard input is a socket: the request comes in, the answer goes out (see `fallback_wire`). The process can be killed
at any moment and leaves nothing behind: it writes no file, and it dies with its parent.
"""

import asyncio
import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator

from services.worker.engines.engine import EngineInfo, EngineUnavailable, OcrEngine, PageFailure, PageImage
from services.worker.engines.fallback_wire import Answer, Request, decode_request, encode_answer
from services.worker.engines.select import create_engine

_PR_SET_PDEATHSIG = 1
_OPEN_FILES = 256


def main() -> None:
    """Answer one request."""
    channel = socket.socket(fileno=os.dup(0))
    request, image = decode_request(_all(channel))
    _die_with(request.parent)
    _silence()
    _confine(request)
    channel.sendall(encode_answer(asyncio.run(_answer(request, image))))
    channel.close()
    # Threads of an engine that was interrupted would hold up an orderly end.
    os._exit(0)


async def _answer(request: Request, image: bytes) -> Answer:
    unknown = EngineInfo(name=request.engine, revision="none", device="none")
    try:
        engine = create_engine(request.engine, threads=request.threads or None, languages=request.languages)
        await engine.load()
    except EngineUnavailable as error:
        return Answer(engine=unknown, refused=str(error))
    try:
        return await _read(engine, image)
    except MemoryError:
        return Answer(engine=engine.info(), refused="it takes more memory than allowed.")
    except Exception as error:
        return Answer(engine=engine.info(), refused=f"it broke down ({type(error).__name__}).")


async def _read(engine: OcrEngine, image: bytes) -> Answer:
    async def only() -> AsyncIterator[PageImage]:
        yield PageImage(page_no=1, data=image)

    async for reading in engine.recognise(only()):
        if isinstance(reading, PageFailure):
            return Answer(engine=engine.info(), refused=reading.reason)
        return Answer(engine=engine.info(), text=reading)
    return Answer(engine=engine.info(), refused="it gave no answer.")


def _all(channel: socket.socket) -> bytes:
    data = bytearray()
    while chunk := channel.recv(1 << 18):
        data += chunk
    return bytes(data)


def _die_with(parent: int) -> None:
    """Be killed when the parent dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have died before the line above.
    if os.getppid() != parent:
        os._exit(1)


def _silence() -> None:
    """Point the standard streams to nowhere: libraries print what they like, at any length."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _confine(request: Request) -> None:
    """Limits that a program started by the engine inherits: it has them even when it outlives this process."""
    if sys.platform != "darwin":  # which refuses a limit of address space
        _limit(resource.RLIMIT_AS, request.memory_bytes)
    _limit(resource.RLIMIT_CPU, request.cpu_seconds)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, _OPEN_FILES)


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


if __name__ == "__main__":
    main()
