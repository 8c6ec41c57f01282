"""The index of active jobs: one object for each job, from before its upload until it has ended. The sweep lists it."""

import zlib
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec

from libs.codec import Codec, TornObject
from libs.jobstate import password
from libs.jobstate.job import Job
from libs.storage.errors import NotFound, PreconditionFailed, StorageError
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles

#: The pause after the first waking, and the longest; each is twice the one before. Chosen: a job that is only slow is
#: rarely woken in vain, and one whose wakings fail is tried again within the half hour.
WAKE_FROM, WAKE_TO = timedelta(minutes=1), timedelta(minutes=30)
#: A run that was announced so long ago was never begun. Chosen: longer than a request can last.
ANNOUNCED = timedelta(minutes=15)
#: An object written so recently requests a time slice already. Chosen: one object takes one write a second.
JUST = timedelta(seconds=2)


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """The object: for which run, and the last waking by the sweep."""

    #: The run that was announced.
    run: int = 1
    #: The record's revision at the last waking; -1 before the first.
    revision: int = -1
    woken_at: datetime | None = None
    #: How often the job was woken at this revision.
    times: int = 0
    #: How often it was woken in all: tasks of a waking carry this number.
    wakes: int = 0

    def due(self, revision: int, now: datetime, since: datetime | None = None) -> bool:
        """Whether to wake again: at once after progress, then after growing pauses.

        `since`: tasks that were enqueued earlier are lost, so an earlier waking does not count.
        """
        if self.woken_at is None or revision != self.revision or (since is not None and self.woken_at < since):
            return True
        pause: timedelta = min(WAKE_TO, WAKE_FROM * 2 ** (self.times - 1))
        return now >= self.woken_at + pause

    def again(self, revision: int, now: datetime) -> "Active":
        """The object after one more waking."""
        times = self.times + 1 if revision == self.revision else 1
        return msgspec.structs.replace(self, revision=revision, woken_at=now, times=times, wakes=self.wakes + 1)


_codec = Codec(Active, TornObject)
encode = _codec.encode


def decode(data: bytes) -> Active:
    """Read a stored object. A torn one counts as just made, which only wakes its job early."""
    try:
        return _codec.decode(data)
    except TornObject:
        # Tasks are named by the number of wakings, so this one is far from any that may have been used.
        return Active(wakes=2**30 + zlib.crc32(data) % 2**30)


async def announce(files: SessionFiles, run: int) -> None:
    """Write the object for `run`, before its record: the sweep then finds a job that breaks off at any moment."""
    await write_paced(files.store, files.active_path, encode(Active(run=run)))


async def request_slice(files: SessionFiles) -> None:
    """Touch the active object to request a time slice: calls at work on other jobs see its time and yield."""
    with suppress(StorageError):  # without it the job only waits a little longer
        stored = await files.store.read(files.active_path)
        if stored.updated_at + JUST < await files.store.now():
            await files.store.write(files.active_path, stored.data, if_generation=stored.generation)


async def is_woken_since(files: SessionFiles, wake: int) -> bool:
    """Whether the sweep has woken the job after `wake`: the new waking's tasks continue the job, and older ones end.

    Otherwise each waking of a job whose tasks were only late would add tasks to the queue for good.
    """
    return await newest_wake(files, wake) > wake


async def newest_wake(files: SessionFiles, wake: int) -> int:
    """The number of the last waking, at least `wake`. A new task needs it: with an older number it would soon end."""
    try:
        return max(wake, decode((await files.store.read(files.active_path)).data).wakes)
    except NotFound:
        return wake


async def remove(files: SessionFiles, job: Job) -> None:
    """Remove an ended job from the index, and what is left of its password, unless its next run is announced."""
    with suppress(NotFound, PreconditionFailed):
        stored = await files.store.read(files.active_path)
        announced = decode(stored.data).run > job.run
        if announced and stored.updated_at + ANNOUNCED > await files.store.now():
            return
        await password.forget(files, job)  # before the index, which leads a sweep here after a crash
        # By generation: a retry may announce its run at the same moment.
        await files.store.delete(files.active_path, if_generation=stored.generation)
