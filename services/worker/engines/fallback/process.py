"""The fallback: one page, read by another engine in a process that can be killed.

For pages on which the worker's engine breaks down, and for pages whose generated text is not trusted.
"""

import asyncio
import contextlib
import os
import time

import msgspec
import structlog

from libs.page.trust import Trust
from services.serving import jail
from services.serving.childprocess import ChildLost, ChildProcess, ChildTimedOut, inherited_python_path, time_limit
from services.worker.engines import select
from services.worker.engines.engine import EngineInfo, PageFailure, PageImage, PageText
from services.worker.engines.fallback.protocol import (
    MAX_ANSWER_BYTES,
    BadAnswer,
    FallbackRequest,
    decode_answer,
    encode_request,
)
from services.worker.engines.guard.comparison import by_layer

log = structlog.get_logger()

#: Arguments to Python; the fault tests put a lying child in its place.
PROGRAM = ("-m", "services.worker.engines.fallback.child")

#: Values of the setting `FALLBACK_ENGINE` that name no engine: no fallback, and the best one here.
NONE, AUTO = "none", "auto"
#: Bytes of address space. Chosen: above what any engine for CPUs needs (RapidOCR takes 1.0 to 1.6 GB).
DEFAULT_MEMORY_BYTES = 4 * 1024**3

# Processor time of the child beyond what all its threads can use in its wall-clock time: the backstop for programs that
# it started. Chosen: more than the start of Python takes.
_CPU_MARGIN_SECONDS = 10
# Environment variables that engines, and the programs that they start, read; no secret of the service is among them.
_KEPT = ("PATH", "TESSDATA_PREFIX")


class _NoAnswer(Exception):
    """The child gave no answer; the message is the rest of a sentence that begins with its engine's name."""


class FallbackProcess:
    """A `Fallback` in a child process: one at a time, a new one for each page."""

    def __init__(
        self,
        name: str,
        *,
        threads: int,
        languages: str,
        models: str = "",
        seconds: float,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
    ) -> None:
        """`name` is an engine, or `auto` for the best one other than the one that failed; 0 `threads` are all cores.

        The child has `seconds` of wall-clock time, the loading of models included, and `memory_bytes` of address space.
        """
        self._name = name
        self._threads = threads
        self._languages = languages
        self._models = models
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._slot = asyncio.Semaphore(1)

    async def recognise(self, page: PageImage, *, instead_of: str) -> PageText | PageFailure:
        """Read the page, as `Fallback` promises."""
        name = choose(self._name, instead_of=instead_of)
        async with self._slot:
            began = time.monotonic()
            try:
                answer = decode_answer(await self._ask(name, page))
                refused = answer.refused and f"could not read it: {answer.refused}"
            except (_NoAnswer, BadAnswer) as error:
                answer, refused = None, str(error)
            seconds = round(time.monotonic() - began, 3)
        if answer is None or answer.text is None:
            log.warning("fallback_failed", engine=name, seconds=seconds)
            reason = f"The fallback engine {name} {refused}"
            return PageFailure(page_no=page.page_no, reason=reason, seconds=seconds)
        # The name becomes a label of metrics, so the child's is not taken.
        engine = msgspec.structs.replace(answer.engine, name=name)
        trust = await asyncio.to_thread(_trust, answer.text, answer.engine, page.data)
        return msgspec.structs.replace(answer.text, page_no=page.page_no, seconds=seconds, engine=engine, trust=trust)

    async def _ask(self, name: str, page: PageImage) -> bytes:
        """The bytes of the child's answer. Raises `_NoAnswer`."""
        child = ChildProcess(PROGRAM, environment=_environment())
        try:
            async with child, time_limit(self._seconds):
                log.info("fallback_started", engine=name, page_no=page.page_no, child=child.pid)
                return await _exchange(child, encode_request(self._request(name), page.data))
        except ChildTimedOut as error:
            raise _NoAnswer(f"took longer than {self._seconds:g} seconds.") from error
        except ChildLost as error:
            raise _NoAnswer("ended without an answer.") from error

    def _request(self, name: str) -> FallbackRequest:
        cores = self._threads or os.cpu_count() or 1
        return FallbackRequest(
            engine=name,
            threads=self._threads,
            languages=self._languages,
            models=self._models,
            memory_bytes=self._memory_bytes,
            cpu_seconds=int(self._seconds * cores) + _CPU_MARGIN_SECONDS,
            parent=os.getpid(),
            walls=tuple(sorted(jail.supported())),
        )


async def _exchange(child: ChildProcess, request: bytes) -> bytes:
    """Send the request and return the answer. Raises `_NoAnswer` and `ChildLost`."""
    # Concurrently: a child that answers without reading its request to the end must not block the exchange.
    sending = asyncio.create_task(_send(child, request))
    try:
        answer = bytearray()
        while chunk := await child.receive():
            answer += chunk
            if len(answer) > MAX_ANSWER_BYTES:
                raise _NoAnswer("gave an answer that is far too long.")
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    if not answer:
        raise _NoAnswer("ended without an answer.")
    return bytes(answer)


async def _send(child: ChildProcess, request: bytes) -> None:
    # A child that ends early is recognised by its missing answer.
    with contextlib.suppress(ChildLost):
        await child.send(request)
        child.end_input()


def _trust(text: PageText, engine: EngineInfo, image: bytes) -> Trust:
    """What the child measured, and the agreement with the page's own text, which it has no part in."""
    measured = text.trust or Trust()
    return msgspec.structs.replace(
        by_layer(text.markdown, image, reads=engine.scripts),
        confidence=measured.confidence,
        unreadable=measured.unreadable,
        script=measured.script,
        reads=measured.reads,
        nothing_read=measured.nothing_read,
    )


def choose(name: str, *, instead_of: str) -> str:
    """The engine that replaces `instead_of`: `name`, or for `auto` the best other one here, else the same once more."""
    if name != AUTO:
        return name
    here = [engine for engine in select.available() if engine != AUTO]
    others = [engine for engine in here if engine != instead_of]
    return next(iter(others or here), "rapidocr")


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    # With the worker's import path, since an engine may be the operator's own.
    return {"PYTHONPATH": inherited_python_path(), "MALLOC_ARENA_MAX": "2", **kept}
