"""The model's cache: finds the model whole, or brings it there once (R51 to R55)."""

import asyncio
import time
from pathlib import Path
from typing import Protocol

import structlog

from services.worker.engines.context import ModelFiles
from services.worker.engines.engine import EngineUnavailable
from services.worker.modelcache import layout, leftovers, mount, refusal
from services.worker.modelcache.bucket import copy
from services.worker.modelcache.download import download
from services.worker.modelcache.download_wire import ModelRequest
from services.worker.modelcache.lock import lock_file, locked
from services.worker.modelcache.progress import ProgressLog, Way
from services.worker.modelcache.report import CacheReport
from services.worker.modelcache.root import root_variable
from services.worker.modelcache.settings import ModelSettings
from services.worker.modelcache.snapshot import Snapshot, in_words, inspect

log = structlog.get_logger()

NOT_AVAILABLE = "Model cache not available"


class Meter(Protocol):
    """Counts what the cache does (R56)."""

    def model_asked(self, *, cached: bool) -> None: ...

    def model_brought(self, way: str, *, seconds: float, size_bytes: int) -> None: ...


class ModelCache:
    """One model in one cache. Nothing is fetched before an engine asks."""

    def __init__(self, settings: ModelSettings, *, root: Path, in_cloud: bool, meter: Meter) -> None:
        self._settings = settings
        self._root = root.absolute()
        self._hub = self._root / layout.HUB
        self._bucket = settings.bucket(in_cloud=in_cloud)
        self._moves_root = root_variable(in_cloud=in_cloud)
        self._meter = meter
        self._turn = asyncio.Lock()
        self._progress = ProgressLog()
        self._awaited = False
        self._asked = False
        self._read = False
        self._source: str | None = None

    def is_complete(self) -> bool:
        """Whether the model is here and whole, by its files: some milliseconds, no network, no library loaded."""
        return self._look().complete

    @property
    def needed(self) -> bool:
        """Whether an engine has asked for the model."""
        return self._asked

    async def ensure(self) -> ModelFiles:
        """The model's files, on this machine and whole. Raises `EngineUnavailable`, saying what to do."""
        self._asked = True
        async with self._turn:
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
        """How things are just now."""
        found = await asyncio.to_thread(self._look)
        return CacheReport(
            cache_root=str(self._root),
            model=self._settings.model_name,
            revision=self._settings.model_revision,
            commit=found.commit or None,
            present=found.present,
            complete=found.complete,
            size_bytes=found.size_bytes,
            missing=found.missing,
            offline=found.complete or self._settings.offline,
            needed=self._asked,
            source=self._source or ("It was in the cache." if found.complete else None),
            progress=self._progress.now,
            detail=self._detail(found),
        )

    async def _fetch(self, found: Snapshot) -> Snapshot:
        if self._settings.offline:
            raise EngineUnavailable(_not_available(self._settings, self._root, found))
        log.info("model_missing", model=self._settings.model_name, missing=in_words(found.missing))
        try:
            async with locked(lock_file(self._hub, self._settings.model_name), waiting=self._wait) as lock:
                self._awaited = False
                found = await asyncio.to_thread(self._look)
                if found.complete:
                    self._source = "Another process brought it."
                    return found
                await asyncio.to_thread(leftovers.clear, self._hub, self._settings.model_name, found)
                await self._bring(lock)
        except OSError as error:
            words = refusal.of_disk(error, self._root, self._moves_root)
            raise EngineUnavailable(
                words or f"The model cache {self._root} cannot be used ({error.strerror}). Set {self._moves_root}."
            ) from error
        finally:
            self._awaited = False
        found = await asyncio.to_thread(self._look)
        if not found.complete:
            raise EngineUnavailable(
                f"What came is not a whole model: {in_words(found.missing)}. Correct MODEL_NAME and MODEL_REVISION."
            )
        return found

    async def _bring(self, lock: int) -> None:
        """From the bucket, where there is one; else, or where it cannot help, from the hub."""
        request = ModelRequest(
            hub=str(self._hub),
            model=self._settings.model_name,
            revision=self._settings.model_revision,
            moves_root=self._moves_root,
        )
        lacks = ""
        if self._bucket:
            began = time.monotonic()
            try:
                await copy(request, self._bucket, told=self._progress.tell)
            except EngineUnavailable as error:
                lacks = str(error)
                log.warning("model_bucket_useless", reason=lacks)
            else:
                self._brought(Way.BUCKET, began, f"Copied from the bucket {self._bucket}")
                return
        began = time.monotonic()
        try:
            await download(request, self._settings, lock=lock, told=self._progress.tell)
        except EngineUnavailable as error:
            raise EngineUnavailable(f"{lacks} {error}".strip()) from error
        self._brought(Way.HUB, began, f"Downloaded from {self._settings.hf_endpoint or 'the hub'}")

    async def _read_once(self, found: Snapshot) -> None:
        assert found.folder is not None
        if self._read or not await asyncio.to_thread(mount.is_network_mount, found.folder):
            return
        began = time.monotonic()
        files = sorted(found.folder.glob("*.safetensors"))
        try:
            await mount.read_once(files, told=self._progress.tell)
        except OSError as error:
            raise EngineUnavailable(f"The mount {self._root} cannot be read ({error.strerror}). Ask again.") from error
        self._read = True
        self._brought(Way.READ, began, f"It was on the mount {self._root}, and was read once from end to end")

    def _brought(self, way: Way, began: float, how: str) -> None:
        seconds = round(time.monotonic() - began, 1)
        size_bytes = self._progress.now.bytes_total if self._progress.now else 0
        self._source = f"{how} in {seconds:g} s."
        self._meter.model_brought(way, seconds=seconds, size_bytes=size_bytes)
        log.info("model_brought", way=way, seconds=seconds, size_bytes=size_bytes)

    def _look(self) -> Snapshot:
        return inspect(self._hub, self._settings.model_name, self._settings.model_revision)

    def _wait(self) -> None:
        self._awaited = True
        log.info("model_awaited", model=self._settings.model_name)

    def _detail(self, found: Snapshot) -> str:
        if self._progress.now is not None:
            return "The model is on its way; pages wait for it."
        if self._awaited:
            return "Another process is bringing the model; pages wait for it."
        if not self._asked:
            return "The engine has asked for no model: it needs none, or has not been loaded yet."
        if found.complete:
            return "The model is whole; the network is asked for nothing."
        return f"The model is not whole: {in_words(found.missing)}."


def offline_refusal(settings: ModelSettings, *, root: Path) -> str | None:
    """Why the model cannot be had as things are set, however often one asks; `None` where it can (R53)."""
    if not settings.offline:
        return None
    found = inspect(root.absolute() / layout.HUB, settings.model_name, settings.model_revision)
    return None if found.complete else _not_available(settings, root, found)


def _not_available(settings: ModelSettings, root: Path, found: Snapshot) -> str:
    return (
        f"{NOT_AVAILABLE}: {root} holds no whole {settings.model_name} at {settings.model_revision} "
        f"({in_words(found.missing)}), and MODEL_OFFLINE forbids to fetch it. Put the model there "
        "(docs/model-cache.md), or unset MODEL_OFFLINE and HF_HUB_OFFLINE."
    )
