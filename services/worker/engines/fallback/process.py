"""The fallback: one page, read by another engine in a process that can be killed.

For pages that the engine of the worker breaks down on, and for what a generative engine must not be trusted with.
"""

import asyncio
import contextlib
import os
import time

import msgspec
import structlog

from services.serving.childprocess import ChildLost, ChildProcess, ChildTimedOut, inherited_python_path, time_limit
from services.worker.engines import select
from services.worker.engines.engine import PageFailure, PageImage, PageText
from services.worker.engines.fallback.wire import MAX_ANSWER_BYTES, BadAnswer, Request, decode_answer, encode_request

log = structlog.get_logger()

PROGRAM = ("-m", "services.worker.engines.fallback.child")
"""Arguments to Python; the fault tests put a lying child in its place."""

NONE, AUTO = "none", "auto"
DEFAULT_MEMORY_BYTES = 4 * 1024**3

# Processor time of the child beyond what all its threads can use in its wall-clock time: the backstop for programs that
# it started. Chosen: more than the start of Python takes.
_CPU_MARGIN_SECONDS = 10
# Environment variables that engines, and the programs that they start, read; no secret of the service is among them.
_KEPT = ("PATH", "TESSDATA_PREFIX")


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
        """All that the child answers to this page. Raises `_Silent`."""
        child = ChildProcess(PROGRAM, environment=_environment())
        try:
            async with child, time_limit(self._seconds):
                log.info("fallback_started", engine=name, page_no=page.page_no, child=child.pid)
                return await _exchange(child, encode_request(self._request(name), page.data))
        except ChildTimedOut as error:
            raise _Silent(f"took longer than {self._seconds:g} seconds.") from error
        except ChildLost as error:
            raise _Silent("ended without an answer.") from error

    def _request(self, name: str) -> Request:
        cores = self._threads or os.cpu_count() or 1
        return Request(
            engine=name,
            threads=self._threads,
            languages=self._languages,
            memory_bytes=self._memory_bytes,
            cpu_seconds=int(self._seconds * cores) + _CPU_MARGIN_SECONDS,
            parent=os.getpid(),
        )


async def _exchange(child: ChildProcess, request: bytes) -> bytes:
    """Send the request and return the answer. Raises `_Silent` and `ChildLost`."""
    # Beside receiving: a child that answers without reading to the end must not block this process.
    sending = asyncio.create_task(_send(child, request))
    try:
        answer = bytearray()
        while chunk := await child.receive():
            answer += chunk
            if len(answer) > MAX_ANSWER_BYTES:
                raise _Silent("gave an answer that is far too long.")
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    if not answer:
        raise _Silent("ended without an answer.")
    return bytes(answer)


async def _send(child: ChildProcess, request: bytes) -> None:
    # A child that ends early is recognised by its missing answer.
    with contextlib.suppress(ChildLost):
        await child.send(request)
        child.end_input()


def choose(name: str, *, instead_of: str) -> str:
    """The engine that stands in for `instead_of`: with `auto` the best other one here, else the same once more."""
    if name != AUTO:
        return name
    here = [engine for engine in select.available() if engine != AUTO]
    others = [engine for engine in here if engine != instead_of]
    return next(iter(others or here), "rapidocr")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # The import path of the worker, since an engine may be the operator's own.
    return {"PYTHONPATH": inherited_python_path(), "MALLOC_ARENA_MAX": "2", **kept}
