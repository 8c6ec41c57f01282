"""The engines of one process: the default one, and others that a job may name, loaded when first asked for."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from enum import StrEnum

import msgspec
import structlog

from services.worker.engines import select
from services.worker.engines.context import EngineParts
from services.worker.engines.engine import (
    EngineInfo,
    EngineUnavailable,
    OcrEngine,
    PageFailure,
    PageImage,
    PageText,
)
from services.worker.engines.occupancy import SharedEngine, slots_of

log = structlog.get_logger()

RETRY_SECONDS = 5.0

Loaded = Callable[[str, float], None]


class EngineState(StrEnum):
    """Where the default engine stands."""

    LOADING = "loading"  # jobs wait
    READY = "ready"  # pages can be read
    FAILED = "failed"  # it cannot run here; the reason says what to do


def _unheard(name: str, seconds: float) -> None:
    """Told to nobody."""


class EngineRoom:
    """Loads each engine once and hands it out; calls that come while an engine loads wait for it (R54).

    A load belongs to no call: one that is given up goes on for the others. One that failed is tried again when the
    engine is next asked for, but by ordinary calls not before `RETRY_SECONDS` have passed.
    """

    def __init__(self, default: str, parts: EngineParts) -> None:
        """`on_loaded`, which may be set, is told the name of each engine that can read now, and its seconds."""
        self._default = default
        self._parts = parts
        self.on_loaded: Loaded = _unheard
        self._loads: dict[str, asyncio.Task[SharedEngine]] = {}
        self._engines: dict[str, SharedEngine] = {}
        self._failed_at = -RETRY_SECONDS
        self.state = EngineState.LOADING
        self.reason: str | None = None

    async def open(self) -> None:
        """Load the default engine, now. A failure is kept as state, so that health checks can tell it."""
        with contextlib.suppress(EngineUnavailable):
            await self._load(self._default)

    async def close(self) -> None:
        """Give up loads that are under way."""
        loads = list(self._loads.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    async def engine(self, name: str | None) -> SharedEngine:
        """The engine a job asked for (`None`: the default). Another that cannot run here fails its pages."""
        try:
            if name in (None, self._default) and self._default not in self._engines:
                self._refuse_haste()
            return await self._load(name or self._default)
        except EngineUnavailable as error:
            if name is None or name == self._default:
                raise
            return SharedEngine(Refusal(name, str(error)))

    def info(self) -> EngineInfo | None:
        """The default engine, once loaded."""
        engine = self._engines.get(self._default)
        return engine.info() if engine else None

    def available(self) -> tuple[str, ...]:
        """The names that a job may choose here, just now."""
        return select.available(self._parts)

    def _refuse_haste(self) -> None:
        if self.state is EngineState.FAILED and time.monotonic() - self._failed_at < RETRY_SECONDS:
            raise EngineUnavailable(self.reason or "The engine failed a moment ago.")

    async def _load(self, name: str) -> SharedEngine:
        if engine := self._engines.get(name):
            return engine
        load = self._loads.get(name)
        if load is None:
            load = self._loads[name] = asyncio.create_task(self._make(name))
            load.add_done_callback(lambda ended: self._forget(name, ended))
        return await asyncio.shield(load)

    async def _make(self, name: str) -> SharedEngine:
        if name == self._default:
            self.state, self.reason = EngineState.LOADING, None
        began = time.monotonic()
        try:
            engine = select.create_engine(name, self._parts)
            try:
                await engine.load()
            except EngineUnavailable:
                raise
            except Exception as error:
                log.exception("engine_broke_loading", engine=name)
                raise EngineUnavailable(
                    f"The engine {name} broke while it was loaded ({type(error).__name__}); the log says where."
                ) from error
            _check(name, engine)
        except EngineUnavailable as error:
            log.error("engine_unavailable", engine=name, reason=str(error))
            if name == self._default:
                self.state, self.reason, self._failed_at = EngineState.FAILED, str(error), time.monotonic()
            raise
        shared = self._engines[name] = SharedEngine(engine)
        if name == self._default:
            self.state = EngineState.READY
        info, seconds = engine.info(), round(time.monotonic() - began, 3)
        self.on_loaded(info.name, seconds)
        log.info("engine_ready", engine=info.name, revision=info.revision, device=info.device, seconds=seconds)
        return shared

    def _forget(self, name: str, ended: asyncio.Task[SharedEngine]) -> None:
        del self._loads[name]
        if not ended.cancelled():
            ended.exception()  # nobody may be left who waits for it


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
