"""How a worker stands: what its probes, the cache's page and web are told of it."""

import asyncio
import contextlib

import msgspec
import structlog

from libs.storage import layout
from libs.storage.errors import StorageError
from libs.storage.pace import write_paced
from libs.storage.store import ObjectStore
from services.worker.engines.registry import EngineRoom, EngineState
from services.worker.modelcache.cache import ModelCache

log = structlog.get_logger()

# While the engine loads, what web reads is brought up to date: soon, then now and then.
FIRST_WORD_SECONDS = 2.0
NEXT_WORD_SECONDS = 20.0


class Standing:
    """One worker's engine and its model."""

    def __init__(self, *, store: ObjectStore, holder: str, engines: EngineRoom, cache: ModelCache) -> None:
        self._store = store
        self._holder = holder
        self._engines = engines
        self._cache = cache
        self._opened = False
        self._writing = asyncio.Lock()
        self._words: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Load the default engine, and leave word of how it goes."""
        pause = FIRST_WORD_SECONDS
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._engines.open()
                    break
            await self._leave_word()
            pause = NEXT_WORD_SECONDS
        self._opened = True
        await self._leave_word()

    def changed(self) -> None:
        """An engine was loaded; at the start that is told anyway."""
        if not self._opened:
            return
        word = asyncio.create_task(self._leave_word())
        self._words.add(word)
        word.add_done_callback(self._words.discard)

    async def close(self) -> None:
        """Stop leaving word."""
        words = list(self._words)
        for word in words:
            word.cancel()
        await asyncio.gather(*words, return_exceptions=True)

    async def health(self) -> dict[str, object]:
        """The engine, in which state; and of the model's cache what an operator has to know."""
        told = self._engine()
        return {"status": "failed" if self._engines.state is EngineState.FAILED else "ok"} | told | await self._model()

    async def ready(self) -> dict[str, object]:
        """Whether pages can be read."""
        state = self._engines.state
        return {"ready": state is EngineState.READY, "engine_state": state} | await self._model()

    async def cache(self) -> dict[str, object]:
        """The cache (R57), and which engine is there beside it."""
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
        }

    async def _model(self) -> dict[str, object]:
        """Only once an engine has asked: the others' probes need not look at a disk."""
        if not self._cache.needed:
            return {}
        report = msgspec.to_builtins(await self._cache.describe())
        return {"model_cache": {name: report[name] for name in ("complete", "missing", "progress")}}

    async def _leave_word(self) -> None:
        # Web must not call a worker that it would wake, so it reads this instead.
        async with self._writing:
            told = self._engine()
            state = {"holder": self._holder, "state": told.pop("engine_state")} | told
            state |= {"engines": await asyncio.to_thread(self._engines.available), "cache": await self.cache()}
            try:
                await write_paced(self._store, layout.WORKER_STATE, msgspec.json.encode(state))
            except StorageError as error:
                log.warning("worker_state_not_left", fault=type(error).__name__)
