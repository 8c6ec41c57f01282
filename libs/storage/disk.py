"""Plain files: the operating system's calls, with its errors translated into the storage's."""

import errno
import os
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

from libs.storage.errors import Forbidden, NotFound, OutOfSpace, Unavailable
from libs.storage.store import Stat

#: Renames tried while other processes remove the target's folder. Chosen: so many in a row are no coincidence.
RENAME_ATTEMPTS = 100
_MISSING = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP}
_TROUBLE = {
    errno.EACCES,
    errno.EAGAIN,
    errno.EBUSY,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENODEV,
    errno.ENOMEM,
    errno.ENXIO,
    errno.EPERM,
    errno.EROFS,
    errno.ESTALE,
    errno.ETIMEDOUT,
}


@contextmanager
def translated(path: str, *, writing: bool = False) -> Iterator[None]:
    """Turn the operating system's errors into the storage's; those it does not know pass through."""
    try:
        yield
    except OSError as error:
        _raise_translated(path, error, writing)


def _raise_translated(path: str, error: OSError, writing: bool) -> NoReturn:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        raise OutOfSpace(path, reason) from error
    if error.errno in _TROUBLE:
        raise Unavailable(path, reason) from error
    if writing and error.errno in _IN_THE_WAY:
        # A bucket can hold both `a` and `a/b`, a directory cannot; no two names of the layout clash so.
        raise Forbidden(path, f"no object can have this name here: {reason}") from error
    if not writing and error.errno in _MISSING:
        raise NotFound(path) from error
    raise error


def stat_of(path: str, found: os.stat_result) -> Stat:
    """The `Stat` of a file; its time in microseconds is its generation. Raises `NotFound` for no plain file."""
    if not modes.S_ISREG(found.st_mode):
        raise NotFound(path)
    generation = found.st_mtime_ns // 1000
    updated_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=generation)
    return Stat(path=path, size=found.st_size, generation=generation, updated_at=updated_at)


def check_folders(root: Path, path: str) -> None:
    """Refuse a symbolic link among the folders of `path` below `root`: it would lead out of the tree.

    Raises `OSError` with `ELOOP`. A missing folder passes. A link that is made after the check is followed: only this
    user can make one, since the folders are closed to others.
    """
    folder = str(root)
    for name in path.split("/")[:-1]:
        folder = f"{folder}/{name}"
        try:
            mode = os.lstat(folder).st_mode
        except FileNotFoundError:
            return
        if modes.S_ISLNK(mode):
            raise OSError(errno.ELOOP, "a symbolic link is in the way", folder)


def rename(temporary: Path, target: Path, root: Path) -> list[Path]:
    """Put the file in place; the folders in which a folder was made for it, and which have to be flushed too."""
    made: list[Path] = []
    for _ in range(RENAME_ATTEMPTS):
        try:
            temporary.rename(target)
            return made
        except FileNotFoundError:
            # A deletion in another process may remove the empty folders again before the rename.
            with suppress(FileNotFoundError):
                made = _make_folders(target.parent, root)
    raise Unavailable(str(target), "its folder kept disappearing")


def _make_folders(folder: Path, root: Path) -> list[Path]:
    """Make `folder`, for this user only; the folders in which one was made."""
    if folder.is_dir():
        return []
    if folder == root:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return []
    parents = _make_folders(folder.parent, root)
    # Not exist_ok: it looks again, and mistakes a folder that was removed since for a file in the way.
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    return [*parents, folder.parent]


def flush_folder(folder: Path) -> None:
    """Make the entries of `folder` survive a power cut."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return  # deleted meanwhile, with what was in it
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot flush a directory; they order the rename themselves.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write to the file system of `folder`."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def write_all(path: str, descriptor: int, data: bytes) -> None:
    """Write every byte. Raises `OutOfSpace`."""
    with translated(path, writing=True):
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def flush(path: str, descriptor: int) -> None:
    """Make the bytes of a file survive a power cut."""
    with translated(path, writing=True):
        os.fsync(descriptor)


def read_at(path: str, descriptor: int, size: int, offset: int) -> bytes:
    """Up to `size` bytes from `offset` on; none at the end of the file."""
    with translated(path):
        return os.pread(descriptor, size, offset)
