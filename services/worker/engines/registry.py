"""The engines of one process: the default one, and others that a job may name, loaded when first asked for."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from enum import StrEnum

import msgspec
import structlog

from services.worker.engines import select
from services.worker.engines.context import EngineContext
from services.worker.engines.engine import (
    EngineInfo,
    EngineUnavailable,
    OcrEngine,
    PageFailure,
    PageImage,
    PageText,
)
from services.worker.engines.layer.engine import LayeredEngine, PageByLayer
from services.worker.engines.occupancy import SharedEngine, slots_of

log = structlog.get_logger()

# A load that failed is not tried again by ordinary calls for this long: the queue delivers a failed task at once, and
# each try may ask the network. Chosen.
RETRY_SECONDS = 5.0

# Called with an engine that was loaded, and how many seconds the load took.
OnLoaded = Callable[[EngineInfo, float], None]


class EngineState(StrEnum):
    """The state of the default engine."""

    #: It is being loaded; jobs wait.
    LOADING = "loading"
    #: It can read pages.
    READY = "ready"
    #: It cannot run here; the registry's `reason` says what to do.
    FAILED = "failed"


def _ignore(engine: EngineInfo, seconds: float) -> None:
    """The default of `on_loaded`."""


class EngineRegistry:
    """Loads each engine once and returns it; calls that need an engine while it loads wait for it (R54).

    A load outlives the call that began it: if that call is cancelled, the others still get the engine. A load that
    failed is tried again when the engine is next needed, but by ordinary calls not before `RETRY_SECONDS` have passed.
    """

    def __init__(self, default: str, context: EngineContext, *, layers: bool = False) -> None:
        """`layers`: pages are read by their own text where a job allows it; else every page is recognised."""
        self._default = default
        self._context = context
        self._layers = layers
        self._layer_reader: PageByLayer | None = None
        #: Called after each load; the caller may set it.
        self.on_loaded: OnLoaded = _ignore
        self._loads: dict[str, asyncio.Task[SharedEngine]] = {}
        self._engines: dict[str, SharedEngine] = {}
        self._failed_at = -RETRY_SECONDS
        #: Of the default engine.
        self.state = EngineState.LOADING
        #: Why the default engine cannot run, and what to do; `None` unless it failed.
        self.reason: str | None = None

    async def open(self) -> None:
        """Load the default engine now. A failure is kept in `state` and `reason`, which the probes report."""
        with contextlib.suppress(EngineUnavailable):
            await self._load(self._default)

    async def close(self) -> None:
        """Cancel the loads under way."""
        loads = list(self._loads.values())
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)

    async def engine(self, name: str | None) -> SharedEngine:
        """The engine that a job names (`None`: the default).

        Raises `EngineUnavailable` for a default engine that cannot run. Another one that cannot is replaced by a
        `Refusal`, which fails each page with the reason: to deliver the task again would not help.
        """
        try:
            if name in (None, self._default) and self._default not in self._engines:
                self._refuse_retry()
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
        """The names that a job may choose here at present."""
        return select.available(self._context)

    def languages(self) -> dict[str, tuple[str, ...]]:
        """The languages that a job may choose here at present, by the name of the engine that it names."""
        return select.languages(self._context)

    def _refuse_retry(self) -> None:
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
            engine = select.create_engine(name, self._context)
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
        shared = self._engines[name] = SharedEngine(self._layered(engine))
        if name == self._default:
            self.state = EngineState.READY
        info, seconds = engine.info(), round(time.monotonic() - began, 3)
        self.on_loaded(info, seconds)
        log.info("engine_ready", engine=info.name, revision=info.revision, device=info.device, seconds=seconds)
        return shared

    def _layered(self, engine: OcrEngine) -> OcrEngine:
        if not self._layers or getattr(engine, "sees_every_page", False):
            return engine
        self._layer_reader = self._layer_reader or select.create_layer_reader(self._context)
        return LayeredEngine(engine, self._layer_reader, slots=slots_of(engine))

    def _forget(self, name: str, ended: asyncio.Task[SharedEngine]) -> None:
        del self._loads[name]
        if not ended.cancelled():
            ended.exception()  # retrieved: without a caller left, asyncio would log it as never retrieved


def _check(name: str, engine: OcrEngine) -> None:
    """Refuse an engine whose `info()` could not be recorded on a page, or that has no slot and would never read."""
    try:
        msgspec.convert(msgspec.to_builtins(engine.info()), EngineInfo)
    except (TypeError, ValueError) as error:
        raise EngineUnavailable(f"The engine {name} does not say who it is: info() is wrong ({error}).") from error
    slots = slots_of(engine)
    if not isinstance(slots, int) or slots < 1:
        raise EngineUnavailable(f"The engine {name} says that it has {slots!r} slots; it has to be 1 or more.")


class Refusal:
    """Replaces an engine that cannot run: fails every page with the reason, so that the job ends and shows it."""

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
