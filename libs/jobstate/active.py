"""The index of active jobs: one object a job, from before the upload until the job has ended. The sweep looks here."""

import zlib
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from libs.codec import Codec, TornObject
from libs.jobstate.job import Job
from libs.storage.errors import NotFound, PreconditionFailed, StorageError
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles

WAKE_FROM, WAKE_TO = timedelta(minutes=1), timedelta(minutes=30)
# Longer than a request can last: a run announced so long ago was never begun.
ANNOUNCED = timedelta(minutes=15)
# An object written so lately says as much already.
JUST = timedelta(seconds=2)


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """What the object says: the run it was made for, and of the last waking the revision seen, when, how often."""

    run: int = 1
    revision: int = -1
    woken_at: datetime | None = None
    times: int = 0
    wakes: int = 0

    def due(self, revision: int, now: datetime, since: datetime | None = None) -> bool:
        """Whether to wake again: at once after progress, then at growing distances.

        `since`: what was enqueued before is lost, and so a waking of before is none.
        """
        if self.woken_at is None or revision != self.revision or (since is not None and self.woken_at < since):
            return True
        pause: timedelta = min(WAKE_TO, WAKE_FROM * 2 ** (self.times - 1))
        return now >= self.woken_at + pause

    def again(self, revision: int, now: datetime) -> "Active":
        """After one more waking."""
        times = self.times + 1 if revision == self.revision else 1
        return msgspec.structs.replace(self, revision=revision, woken_at=now, times=times, wakes=self.wakes + 1)


_codec = Codec(Active, TornObject)
encode = _codec.encode


def decode(data: bytes) -> Active:
    """Read a stored object. What a torn one said is lost with little harm: it counts as just made."""
    try:
        return _codec.decode(data)
    except TornObject:
        # Its number of wakings too, and tasks are named by it: one far from those that may have been used.
        return Active(wakes=2**30 + zlib.crc32(data) % 2**30)


async def announce(files: SessionFiles, run: int) -> None:
    """Say that `run` is about to begin: before its record, so that no moment exists in which nobody looks."""
    await write_paced(files.store, files.active_path, encode(Active(run=run)))


async def request_slice(files: SessionFiles) -> None:
    """Say by the object's time that the job asks for its turn now; whoever is at work sees it and makes room."""
    with suppress(StorageError):  # it would only wait a little longer
        stored = await files.store.read(files.active_path)
        if stored.updated_at + JUST < await files.store.now():
            await files.store.write(files.active_path, stored.data, if_generation=stored.generation)


async def is_woken_since(files: SessionFiles, wake: int) -> bool:
    """Whether the sweep has woken the job after `wake`: its new tasks go on, and the old ones that were only late end.

    Otherwise each waking of a job whose tasks wait their turn would add to the queue for good.
    """
    return await newest_wake(files, wake) > wake


async def newest_wake(files: SessionFiles, wake: int) -> int:
    """The number of the last waking, `wake` at least: a task that is made now and bears an older one would soon end."""
    try:
        return max(wake, decode((await files.store.read(files.active_path)).data).wakes)
    except NotFound:
        return wake


async def remove(files: SessionFiles, job: Job) -> None:
    """Take an ended job off the index, unless its next run is announced."""
    with suppress(NotFound, PreconditionFailed):
        stored = await files.store.read(files.active_path)
        announced = decode(stored.data).run > job.run
        if announced and stored.updated_at + ANNOUNCED > await files.store.now():
            return
        # By generation: a retry may announce its run at this very moment.
        await files.store.delete(files.active_path, if_generation=stored.generation)
