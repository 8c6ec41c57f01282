"""Compare-and-set of the job's record."""

import asyncio
import random
import secrets
from collections.abc import Callable

import msgspec

from libs.jobstate import document
from libs.jobstate.job import Job
from libs.storage import layout
from libs.storage.errors import PreconditionFailed, TooFast
from libs.storage.pace import pause
from libs.storage.session import SessionFiles

Change = Callable[[Job], Job]


async def load(files: SessionFiles) -> Job:
    """The record as it stands. Raises `NotFound`, `TornDocument`."""
    return document.decode((await files.store.read(files.path(layout.DOCUMENT))).data)


async def create(files: SessionFiles, job: Job) -> Job:
    """Write the first record. A record that stands already is kept and returned."""
    try:
        await files.store.write(files.path(layout.DOCUMENT), document.encode(job), if_generation=0)
    except PreconditionFailed:
        return await load(files)
    return job


async def commit(files: SessionFiles, change: Change) -> Job:
    """Apply `change` to the record and write it; after a conflict, read it again and re-apply.

    `change` must be monotonic: applied to a newer record it may find nothing to do, and then nothing is written.
    Returns the record as it stands afterwards. Raises `NotFound` when the job was deleted, `TornDocument`, and what
    `change` raises.
    """
    path = files.path(layout.DOCUMENT)
    while True:
        stored = await files.store.read(path)
        before = document.decode(stored.data)
        after = change(before)
        if after == before:
            return before
        writer = secrets.token_hex(8)
        after = msgspec.structs.replace(after, revision=before.revision + 1, writer=writer)
        try:
            await files.store.write(path, document.encode(after), if_generation=stored.generation)
        except PreconditionFailed:
            # The answer to our own write may have been lost and the client have tried again: look for our mark.
            if (current := await load(files)).writer == writer:
                return current
            await asyncio.sleep(random.uniform(0, 0.05))  # noqa: S311 - spreads rivals, guards nothing
        except TooFast:
            await asyncio.sleep(pause())
        else:
            return after
