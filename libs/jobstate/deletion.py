"""Deletion of a session: first its tombstone, then its files; once no late write can come, the tombstone too."""

from contextlib import suppress
from datetime import timedelta

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
