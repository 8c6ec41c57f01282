"""The engines of one process: the default one, and others that a job may name, loaded when first asked for."""

import asyncio
from collections.abc import AsyncIterator
from enum import StrEnum

import msgspec
import structlog

from services.worker.engines import select
from services.worker.engines.engine import (
    EngineInfo,
    EngineUnavailable,
    OcrEngine,
    PageFailure,
    PageImage,
    PageText,
)
from services.worker.engines.parts import EngineParts
from services.worker.engines.shared import SharedEngine, slots_of

log = structlog.get_logger()


class EngineState(StrEnum):
    """Where the default engine stands."""

    LOADING = "loading"  # jobs wait
    READY = "ready"  # pages can be read
    FAILED = "failed"  # it cannot run here; the reason says what to do


class EngineRoom:
    """Loads each engine once and hands it out; calls that come while an engine loads wait for it (R54)."""

    def __init__(self, default: str, parts: EngineParts) -> None:
        self._default = default
        self._parts = parts
        self._loading = asyncio.Lock()
        self._engines: dict[str, SharedEngine] = {}
        self.state = EngineState.LOADING
        self.reason: str | None = None

    async def open(self) -> None:
        """Load the default engine. A failure is kept as state, so that health checks can tell it."""
        try:
            info = (await self._load(self._default)).info()
        except EngineUnavailable as error:
            self.state, self.reason = EngineState.FAILED, str(error)
            log.error("engine_unavailable", engine=self._default, reason=self.reason)
        else:
            log.info("engine_ready", engine=info.name, revision=info.revision, device=info.device)

    async def engine(self, name: str | None) -> SharedEngine:
        """The engine a job asked for (`None`: the default). One that cannot run here fails its pages, saying why."""
        try:
            return await self._load(name or self._default)
        except EngineUnavailable as error:
            if name is None:
                raise
            return SharedEngine(Refusal(name, str(error)))

    def names(self) -> tuple[str, ...]:
        """The engines that a job may name here."""
        return select.available(self._parts)

    def info(self) -> EngineInfo | None:
        """The default engine, once loaded."""
        engine = self._engines.get(self._default)
        return engine.info() if engine else None

    async def _load(self, name: str) -> SharedEngine:
        if name in self._engines:  # while another one loads, which may take minutes
            return self._engines[name]
        async with self._loading:
            if name not in self._engines:
                engine = select.create_engine(name, self._parts)
                await engine.load()
                _check(name, engine)
                self._engines[name] = SharedEngine(engine)
                if name == self._default:
                    # It may have failed before: a server that the engine asks can come up later.
                    self.state, self.reason = EngineState.READY, None
            return self._engines[name]


def _check(name: str, engine: OcrEngine) -> None:
    """Who reads is recorded on every page, so it has to be something that can be; and what has no slot never reads."""
    try:
        msgspec.convert(msgspec.to_builtins(engine.info()), EngineInfo)
    except (TypeError, ValueError) as error:
        raise EngineUnavailable(f"The engine {name} does not say who it is: info() is wrong ({error}).") from error
    slots = slots_of(engine)
    if not isinstance(slots, int) or slots < 1:
        raise EngineUnavailable(f"The engine {name} says that it has {slots!r} slots; it has to be 1 or more.")


class Refusal:
    """An engine that is not there: every page ends with the reason, so that the job ends and says why."""

    def __init__(self, name: str, reason: str) -> None:
        self._name = name
        self._reason = reason

    async def load(self) -> None:
        """Nothing to load."""

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """Fail each page."""
        async for page in pages:
            yield PageFailure(page_no=page.page_no, reason=self._reason, seconds=0.0)

    def info(self) -> EngineInfo:
        """The name asked for."""
        return EngineInfo(name=self._name, revision="none", device="none")
