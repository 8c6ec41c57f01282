"""A lock file that is held exactly as long as a process writes, so that one model is fetched once at a time."""

import asyncio
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

log = structlog.get_logger()

# Between two tries at a lock that another process holds. Chosen: short beside any download.
POLL_SECONDS = 0.2
# Of `flock`: another process holds the lock; the file system has no locks (some network mounts).
_TAKEN = (errno.EAGAIN, errno.EACCES)
_UNSUPPORTED = (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL)


@asynccontextmanager
async def locked(file: Path, *, waiting: Callable[[], None]) -> AsyncIterator[int]:
    """Hold the lock and yield its descriptor; `waiting` is called once when another process has it. Raises `OSError`.

    Not the `filelock` of the store: a child process that inherits the descriptor holds the lock as well, so it is free
    only once both have ended, however they ended.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        waited = False
        while not _take(descriptor):
            if not waited:
                waiting()
                waited = True
            await asyncio.sleep(POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def is_free(file: Path) -> bool:
    """Whether no process holds this lock at present."""
    try:
        descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return _take(descriptor)
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _TAKEN:
            return False
        if error.errno in _UNSUPPORTED:
            # Files are written under unique names and renamed, so without locks the cost is a second download.
            log.warning("model_cache_without_locks", fault=errno.errorcode.get(error.errno or 0, "unknown"))
            return True
        raise
    return True
