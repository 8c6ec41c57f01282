"""The ground of cloud mode: emulators of Google's bucket, which remembers all, and of its queue, in bad weather."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager

from libs.jobstate import record
from libs.jobstate.record import TornRecord
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.gcs import GcsStore
from libs.storage.store import ObjectStore, Stat, Stored
from services.web.auth import apikey, keyring
from services.web.auth.apikey import Scope
from tests.chaos.folder import Folder
from tests.chaos.history import Version
from tests.chaos.journal import now
from tests.cloudmode.cloud import ACCOUNT, BUCKET, CloudTasks, Scheduler
from tests.emulators.cloudtasks.emulator import LOCATION, PROJECT
from tests.emulators.gcs.bucket import Bucket, Object
from tests.emulators.gcs.conditions import Conditions
from tests.emulators.gcs.faults import Fault
from tests.emulators.gcs.server import Emulator

WEATHER = {Fault.UNAVAILABLE: 0.10, Fault.BUSY: 0.05, Fault.RESET: 0.15, Fault.LOST: 0.05}
QUEUE_RATES = ("--unavailable", "0.1", "--answer-lost", "0.05", "--doubled", "0.1", "--unheard", "0.05")
DOWN, REFUSED = "down", "refused"
SWEEP_SECONDS = 1.0


class RememberingBucket(Bucket):
    """A bucket that tells `happened` of every version and every end of an object."""

    def __init__(self, name: str, happened: Callable[[int, str, Object | None], None]) -> None:
        super().__init__(name, paced=True)
        self._happened = happened

    def put(self, name: str, *arguments: object, **more: object) -> Object:
        made = super().put(name, *arguments, **more)  # type: ignore[arg-type]  # handed on as they came
        self._happened(made.generation, name, made)
        return made

    def delete(self, name: str, generation: int | None, conditions: Conditions) -> None:
        super().delete(name, generation, conditions)
        self._happened(now(), name, None)


class CloudGround:
    """Both emulators. They stand for Google: nobody kills them, but they answer badly."""

    # Renewed four times as often, and a request may need several attempts of up to some seconds.
    lease_seconds = 12.0
    start_seconds: Mapping[str, float] = {"web": 2.4, "worker": 1.8}
    outages: tuple[str, ...] = (DOWN, REFUSED)
    in_cloud = True

    def __init__(self, folder: Folder) -> None:
        self._stack = ExitStack()
        self._told: list[tuple[int, str, Object | None]] = []
        self._ended: dict[str, int] = {}
        self._proofs: dict[str, dict[str, str]] = {}
        self._emulator = self._stack.enter_context(Emulator())
        self._emulator.service.buckets[BUCKET] = RememberingBucket(BUCKET, lambda *told: self._told.append(told))
        self._tasks = CloudTasks(folder.root, *QUEUE_RATES)
        self._tasks.start()
        self._stack.callback(self._tasks.kill)
        self._web_url = ""
        self._store: GcsStore | None = None

    async def prepare(self, web_url: str, emails: list[str]) -> None:
        self._web_url = web_url
        async with self.store() as store:
            for email in emails:
                key, text = apikey.issue(email=email, scopes=(Scope.WRITE,), at=await store.now(), days=1)
                await keyring.save_new(store, key)
                self._proofs[email] = {"Authorization": f"Bearer {text}"}
        scheduler = Scheduler(self._tasks.host, web_url, every_seconds=SWEEP_SECONDS)
        scheduler.start()
        self._stack.callback(scheduler.stop)
        self._emulator.faults.set(WEATHER)

    def environ(self) -> dict[str, str]:
        return {
            "RUNNING_IN_CLOUD": "true",
            "REQUESTS_PER_MINUTE_PER_USER": "0",  # the run asks far more often than people
            "STORAGE_EMULATOR_HOST": self._emulator.url,
            "GCS_BUCKET_NAME": BUCKET,
            "CLOUD_TASKS_EMULATOR_HOST": self._tasks.host,
            "EMULATED_KEYS_URL": self._tasks.keys_url,
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "TASKS_LOCATION": LOCATION,
            "TASKS_SERVICE_ACCOUNT": ACCOUNT,
            "QUEUE_FILE": str(self._tasks.queue_file),
            "EXTRACT_URL": self._web_url,
            "API_KEYS": "true",
            "SWEEP_SECONDS": f"{SWEEP_SECONDS:g}",
        }

    def proof(self, email: str) -> dict[str, str]:
        return self._proofs[email]

    async def outage(self, kind: str, seconds: float) -> bool:
        self._emulator.faults.set({Fault.UNAVAILABLE if kind == DOWN else Fault.FORBIDDEN: 1.0})
        await asyncio.sleep(seconds)
        self._emulator.faults.set(WEATHER)
        return True

    def clear_up(self) -> None:
        self._emulator.faults.set({})

    async def open_jobs(self) -> dict[str, float]:
        async with self.store() as store:
            names: dict[str, dict[str, Stat]] = {}
            async for stat in store.list(layout.USERS):
                _, _, session, name = stat.path.split("/", 3)
                names.setdefault(session, {})[name] = stat
            active = {stat.path.rpartition("/")[2] async for stat in store.list(layout.ACTIVE)}
            buried = {stat.path.rpartition("/")[2] async for stat in store.list(layout.TOMBSTONES)}
            found = {}
            for session, stats in names.items():
                # One that has ended may stay in the index for a quarter of an hour: a retry was announced, and web was
                # killed before the record said so.
                if layout.RECORD in stats:
                    is_open = not await self._has_ended(store, stats[layout.RECORD])
                else:
                    is_open = session in active and layout.INTAKE in stats and session not in buried
                if is_open:
                    found[session] = max(stat.updated_at.timestamp() for stat in stats.values())
            return found

    async def _has_ended(self, store: ObjectStore, stat: Stat) -> bool:
        if self._ended.get(stat.path) != stat.generation:
            try:
                if not record.decode((await store.read(stat.path)).data).ended:
                    return False
            except (NotFound, TornRecord):
                return False
            self._ended[stat.path] = stat.generation
        return True

    @asynccontextmanager
    async def store(self) -> AsyncIterator[GcsStore]:
        if self._store is None:
            os.environ["STORAGE_EMULATOR_HOST"] = self._emulator.url
            self._store = GcsStore(BUCKET, threads=4)
            self._stack.callback(self._store.close)
        yield self._store

    def versions(self) -> list[Version]:
        self.close()
        found = [_version(at, path, made) for at, path, made in list(self._told) if not path.startswith(layout.SYSTEM)]
        return sorted(found, key=lambda version: version.at)

    def keep(self) -> None:
        """The story tells it all; there is no disk to keep."""

    def close(self) -> None:
        self._stack.close()


def _version(at: int, path: str, made: Object | None) -> Version:
    if made is None:
        return Version(at=at, path=path, stored=None)
    # Nothing is asked of pictures but that they are there.
    data = b"" if path.endswith(".png") else b"".join(made.content.read())
    return Version(at=at, path=path, stored=Stored(data=data, generation=made.generation, updated_at=made.created))
