"""Read one page for the worker, the last attempt at it: `python -m services.worker.engines.fallback.child`.

A socket carries one request in and one answer out (see `protocol`). The process can be killed at any moment and leaves
nothing behind: it writes no file, and it dies with its parent.
"""

import asyncio
import importlib.util
import os
import shutil
import socket
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from services.serving import jail
from services.serving.confinement import confine, die_with, parent_channel
from services.worker.engines.context import EngineContext
from services.worker.engines.engine import EngineInfo, EngineUnavailable, OcrEngine, PageFailure, PageImage
from services.worker.engines.fallback.protocol import FallbackAnswer, FallbackRequest, decode_request, encode_answer
from services.worker.engines.select import create_engine
from services.worker.engines.settings import EngineSettings

# Open files at once. Chosen: an engine opens its models and its libraries, some dozens.
_OPEN_FILES = 256
_TESSERACT = "tesseract"
_ROOT = Path(__file__).resolve().parents[4]
# Bytes of one read from the channel.
_CHUNK = 1 << 18


def main() -> None:
    """FallbackAnswer one request."""
    channel = parent_channel()
    request, image = decode_request(_all(channel))
    die_with(request.parent)
    confine(
        memory_bytes=request.memory_bytes,
        open_files=_OPEN_FILES,
        cpu_seconds=request.cpu_seconds,
        walls=request.walls,
        keep=(channel.fileno(),),
        readable=_readable(request),
        executable=_executable(request.engine),
    )
    channel.sendall(encode_answer(asyncio.run(_answer(request, image))))
    channel.close()
    # Not by returning: threads of an engine that was interrupted would delay the end of the interpreter.
    os._exit(0)


async def _answer(request: FallbackRequest, image: bytes) -> FallbackAnswer:
    unknown = EngineInfo(name=request.engine, revision="none", device="none")
    try:
        settings = EngineSettings(
            ocr_threads=request.threads, ocr_languages=request.languages, ocr_model_folder=request.models
        )
        engine = create_engine(request.engine, EngineContext(settings=settings))
        await engine.load()
    except EngineUnavailable as error:
        return FallbackAnswer(engine=unknown, refused=str(error))
    jail.seal(request.walls, jail.Profile.PROGRAM if request.engine == _TESSERACT else jail.Profile.ENGINE)
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


def _readable(request: FallbackRequest) -> Iterator[Path]:
    """Where code and models are: the interpreter, installed packages, our own packages, the operator's files.

    Never a whole import path: the storage folder may be below it.
    """
    yield from (Path(path) for path in {*sysconfig.get_paths().values(), sys.base_prefix} if path)
    yield from (_ROOT / "services", _ROOT / "libs")
    yield from (Path(path) for path in ("/lib", "/lib64", "/usr/lib", "/usr/share/tesseract-ocr", "/etc/ld.so.cache"))
    yield from (Path(path) for path in ("/proc/cpuinfo", "/proc/meminfo", "/sys/devices/system/cpu", "/dev/null"))
    if data := os.environ.get("TESSDATA_PREFIX"):
        yield Path(data)
    if request.models:
        yield Path(request.models)
    engine = request.engine
    if ":" in engine and (spec := importlib.util.find_spec(engine.partition(":")[0].partition(".")[0])):
        yield from (Path(path) for path in spec.submodule_search_locations or [spec.origin or ""] if path)


def _executable(engine: str) -> Iterator[Path]:
    """Tesseract and the loader of programs; nothing for an engine that is a library."""
    if engine == _TESSERACT and (program := shutil.which(_TESSERACT)):
        yield Path(program)
        yield from (loader.resolve() for folder in ("/lib", "/lib64") for loader in Path(folder).glob("ld-*.so*"))


def _all(channel: socket.socket) -> bytes:
    data = bytearray()
    while chunk := channel.recv(_CHUNK):
        data += chunk
    return bytes(data)


if __name__ == "__main__":
    main()
