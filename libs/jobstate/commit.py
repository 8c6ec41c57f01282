"""Compare-and-set of the job's record."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import msgspec

from libs.jobstate import record
from libs.jobstate.job import Job
from libs.storage.errors import PreconditionFailed, TooFast
from libs.storage.pace import pause
from libs.storage.session import SessionFiles

Change = Callable[[Job], Job]

#: Seconds after which a step is slow. Chosen: one object takes one write a second, so that showing a shorter step would
#: delay the commit that ends it for longer than the step lasts.
SLOW_SECONDS = 1.0


class StoredJob(msgspec.Struct, frozen=True, kw_only=True):
    """The record at a generation of its object."""

    job: Job
    generation: int


async def load(files: SessionFiles) -> Job:
    """The current record. Raises `NotFound`, `TornRecord`."""
    return (await load_stored(files)).job


async def load_stored(files: SessionFiles) -> StoredJob:
    """The same, with its generation."""
    stored = await files.store.read(files.record_path)
    return StoredJob(job=record.decode(stored.data), generation=stored.generation)


async def create(files: SessionFiles, job: Job) -> Job:
    """Write the first record. A record that exists is kept and returned."""
    try:
        await files.store.write(files.record_path, record.encode(job), if_generation=0)
    except PreconditionFailed:
        return await load(files)
    return job


async def commit(files: SessionFiles, change: Change) -> Job:
    """The record after `change`: see `commit_stored`."""
    return (await commit_stored(files, change)).job


async def commit_stored(files: SessionFiles, change: Change) -> StoredJob:
    """Apply `change` to the record and write it; after a conflict, read it again and re-apply.

    `change` must be monotonic: applied to a newer record it may find nothing to do, and then nothing is written.
    Returns the record afterwards. Raises `NotFound` when the job was deleted, `TornRecord`, and what `change` raises.
    """
    path = files.record_path
    while True:
        stored = await files.store.read(path)
        before = record.decode(stored.data)
        after = change(before)
        if after == before:
            return StoredJob(job=before, generation=stored.generation)
        writer = secrets.token_hex(8)
        after = msgspec.structs.replace(after, revision=before.revision + 1, writer=writer)
        try:
            generation = await files.store.write(path, record.encode(after), if_generation=stored.generation)
        except PreconditionFailed:
            # The other writer may be ourselves: the storage's client repeats a write whose answer was lost.
            if (current := await load_stored(files)).job.writer == writer:
                return current
            await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311 - spreads rivals, guards nothing
        except TooFast:
            since = (await files.store.now() - stored.updated_at).total_seconds()
            await asyncio.sleep(pause(since))
        else:
            return StoredJob(job=after, generation=generation)


@asynccontextmanager
async def committed_if_slow(show: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Call `show`, which commits that the job has reached a step, once the body has taken `SLOW_SECONDS`.

    Raises what `show` raises, after the body.
    """
    over = asyncio.Event()

    async def later() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), SLOW_SECONDS)
        if not over.is_set():
            await show()

    task = asyncio.create_task(later())
    try:
        yield
    finally:
        over.set()
        await task
