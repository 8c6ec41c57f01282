"""File locks between processes, each with the highest generation that was deleted under it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from libs.storage.errors import Unavailable

#: Seconds to wait for a lock. Chosen: far longer than a comparison and a rename take, also on a busy disk.
LOCK_SECONDS = 60.0


class LastGeneration:
    """The highest generation of the objects deleted under one lock, kept as the time of a file.

    Without it an object deleted and made again could repeat a generation after the clock went back.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def generation(self) -> int:
        """In microseconds; 0 where nothing was deleted yet."""
        try:
            return self._file.stat().st_mtime_ns // 1000
        except FileNotFoundError:
            return 0

    def raise_to(self, generation: int) -> None:
        """Note a deletion. A lower generation than the one noted changes nothing."""
        if generation > self.generation():
            self._file.touch(mode=0o600)
            os.utime(self._file, ns=(generation * 1000, generation * 1000))


@contextmanager
def locked(path: str, turn: threading.Lock, file: Path) -> Iterator[LastGeneration]:
    """Hold the lock at `file`, and `turn` among this process's threads. Raises `Unavailable` when it stays held."""
    with turn:
        # A new lock each time: it belongs to this thread, and a process that is forked now inherits none.
        lock = FileLock(file.with_suffix(".lock"), mode=0o600)
        try:
            lock.acquire(timeout=LOCK_SECONDS, poll_interval=0.002)
        except Timeout:
            raise Unavailable(path, f"{lock.lock_file} has been held for {LOCK_SECONDS:.0f} s") from None
        try:
            yield LastGeneration(file.with_suffix(".last"))
        finally:
            lock.release()
