"""Opening an upload, however its bytes come: a session of its user's, announced, within the limit of active jobs."""

import contextlib
from collections.abc import AsyncIterator

from libs.jobstate import deletion
from libs.jobstate.active import announce
from libs.storage import layout
from libs.storage.errors import OutOfSpace, StorageError
from libs.storage.session import SessionFiles, create_session
from services.serving.problem import Problem
from services.web.activejobs import check_most, too_many
from services.web.auth import User
from services.web.service import Web


@contextlib.asynccontextmanager
async def opened_session(service: Web, user: User, *, size: int = 0, copies: int = 1) -> AsyncIterator[SessionFiles]:
    """A new session, announced before anything else is stored. Raises `Problem` 429 or 507, `StorageError`.

    `size`: bytes of the upload, as far as the client has announced them, which are `copies` times on the disk.

    When the block fails, or is cancelled because the client hung up, everything of the session is removed: the client
    does not know of it yet, and no work on it can have begun.
    """
    await check_disk(service, size * copies)
    most = service.config.active_jobs_per_user
    files = None
    with service.receiving.opened(user.email) as (others, turn):
        if others >= most:  # each has a place or waits for one: this one need not wait to be refused
            raise too_many(others)
        try:
            # A session takes its place by its id, which is made before it is announced: one at a time, or a later
            # session counts those before it while an earlier one is not yet in the index.
            async with turn:
                await service.usage.admit(user.user_hash, size)
                files = await create_session(service.store, user.email)
                await announce(files, run=1)
                await _check_room(files, user, most)
            yield files
        except BaseException:
            if files is not None:
                service.usage.deleted(user.user_hash)
                with contextlib.suppress(StorageError):  # the sweep finds what is left, since it is announced
                    await deletion.remove_files(files)
            raise


@contextlib.asynccontextmanager
async def deleted_on_failure(files: SessionFiles) -> AsyncIterator[None]:
    """Delete the session for good when the block, which makes its job, fails or is cancelled.

    A write that was reported as failed may have been made all the same, and work on the job may have begun: only a
    tombstone ends that.
    """
    try:
        yield
    except BaseException:
        with contextlib.suppress(StorageError):
            await _delete(files)
        raise


async def _delete(files: SessionFiles) -> None:
    try:
        await deletion.delete(files)
    except OutOfSpace:  # the job has not begun, and its place in the index would count against its user
        await deletion.remove_files(files)


async def check_disk(service: Web, size: int) -> None:
    """Raise `Problem` 507 where the disk would have less free than is kept for running jobs and deletions."""
    if service.finite is None or (room := await service.finite.room()) > size:
        return
    detail = f"There is room for {room:,} bytes." if room > 0 else "The disk of this installation is nearly full."
    raise Problem(
        507,
        "Out of space",
        f"{detail} Nothing was kept of the upload.",
        "Delete jobs that you no longer need, then try again. The operator can free space or lower DISK_RESERVE_BYTES.",
    )


async def _check_room(files: SessionFiles, user: User, most: int) -> None:
    """Raise `Problem` 429 when the user has `most` active jobs besides this session.

    The session is announced already and counts by its place in the user's index: of uploads that race for the last
    place in one process exactly one gets it. A session id begins with its time, so the earlier one gets it. In two
    processes both may get it, where the earlier id is announced after the later one has counted.
    """
    prefix = f"{layout.ACTIVE}{files.user_hash}/"
    before = [stat.path async for stat in files.store.list(prefix) if stat.path < prefix + files.session_id]
    await check_most(files, before, user, most)
