"""The model's cache: finds the model complete, or fetches it once (R51 to R55)."""

import asyncio
import time
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from services.worker.engines.context import ModelFiles
from services.worker.engines.engine import EngineUnavailable
from services.worker.modelcache import disk, hubcache
from services.worker.modelcache.bucket_copy import copy
from services.worker.modelcache.download import download
from services.worker.modelcache.download_protocol import ModelRequest
from services.worker.modelcache.lock import locked
from services.worker.modelcache.progress import Progress, ProgressLog, Transfer
from services.worker.modelcache.settings import ModelSettings, root_variable
from services.worker.modelcache.snapshot import Snapshot, in_words, inspect

log = structlog.get_logger()

NOT_AVAILABLE = "Model cache not available"


class Meter(Protocol):
    """Counts what the cache does (R56); see `WorkerMetrics`."""

    def model_asked(self, *, cached: bool) -> None: ...

    def model_brought(self, way: str, *, seconds: float, size_bytes: int) -> None: ...


class Uncounted:
    """Counts nothing: no one reads the metrics of a command."""

    def model_asked(self, *, cached: bool) -> None:
        """Not counted."""

    def model_brought(self, way: str, *, seconds: float, size_bytes: int) -> None:
        """Not counted."""


class CacheReport(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the cache, as `GET /cache/info` shows it (R57)."""

    cache_root: str
    model: str
    #: As set: a branch, a tag or a commit.
    revision: str
    #: What the revision resolves to; `None` where it does not.
    commit: str | None
    #: Whether any file of the model is there.
    present: bool
    #: Whether an engine can be loaded from it.
    complete: bool
    #: Of the files that are there.
    size_bytes: int
    #: Each entry is a sentence on one file that is missing or damaged.
    missing: tuple[str, ...]
    #: Whether nothing will be fetched, because the model is complete or because the settings forbid it.
    offline: bool
    #: Whether an engine has asked for the model.
    needed: bool
    #: A sentence on how the model got into the cache; `None` where it has not.
    source: str | None
    #: Of the transfer under way; `None` where there is none.
    progress: Progress | None
    #: A sentence on the state.
    detail: str


class ModelCache:
    """One model in one cache. Nothing is fetched before an engine asks for it."""

    def __init__(self, settings: ModelSettings, *, root: Path, in_cloud: bool, meter: Meter) -> None:
        self._settings = settings
        self._root = root.absolute()
        self._hub = self._root / hubcache.HUB
        self._bucket = settings.bucket(in_cloud=in_cloud)
        self._moves_root = root_variable(in_cloud=in_cloud)
        self._meter = meter
        self._lock = asyncio.Lock()
        self._progress = ProgressLog()
        self._waits_for_other = False
        self._needed = False
        self._was_read = False
        self._source: str | None = None

    def is_complete(self) -> bool:
        """Whether the model is here and complete, by its files: some milliseconds, no network, no library loaded."""
        return self._look().complete

    @property
    def needed(self) -> bool:
        """Whether an engine has asked for the model."""
        return self._needed

    async def ensure(self) -> ModelFiles:
        """The complete model on this machine; it is fetched where it is missing.

        Raises `EngineUnavailable`, saying what to do.
        """
        self._needed = True
        async with self._lock:
            found = await asyncio.to_thread(self._look)
            self._meter.model_asked(cached=found.complete)
            try:
                if not found.complete:
                    found = await self._fetch(found)
                await self._read_once(found)
            finally:
                self._progress.end()
        assert found.folder is not None
        log.info("model_ready", model=self._settings.model_name, commit=found.commit, size_bytes=found.size_bytes)
        return ModelFiles(folder=found.folder, name=self._settings.model_name, revision=found.commit)

    async def describe(self) -> CacheReport:
        """The present state."""
        found = await asyncio.to_thread(self._look)
        return CacheReport(
            cache_root=str(self._root),
            model=self._settings.model_name,
            revision=self._settings.revision,
            commit=found.commit or None,
            present=found.present,
            complete=found.complete,
            size_bytes=found.size_bytes,
            missing=found.missing,
            offline=found.complete or self._settings.offline,
            needed=self._needed,
            source=self._source or ("It was in the cache." if found.complete else None),
            progress=self._progress.now,
            detail=self._detail(found),
        )

    async def _fetch(self, found: Snapshot) -> Snapshot:
        if self._settings.offline:
            raise EngineUnavailable(_not_available(self._settings, self._root, found))
        log.info("model_missing", model=self._settings.model_name, missing=in_words(found.missing))
        try:
            async with locked(hubcache.lock_file(self._hub, self._settings.model_name), waiting=self._wait) as lock:
                self._waits_for_other = False
                found = await asyncio.to_thread(self._look)
                if found.complete:
                    self._source = "Another process brought it."
                    return found
                await asyncio.to_thread(hubcache.clear, self._hub, self._settings.model_name, found.damaged)
                await self._bring(lock)
        except OSError as error:
            fault = disk.describe_fault(error, self._root, self._moves_root)
            raise EngineUnavailable(
                fault or f"The model cache {self._root} cannot be used ({error.strerror}). Set {self._moves_root}."
            ) from error
        finally:
            self._waits_for_other = False
        found = await asyncio.to_thread(self._look)
        if not found.complete:
            raise EngineUnavailable(
                f"What came is not a whole model: {in_words(found.missing)}. Correct MODEL_NAME and MODEL_REVISION."
            )
        return found

    async def _bring(self, lock: int) -> None:
        """Fetch the model from the bucket, where there is one; else, or where that fails, from the hub.

        `lock` is the descriptor of the held lock.
        """
        request = ModelRequest(
            hub=str(self._hub),
            model=self._settings.model_name,
            revision=self._settings.revision,
            moves_root=self._moves_root,
        )
        bucket_fault = ""
        if self._bucket:
            began = time.monotonic()
            try:
                await copy(request, self._bucket, on_progress=self._progress.update)
            except EngineUnavailable as error:
                bucket_fault = str(error)
                log.warning("model_bucket_useless", reason=bucket_fault)
            else:
                self._brought(Transfer.BUCKET, began, f"Copied from the bucket {self._bucket}")
                return
        began = time.monotonic()
        try:
            await download(request, self._settings, lock=lock, on_progress=self._progress.update)
        except EngineUnavailable as error:
            raise EngineUnavailable(f"{bucket_fault} {error}".strip()) from error
        self._brought(Transfer.HUB, began, f"Downloaded from {self._settings.hf_endpoint or 'the hub'}")

    async def _read_once(self, found: Snapshot) -> None:
        assert found.folder is not None
        if self._was_read or not await asyncio.to_thread(disk.is_network_mount, found.folder):
            return
        began = time.monotonic()
        files = sorted(found.folder.glob("*.safetensors"))
        try:
            await disk.read_once(files, on_progress=self._progress.update)
        except OSError as error:
            raise EngineUnavailable(f"The mount {self._root} cannot be read ({error.strerror}). Ask again.") from error
        self._was_read = True
        self._brought(Transfer.READ, began, f"It was on the mount {self._root}, and was read once from end to end")

    def _brought(self, way: Transfer, began: float, how: str) -> None:
        seconds = round(time.monotonic() - began, 1)
        size_bytes = self._progress.now.bytes_total if self._progress.now else 0
        self._source = f"{how} in {seconds:g} s."
        self._meter.model_brought(way, seconds=seconds, size_bytes=size_bytes)
        log.info("model_brought", way=way, seconds=seconds, size_bytes=size_bytes)

    def _look(self) -> Snapshot:
        return inspect(self._hub, self._settings.model_name, self._settings.revision)

    def _wait(self) -> None:
        self._waits_for_other = True
        log.info("model_awaited", model=self._settings.model_name)

    def _detail(self, found: Snapshot) -> str:
        if self._progress.now is not None:
            return "The model is on its way; pages wait for it."
        if self._waits_for_other:
            return "Another process is bringing the model; pages wait for it."
        if not self._needed:
            return "The engine has asked for no model: it needs none, or has not been loaded yet."
        if found.complete:
            return "The model is whole; the network is asked for nothing."
        return f"The model is not whole: {in_words(found.missing)}."


def offline_refusal(settings: ModelSettings, *, root: Path) -> str | None:
    """Why the settings rule the model out: incomplete, and nothing may be fetched. `None` where they do not (R53)."""
    if not settings.offline:
        return None
    found = inspect(root.absolute() / hubcache.HUB, settings.model_name, settings.revision)
    return None if found.complete else _not_available(settings, root, found)


def _not_available(settings: ModelSettings, root: Path, found: Snapshot) -> str:
    return (
        f"{NOT_AVAILABLE}: {root} holds no whole {settings.model_name} at {settings.revision} "
        f"({in_words(found.missing)}), and MODEL_OFFLINE forbids to fetch it. Put the model there "
        "(docs/model-cache.md), or unset MODEL_OFFLINE and HF_HUB_OFFLINE."
    )
