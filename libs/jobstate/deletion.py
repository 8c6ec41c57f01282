"""Deletion of a session: first its tombstone, then its files; once no late write can come, the tombstone too."""

from contextlib import suppress
from datetime import timedelta

from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.session import SessionFiles, indexed_session
from libs.storage.store import ObjectStore, Stat

#: How long a tombstone stays. Chosen: longer than a call that began before the deletion can last, which is the dispatch
#: deadline and a lease (10 minutes and 1 by default).
LATE_WRITES = timedelta(minutes=15)


async def delete(files: SessionFiles) -> None:
    """Delete the session for good. The tombstone comes first, so that a sweep finishes what breaks off here."""
    await files.store.write(files.tombstone_path, b"{}")
    await remove_files(files)


async def remove_files(files: SessionFiles) -> None:
    """Delete every object of the session, by listing: a write that was cancelled may have left its file all the same.

    Without a tombstone this is only for a session in which no work can have begun.
    """
    paths = [stat.path async for stat in files.store.list(files.prefix)]
    # The record first, since every worker looks at it; the index last, since it leads the sweep here.
    paths.sort(key=lambda path: not path.endswith(layout.RECORD))
    for path in [*paths, files.active_path]:
        with suppress(NotFound):
            await files.store.delete(path)


async def bury(store: ObjectStore, tombstone: Stat) -> None:
    """Remove what was written late to a deleted session; after `LATE_WRITES` also its tombstone.

    Raises `ValueError` for an object that is no tombstone.
    """
    await remove_files(indexed_session(store, tombstone.path))
    if tombstone.updated_at + LATE_WRITES > await store.now():
        return
    with suppress(NotFound, PreconditionFailed):
        await store.delete(tombstone.path, if_generation=tombstone.generation)
