"""The worker's status: for its probes, for `/cache/info`, and for web, which reads it from storage."""

import asyncio
import contextlib

import msgspec
import structlog

from libs import workerstate
from libs.storage import layout
from libs.storage.errors import StorageError
from libs.storage.pace import write_paced
from libs.storage.store import ObjectStore
from libs.workerstate import WorkerState
from services.serving import sandbox
from services.worker.engines.registry import EngineRegistry, EngineState
from services.worker.modelcache.cache import ModelCache

log = structlog.get_logger()

# Seconds until a loading engine's status is written for the first time, so that an engine that loads quickly costs one
# write; then seconds between writes, so that web shows the progress of a download. Both chosen.
FIRST_WRITE_SECONDS = 2.0
NEXT_WRITE_SECONDS = 20.0


class WorkerStatus:
    """The status of one worker's default engine and its model."""

    def __init__(self, *, store: ObjectStore, holder: str, engines: EngineRegistry, cache: ModelCache) -> None:
        self._store = store
        self._holder = holder
        self._engines = engines
        self._cache = cache
        self._opened = False
        self._lock = asyncio.Lock()
        self._writes: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Load the default engine, and write the status while it loads and once it has."""
        pause = FIRST_WRITE_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._engines.open()
                    break
            await self._write()
            pause = NEXT_WRITE_SECONDS
        self._opened = True
        await self._write()

    def changed(self) -> None:
        """Write the status again, after an engine was loaded; `open` does so itself for the first one."""
        if not self._opened:
            return
        write = asyncio.create_task(self._write())
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)

    async def close(self) -> None:
        """Cancel the writes under way."""
        writes = list(self._writes)
        for write in writes:
            write.cancel()
        await asyncio.gather(*writes, return_exceptions=True)

    async def health(self) -> dict[str, object]:
        """The body of `GET /health`: the engine and its state, and the model's cache where the engine needs it."""
        status = "failed" if self._engines.state is EngineState.FAILED else "ok"
        return {"status": status} | self._engine() | await self._model()

    async def ready(self) -> dict[str, object]:
        """The body of `GET /ready`: whether pages can be read."""
        state = self._engines.state
        found = {"ready": state is EngineState.READY, "engine_state": state, "sandbox": sandbox.report()}
        return found | await self._model()

    async def cache(self) -> dict[str, object]:
        """The body of `GET /cache/info` (R57): the cache, and the engine that uses it or does not."""
        report = await self._cache.describe()
        info = self._engines.info()
        detail = report.detail
        if info is not None and not report.needed:
            detail = f"The engine {info.name} needs no model of this cache; nothing is downloaded for it."
        return {
            **msgspec.to_builtins(report),
            "engine": info.name if info else None,
            "engine_state": self._engines.state,
            "detail": detail,
        }

    def _engine(self) -> dict[str, object]:
        info = self._engines.info()
        return {
            "engine_state": self._engines.state,
            "reason": self._engines.reason,
            "engine": info.name if info else None,
            "revision": info.revision if info else None,
            "device": info.device if info else None,
            "execution": msgspec.to_builtins(info.execution) if info else None,
            "scripts": list(info.scripts) if info else [],
        }

    async def _model(self) -> dict[str, object]:
        """The cache in short; empty before an engine has asked for it, so that other engines' probes read no disk."""
        if not self._cache.needed:
            return {}
        report = msgspec.to_builtins(await self._cache.describe())
        return {"model_cache": {name: report[name] for name in ("complete", "missing", "progress")}}

    async def _write(self) -> None:
        # Web reads this object instead of asking the worker, which a request would wake.
        async with self._lock:
            engine = self._engine()
            state = {"holder": self._holder, "state": engine.pop("engine_state")} | engine
            state |= {
                "engines": await asyncio.to_thread(self._engines.available),
                "languages": await asyncio.to_thread(self._engines.languages),
                "cache": await self.cache(),
            }
            try:
                data = workerstate.encode(msgspec.convert(state, WorkerState))
                await write_paced(self._store, layout.WORKER_STATE, data)
            except StorageError as error:
                log.warning("worker_status_not_written", fault=type(error).__name__)
