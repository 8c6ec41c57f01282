"""The fallback: one page, read by another engine in a process that can be killed.

For pages that the engine of the worker breaks down on, and for what a generative engine must not be trusted with.
"""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import structlog

from services.worker.engines import select
from services.worker.engines.engine import PageFailure, PageImage, PageText
from services.worker.engines.fallback.wire import MAX_ANSWER_BYTES, BadAnswer, Request, decode_answer, encode_request

log = structlog.get_logger()

PROGRAM = ("-m", "services.worker.engines.fallback.child")
"""Arguments to Python; the fault tests put a lying child in its place."""

NONE, AUTO = "none", "auto"
DEFAULT_MEMORY_BYTES = 4 * 1024**3

_ROOT = Path(__file__).resolve().parents[4]
_CHUNK = 1 << 18
# What the engines, and the programs that they start, look for; no secret of the service is among it.
_KEPT = ("PATH", "LD_LIBRARY_PATH", "TESSDATA_PREFIX")


class _Silent(Exception):
    """The child gave no answer; the message is the rest of a sentence that begins with its engine's name."""


class FallbackProcess:
    """A `Fallback` in a child process: one at a time, a new one for each page.

    `name` is an engine, or `auto` for the best one that is not the one that failed. The child has `seconds` of wall
    clock, models and all, and `memory_bytes` of address space; what it says is believed only where it makes sense.
    """

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        languages: str,
        seconds: float,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
    ) -> None:
        self._name = name
        self._threads = threads
        self._languages = languages
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._slot = asyncio.Semaphore(1)

    async def recognise(self, page: PageImage, *, instead_of: str) -> PageText | PageFailure:
        """As `Fallback` says."""
        name = choose(self._name, instead_of=instead_of)
        async with self._slot:
            began = time.monotonic()
            try:
                answer = decode_answer(await self._ask(name, page))
                refused = answer.refused and f"could not read it: {answer.refused}"
            except (_Silent, BadAnswer) as error:
                answer, refused = None, str(error)
            seconds = round(time.monotonic() - began, 3)
        if answer is None or answer.text is None:
            log.warning("fallback_failed", engine=name, seconds=seconds)
            reason = f"The fallback engine {name} {refused}"
            return PageFailure(page_no=page.page_no, reason=reason, seconds=seconds)
        # The name is a label of the metrics, so it is ours to say.
        engine = msgspec.structs.replace(answer.engine, name=name)
        return msgspec.structs.replace(answer.text, page_no=page.page_no, seconds=seconds, engine=engine)

    async def _ask(self, name: str, page: PageImage) -> bytes:
        """All that the child says to this page. Raises `_Silent`."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                process = _start(theirs)
            try:
                ours.setblocking(False)
                async with asyncio.timeout(self._seconds):
                    return await self._converse(ours, process.pid, name, page)
            except TimeoutError as error:
                raise _Silent(f"took longer than {self._seconds:g} seconds.") from error
            except OSError as error:
                raise _Silent("ended without an answer.") from error
            finally:
                await _kill(process)

    async def _converse(self, channel: socket.socket, pid: int, name: str, page: PageImage) -> bytes:
        cores = self._threads or os.cpu_count() or 1
        request = Request(
            engine=name,
            threads=self._threads,
            languages=self._languages,
            memory_bytes=self._memory_bytes,
            cpu_seconds=int(self._seconds * cores) + 10,
            parent=os.getpid(),
        )
        log.info("fallback_started", engine=name, page_no=page.page_no, child=pid)
        loop = asyncio.get_running_loop()
        telling = asyncio.create_task(_tell(channel, encode_request(request, page.data)))
        try:
            said = bytearray()
            while chunk := await loop.sock_recv(channel, _CHUNK):
                said += chunk
                if len(said) > MAX_ANSWER_BYTES:
                    raise _Silent("gave an answer that is far too long.")
        finally:
            telling.cancel()
            await asyncio.gather(telling, return_exceptions=True)
        if not said:
            raise _Silent("ended without an answer.")
        return bytes(said)


def choose(name: str, *, instead_of: str) -> str:
    """The engine that stands in for `instead_of`: with `auto` the best other one here, else the same once more."""
    if name != AUTO:
        return name
    here = [engine for engine in select.available() if engine != AUTO]
    others = [engine for engine in here if engine != instead_of]
    return next(iter(others or here), "rapidocr")


async def _tell(channel: socket.socket, request: bytes) -> None:
    # A child that ends early says more by its silence than a broken pipe could.
    with contextlib.suppress(OSError):
        await asyncio.get_running_loop().sock_sendall(channel, request)
        channel.shutdown(socket.SHUT_WR)


def _start(channel: socket.socket) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", "-s", *PROGRAM],
        stdin=channel.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=_environment(),
        start_new_session=True,
    )


async def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End the child and what it started, and leave no zombie, even when the caller is cancelled once more."""
    # Before it is waited for its number cannot be another's, and its group may outlive it.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await asyncio.shield(asyncio.to_thread(process.wait))


def _environment() -> dict[str, str]:
    # Where an engine of the operator's own is found, as the worker itself finds it.
    path = os.pathsep.join(dict.fromkeys([str(_ROOT), *filter(None, sys.path)]))
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {"PYTHONPATH": path, "LANG": "C.UTF-8", "MALLOC_ARENA_MAX": "2", **kept}
