"""A store in a directory of this machine, safe between threads and between processes."""

import asyncio
import builtins
import os
import threading
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar, TypeVarTuple
from uuid import uuid4

from libs.storage import disk, layout
from libs.storage.errors import NotFound, OutOfSpace, PreconditionFailed, Unavailable
from libs.storage.layout import check_folder, check_path, check_prefix
from libs.storage.lock import LastGeneration, locked
from libs.storage.store import OpenObject, Stat, Stored
from libs.storage.tree import Tree

#: Bytes that a reader gets at a time, and that are collected of a stream for one call in a thread. Chosen: the cost of
#: such a call is small beside them.
CHUNK_BYTES = 1 << 20
#: Locks over which the paths are spread. Chosen: far more than writers at once.
LOCK_COUNT = 64

# Not through a link out of the tree, and without waiting for the other end of a pipe.
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_Arguments = TypeVarTuple("_Arguments")
_Result = TypeVar("_Result")


class LocalStore:
    """Objects are plain files below `root`, which other programs of this user may read. No symbolic link below `root`
    is followed; `root` itself may be one.

    A write goes to a temporary file in `root/.tmp/`, is flushed to the disk, and is then renamed into place.
    The temporary files are in one folder and not beside their targets, so that no listing of a session meets one, and
    what a killed process left behind is found without a walk of the tree. That folder is below `root`, so it is on the
    same file system, as a rename requires.

    The generation is the file's modification time in microseconds, made higher than the last where the clock has not
    advanced. The comparison and the rename happen under one of `LOCK_COUNT` file locks, chosen by path; nothing else
    does.
    """

    def __init__(self, root: Path, *, reserve_bytes: int = 0) -> None:
        """Make the directories where they are missing, readable by this user only.

        `reserve_bytes` of the disk stay free of uploads, and half of it of page images (`layout.reserve_share`): a full
        disk would refuse the records of running jobs and the tombstone of a deletion, too.
        """
        self._root = root.absolute()
        self._reserve = reserve_bytes
        self._temporary = self._root / ".tmp"
        self._locks = self._root / ".locks"
        self._tree = Tree(self._root, hidden=(self._temporary.name, self._locks.name))
        # Threads of this process wait here, since a file lock can only poll.
        self._turns = [threading.Lock() for _ in range(LOCK_COUNT)]
        self._prepare()

    async def read(self, path: str) -> Stored:
        check_path(path)
        return await _in_thread(self._read, path)

    @asynccontextmanager
    async def open_read(self, path: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[OpenObject]:
        check_path(path)
        descriptor, found = await _in_thread(self._open, path, undo=_close_found)
        try:
            chunks = _chunks(path, descriptor, start, found.size if end is None else min(end, found.size))
            try:
                yield OpenObject(stat=found, chunks=chunks)
            finally:
                await chunks.aclose()
        finally:
            os.close(descriptor)

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        check_path(path)
        if isinstance(data, bytes):
            return await _in_thread(self._write, path, data, if_generation)
        return await self._write_stream(path, data, if_generation)

    async def delete(self, path: str, *, if_generation: int | None = None) -> None:
        check_path(path)
        await _in_thread(self._delete, path, if_generation)

    async def stat(self, path: str) -> Stat:
        check_path(path)
        return await _in_thread(self._stat, path)

    async def list(self, prefix: str) -> AsyncIterator[Stat]:
        check_prefix(prefix)
        waiting: builtins.list[Stat | str] = [prefix.rpartition("/")[0]]
        while waiting:
            entry = waiting.pop()
            if isinstance(entry, Stat):
                yield entry
                continue
            waiting.extend(reversed(await _in_thread(self._tree.scan, entry, prefix)))

    async def children(self, prefix: str) -> AsyncIterator[str]:
        check_folder(prefix)
        for name in await _in_thread(self._tree.folders, prefix):
            yield name

    async def now(self) -> datetime:
        """The system's clock, by which the times of files are set, too."""
        return datetime.now(UTC)

    async def clear_temporary(self, older_than: timedelta = timedelta(days=1)) -> int:
        """Remove what killed writers left in `.tmp`; the number of files removed.

        The file of a live writer is never that old: each chunk renews its time.
        """
        return await _in_thread(self._clear_temporary, older_than)

    async def room(self) -> int:
        """See `FiniteStore`."""
        return await _in_thread(self._free, layout.USERS) - self._reserve

    def _free(self, path: str) -> int:
        with disk.translated(path):
            return disk.free_bytes(self._root)

    def _check_room(self, path: str) -> None:
        kept = self._reserve * layout.reserve_share(path)
        if kept and self._free(path) < kept:
            raise OutOfSpace(path, f"{int(kept):,} bytes of the disk are kept free")

    def _prepare(self) -> None:
        for folder in (self._root, self._temporary, self._locks):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _file(self, path: str) -> Path:
        return self._root / path

    def _read(self, path: str) -> Stored:
        descriptor, found = self._open(path)
        with disk.translated(path), os.fdopen(descriptor, "rb", buffering=0) as file:
            return Stored(data=file.readall(), generation=found.generation, updated_at=found.updated_at)

    def _open(self, path: str) -> tuple[int, Stat]:
        with disk.translated(path):
            disk.check_folders(self._root, path)
            descriptor = os.open(self._file(path), _READ_FLAGS)
            try:
                return descriptor, disk.stat_of(path, os.fstat(descriptor))
            except BaseException:
                os.close(descriptor)
                raise

    def _stat(self, path: str) -> Stat:
        with disk.translated(path):
            disk.check_folders(self._root, path)
            return disk.stat_of(path, self._file(path).lstat())

    def _generation(self, path: str) -> int:
        try:
            return self._stat(path).generation
        except NotFound:
            return 0

    def _check_generation(self, path: str, wanted: int | None) -> int:
        generation = self._generation(path)
        if wanted is not None and wanted != generation:
            raise PreconditionFailed(path, f"at generation {generation}, not {wanted}")
        return generation

    def _write(self, path: str, data: bytes, if_generation: int | None) -> int:
        descriptor, temporary = self._begin(path, if_generation)
        try:
            try:
                disk.write_all(path, descriptor, data)
                disk.flush(path, descriptor)
            finally:
                os.close(descriptor)
            return self._commit(path, temporary, if_generation)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    async def _write_stream(self, path: str, data: AsyncIterator[bytes], if_generation: int | None) -> int:
        descriptor, temporary = await _in_thread(self._begin, path, if_generation, undo=_abandon)
        try:
            try:
                async for block in _blocks(data):
                    await _in_thread(self._write_block, path, descriptor, block)
                await _in_thread(disk.flush, path, descriptor)
            finally:
                os.close(descriptor)
            return await _in_thread(self._commit, path, temporary, if_generation)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def _write_block(self, path: str, descriptor: int, block: bytes) -> None:
        self._check_room(path)
        disk.write_all(path, descriptor, block)

    def _begin(self, path: str, if_generation: int | None) -> tuple[int, Path]:
        # Early, so that a writer that has lost does not write the data first; `_commit` checks again under the lock.
        self._check_generation(path, if_generation)
        self._check_room(path)
        temporary = self._temporary / uuid4().hex
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with disk.translated(path, writing=True):
            try:
                return os.open(temporary, flags, 0o600), temporary
            except FileNotFoundError:
                # The storage folder was emptied while this process runs.
                self._prepare()
                return os.open(temporary, flags, 0o600), temporary

    def _commit(self, path: str, temporary: Path, if_generation: int | None) -> int:
        target = self._file(path)
        with disk.translated(path, writing=True):
            with self._locked(path) as last:
                current = self._check_generation(path, if_generation)
                generation = max(time.time_ns() // 1000, current + 1, last.generation() + 1)
                os.utime(temporary, ns=(generation * 1000, generation * 1000))
                if temporary.stat().st_mtime_ns // 1000 != generation:
                    raise Unavailable(path, "this file system rounds file times; put STORAGE_PATH on a local disk")
                disk.check_folders(self._root, path)
                made = disk.rename(temporary, target, self._root)
            # The object exists from the rename on. The flush, outside the lock, makes it survive a power cut, too.
            for folder in (target.parent, *made):
                disk.flush_folder(folder)
        return generation

    def _delete(self, path: str, if_generation: int | None) -> None:
        target = self._file(path)
        with disk.translated(path):
            self._stat(path)
            with self._locked(path) as last:
                generation = self._stat(path).generation
                self._check_generation(path, if_generation)
                last.raise_to(generation)
                target.unlink()
            # Not flushed: the sweep repeats a deletion that a power cut has undone.
            for folder in target.parents:
                if folder == self._root:
                    break
                try:
                    folder.rmdir()
                except OSError:
                    break

    def _locked(self, path: str) -> AbstractContextManager["LastGeneration"]:
        number = zlib.crc32(path.encode()) % LOCK_COUNT
        return locked(path, self._turns[number], self._locks / f"{number:02d}")

    def _clear_temporary(self, older_than: timedelta) -> int:
        removed = 0
        oldest = time.time() - older_than.total_seconds()
        with disk.translated(self._temporary.name), os.scandir(self._temporary) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime < oldest:
                        Path(entry.path).unlink()
                        removed += 1
        return removed


def _close_found(opened: tuple[int, Stat]) -> None:
    os.close(opened[0])


def _abandon(begun: tuple[int, Path]) -> None:
    descriptor, temporary = begun
    os.close(descriptor)
    temporary.unlink(missing_ok=True)


async def _blocks(data: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Join small chunks, so that one call in a thread writes `CHUNK_BYTES`, whatever the sender's chunks are."""
    gathered = bytearray()
    async for chunk in data:
        gathered += chunk
        if len(gathered) >= CHUNK_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


async def _chunks(path: str, descriptor: int, start: int, stop: int) -> AsyncGenerator[bytes, None]:
    offset = start
    while offset < stop:
        chunk = await _in_thread(disk.read_at, path, descriptor, min(CHUNK_BYTES, stop - offset), offset)
        if not chunk:
            raise Unavailable(path, "the file was cut short by another program")
        offset += len(chunk)
        yield chunk


async def _in_thread(
    function: Callable[[*_Arguments], _Result],
    *arguments: *_Arguments,
    undo: Callable[[_Result], object] | None = None,
) -> _Result:
    """Run blocking work in a thread; when cancelled, wait for its end and then `undo` what it returned.

    A thread cannot be stopped: without the wait, a file would be closed that the thread still writes to.
    """
    # Not a task: the end of the event loop cancels all tasks, and would not wait for the running thread.
    work = asyncio.get_running_loop().run_in_executor(None, function, *arguments)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if undo is not None and work.exception() is None:
            undo(work.result())
        raise
