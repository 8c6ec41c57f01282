"""A copy of the model from the bucket of models (R55), which holds a hub cache that `make deploy-models` wrote."""

import asyncio
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import structlog

from libs.config import ConfigError
from libs.storage.backend import open_bucket
from libs.storage.errors import NotFound, StorageError
from libs.storage.store import Stat, Stored
from services.worker.engines.engine import EngineUnavailable
from services.worker.modelcache import disk, hubcache
from services.worker.modelcache.download_protocol import ModelRequest
from services.worker.modelcache.progress import OnProgress, Progress, Transfer
from services.worker.modelcache.weights import Damaged, shards

log = structlog.get_logger()

# Chosen: hides the latency of a request; more files at once compete for the same bandwidth.
FILES_AT_ONCE = 4


class Objects(Protocol):
    """The part of a store that a copy needs; see `libs.storage.gcs.GcsStore`."""

    async def read(self, path: str) -> Stored: ...

    def list(self, prefix: str) -> AsyncIterator[Stat]: ...

    async def fetch(self, found: Stat, file: Path, *, arrived: "Arrived") -> None: ...


class Arrived(Protocol):
    """Is called with the number of bytes that have come since the last call."""

    def __call__(self, count: int, /) -> None: ...


async def copy(request: ModelRequest, bucket: str, *, on_progress: OnProgress) -> None:
    """Copy the model into the cache. Raises `EngineUnavailable`, saying what to do."""
    try:
        async with open_bucket(bucket, wanted_by=f"MODEL_BUCKET_NAME={bucket}") as objects:
            await copy_from(objects, request, bucket, on_progress=on_progress)
    except ConfigError as error:
        raise EngineUnavailable(str(error)) from error
    except StorageError as error:
        raise EngineUnavailable(
            f"The bucket of models {bucket} cannot be read: {error.detail or type(error).__name__}. Correct "
            "MODEL_BUCKET_NAME, or let this account read it (roles/storage.objectViewer)."
        ) from error
    except OSError as error:
        root = Path(request.hub).parent
        raise EngineUnavailable(
            disk.describe_fault(error, root, request.moves_root)
            or f"The model cannot be written to {root} ({error.strerror})."
        ) from error


async def copy_from(objects: Objects, request: ModelRequest, bucket: str, *, on_progress: OnProgress) -> None:
    """`copy` from a store that is open. Raises `EngineUnavailable`, `StorageError`, `OSError`."""
    commit, files = await _listed(objects, request, bucket)
    home = Path(request.hub) / hubcache.folder_name(request.model)
    folder = home / "snapshots" / commit
    folder.mkdir(parents=True, exist_ok=True)
    (home / "blobs").mkdir(exist_ok=True)
    # A file gets its name only once it is complete and checked, so one of the right size need not come again.
    coming = [file for file in files if _size(folder / _name(file)) != file.size]
    total = sum(file.size for file in coming)
    if (free := shutil.disk_usage(folder).free) < total:
        raise EngineUnavailable(disk.describe_lack(total, free, home.parent.parent, request.moves_root))
    done = 0
    turns = asyncio.Semaphore(FILES_AT_ONCE)

    def arrived(count: int) -> None:
        nonlocal done
        done += count
        on_progress(Progress(way=Transfer.BUCKET, bytes_done=done, bytes_total=total))

    async def bring(found: Stat) -> None:
        part = home / "blobs" / f"{_name(found)}.{secrets.token_hex(4)}{hubcache.INCOMPLETE}"
        async with turns:
            try:
                await objects.fetch(found, part, arrived=arrived)
                await asyncio.to_thread(_settle, part, folder / _name(found))
            finally:
                part.unlink(missing_ok=True)

    arrived(0)
    try:
        async with asyncio.TaskGroup() as copies:
            for found in coming:
                copies.create_task(bring(found))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    if request.revision != commit:
        hubcache.write_ref(home, request.revision, commit)


async def _listed(objects: Objects, request: ModelRequest, bucket: str) -> tuple[str, list[Stat]]:
    """The commit, and the files of a complete model. Raises `EngineUnavailable` when the bucket lacks some."""
    place = f"{hubcache.HUB}/{hubcache.folder_name(request.model)}"
    lacks = f"The bucket of models {bucket} lacks {request.model} at {request.revision}"
    remedy = "Fill it with `make deploy-models`, or correct MODEL_NAME and MODEL_REVISION."
    commit = request.revision
    if not hubcache.is_commit(commit):
        try:
            commit = (await objects.read(f"{place}/refs/{request.revision}")).data.decode("ascii").strip()
        except (NotFound, ValueError) as error:
            raise EngineUnavailable(f"{lacks}. {remedy}") from error
    if not commit or "/" in commit or commit.startswith("."):
        raise EngineUnavailable(f"{lacks}: its ref names no commit. {remedy}")
    files = [found async for found in objects.list(f"{place}/snapshots/{commit}/") if hubcache.is_wanted(_name(found))]
    names = {_name(found) for found in files}
    needed = {"config.json", hubcache.SINGLE}
    if hubcache.INDEX in names:
        try:
            index = (await objects.read(f"{place}/snapshots/{commit}/{hubcache.INDEX}")).data
            needed = {"config.json", *shards(index)}
        except Damaged as error:
            raise EngineUnavailable(f"{lacks}: {hubcache.INDEX} {error}. {remedy}") from error
    if absent := sorted(needed - names):
        raise EngineUnavailable(f"{lacks}: {', '.join(absent)} is not there. {remedy}")
    return commit, files


def _settle(part: Path, file: Path) -> None:
    """Give a file its name once all of it is on the disk, so that a crash leaves none that only looks complete."""
    descriptor = os.open(part, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    # Replaces the link of an earlier download, perhaps to a blob that is gone.
    part.replace(file)


def _name(found: Stat) -> str:
    """The file's name within its snapshot; folders in it, which no engine needs, keep their slash."""
    return found.path.split("/", 4)[4]


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None
