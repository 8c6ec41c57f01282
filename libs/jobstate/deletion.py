"""Deletion of a session: first its tombstone, then its files; once no late write can come, the tombstone too."""

from contextlib import suppress
from datetime import datetime, timedelta

from libs.jobstate.commit import load
from libs.jobstate.job import Job
from libs.jobstate.record import TornRecord
from libs.storage import layout
from libs.storage.errors import NotFound, OutOfSpace, PreconditionFailed
from libs.storage.session import SessionFiles, indexed_session
from libs.storage.store import ObjectStore, Stat

#: How long a tombstone stays. Chosen: longer than a call that began before the deletion can last, which is the dispatch
#: deadline and a lease (10 minutes and 1 by default).
LATE_WRITES = timedelta(minutes=15)


async def delete(files: SessionFiles) -> None:
    """Delete the session for good. The tombstone comes first, so that a sweep finishes what breaks off here.

    Raises `OutOfSpace` where a full disk has no room for the tombstone, even once the files are gone.
    """
    await mark(files)
    await remove_files(files)


async def mark(files: SessionFiles) -> None:
    """Write the tombstone: from now on no request finds the session. The caller then removes its files."""
    try:
        await files.store.write(files.tombstone_path, b"{}")
    except OutOfSpace:
        # The files make room for it. The index stays: where the room is taken by others, the sweep finds what is left.
        await _remove(files, await _stored(files))
        await files.store.write(files.tombstone_path, b"{}")


async def remove_files(files: SessionFiles) -> None:
    """Delete every object of the session, by listing: a write that was cancelled may have left its file all the same.

    Without a tombstone this is only for a session in which no work can have begun.
    """
    # The index last, since it leads the sweep here.
    await _remove(files, [*await _stored(files), files.active_path])


def expires_at(job: Job, retention: timedelta | None) -> datetime | None:
    """When the job is deleted: `retention` after its end. `None` while it runs, and where jobs are kept."""
    return job.updated_at + retention if retention is not None and job.ended else None


async def delete_expired(store: ObjectStore, retention: timedelta) -> list[SessionFiles]:
    """Delete the jobs that ended longer ago than `retention`, as their owners would; the sessions that were deleted.

    An id begins with its time, so of each user only the sessions that are old enough are looked at. A job whose record
    cannot be read is left: when it ended is not known.
    """
    now = await store.now()
    deleted: list[SessionFiles] = []
    async for user_hash in store.children(layout.USERS):
        async for session_id in store.children(layout.user_prefix(user_hash)):
            if not layout.is_session_id(session_id):
                continue
            if layout.created_at(session_id) + retention > now:
                break
            files = SessionFiles(store=store, user_hash=user_hash, session_id=session_id)
            with suppress(NotFound, TornRecord):
                end = expires_at(await load(files), retention)
                if end is not None and end <= now:
                    await delete(files)
                    deleted.append(files)
    return deleted


async def bury(store: ObjectStore, tombstone: Stat) -> None:
    """Remove what was written late to a deleted session; after `LATE_WRITES` also its tombstone.

    Raises `ValueError` for an object that is no tombstone.
    """
    await remove_files(indexed_session(store, tombstone.path))
    if tombstone.updated_at + LATE_WRITES > await store.now():
        return
    with suppress(NotFound, PreconditionFailed):
        await store.delete(tombstone.path, if_generation=tombstone.generation)


async def _stored(files: SessionFiles) -> list[str]:
    """The paths of the session's objects: the record first, since every worker looks at it."""
    paths = [stat.path async for stat in files.store.list(files.prefix)]
    paths.sort(key=lambda path: not path.endswith(layout.RECORD))
    return paths


async def _remove(files: SessionFiles, paths: list[str]) -> None:
    for path in paths:
        with suppress(NotFound):
            await files.store.delete(path)
