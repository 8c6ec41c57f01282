"""What the services of a round stand on: a disk with the queue inside web, or a bucket and a queue of the cloud."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from libs.jobstate import record
from libs.jobstate.record import TornRecord
from libs.storage import layout
from libs.storage.local import LocalStore
from libs.storage.store import ObjectStore
from tests import ROOT
from tests.chaos.disk import FULL, READ_ONLY, Disk
from tests.chaos.folder import Folder
from tests.chaos.history import RememberingStore, Version, versions


class Ground(Protocol):
    """One round's. `lease_seconds` is what leases last there, `start_seconds` the processor time of a start."""

    lease_seconds: float
    start_seconds: Mapping[str, float]
    outages: tuple[str, ...]
    in_cloud: bool

    async def prepare(self, web_url: str, emails: list[str]) -> None:
        """Be ready for the services, whose web will be at `web_url`, and for these users."""
        ...

    def environ(self) -> dict[str, str]:
        """What the services are told of it."""
        ...

    def proof(self, email: str) -> dict[str, str]:
        """The headers by which a user says who asks."""
        ...

    async def outage(self, kind: str, seconds: float) -> bool:
        """Fail for a while; false when that cannot be done now."""
        ...

    def clear_up(self) -> None:
        """From now on nothing goes wrong here."""
        ...

    async def open_jobs(self) -> dict[str, float]:
        """The jobs that have not ended, and when something of each was last written (seconds since 1970).

        An upload that was cut off is no job.
        """
        ...

    def store(self) -> AbstractAsyncContextManager[ObjectStore]:
        """The storage, for the harness itself."""
        ...

    def versions(self) -> list[Version]:
        """All that was ever stored, oldest first. Nothing is written from now on."""
        ...

    def keep(self) -> None:
        """Leave a copy for whoever looks into what broke."""
        ...

    def close(self) -> None:
        """Take it away."""
        ...


class LocalGround:
    """A folder, on a file system of its own where that is allowed."""

    lease_seconds = 4.0
    # Processor time, so that a busy machine makes no difference: a start, and as much again of work.
    start_seconds: Mapping[str, float] = {"web": 0.9, "worker": 0.5}
    outages: tuple[str, ...] = (FULL, READ_ONLY)
    in_cloud = False

    def __init__(self, folder: Folder, *, may_mount: bool) -> None:
        self._folder = folder
        self._disk = Disk(folder, may_mount=may_mount)

    async def prepare(self, web_url: str, emails: list[str]) -> None:
        # The shipped settings, but for how many tasks run at once.
        shipped = (ROOT / "deploy" / "queue.yaml").read_text("utf-8")
        ours = shipped.replace("maxConcurrentDispatches: 1", "maxConcurrentDispatches: 4", 1)
        assert ours != shipped
        self._folder.queue_file.write_text(ours, "utf-8")

    def environ(self) -> dict[str, str]:
        return {
            "STORAGE_PATH": str(self._folder.storage),
            "QUEUE_FILE": str(self._folder.queue_file),
            "SWEEP_SECONDS": "1",
        }

    def proof(self, email: str) -> dict[str, str]:
        return {"X-User-Email": email}

    async def outage(self, kind: str, seconds: float) -> bool:
        return await self._disk.outage(kind, seconds)

    def clear_up(self) -> None:
        pass

    async def open_jobs(self) -> dict[str, float]:
        storage, found = self._folder.storage, {}
        for index in (storage / layout.ACTIVE).glob("*/*"):
            user_hash, session = index.parts[-2:]
            folder = storage / layout.session_prefix(user_hash, session)
            if (folder / layout.INTAKE).exists() and not (storage / layout.tombstone_path(user_hash, session)).exists():
                found[session] = max((_written(file) for file in folder.rglob("*")), default=0.0)
        for stored in storage.glob(f"{layout.USERS}*/*/{layout.RECORD}"):
            session = stored.parent.name
            if session not in found and not _has_ended(stored):
                found[session] = _written(stored)
        return found

    @asynccontextmanager
    async def store(self) -> AsyncIterator[ObjectStore]:
        own = self._folder
        yield RememberingStore(LocalStore(own.storage), root=own.storage, history=own.history, locks=own.locks)

    def versions(self) -> list[Version]:
        return versions(self._folder.storage, self._folder.history)

    def keep(self) -> None:
        self._disk.keep()

    def close(self) -> None:
        self._disk.close()


def _written(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # deleted just now
        return 0.0


def _has_ended(path: Path) -> bool:
    try:
        return record.decode(path.read_bytes()).ended
    except (FileNotFoundError, TornRecord):
        return False
