"""Every version that every object ever had, kept by those who replace it.

Whoever replaces or deletes an object first gives the file that stands a second name in the history (a hard link, so it
costs no space and happens at once or not at all), holding a lock of its own for that path. So a version that was ever
seen is in the history or still stands, whoever was killed when. A version's generation is its time in microseconds:
sorted by it, the history is all that happened.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote, unquote

import msgspec

from libs.storage.disk import translated
from libs.storage.store import ObjectStore, Stored
from tests.chaos.around import AroundStore
from tests.chaos.journal import now

_KEPT = ("users", "active", "tombstones")
_GONE = ".gone"


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """What an object was from the moment `at` on (microseconds); `None`: it was deleted."""

    at: int
    path: str
    stored: Stored | None


class RememberingStore(AroundStore):
    """Keeps what it replaces. `history` is on the disk of `root`; `locks` must not be, since that disk has outages."""

    def __init__(self, inner: ObjectStore, *, root: Path, history: Path, locks: Path) -> None:
        super().__init__(inner)
        self._root = root
        self._history = history
        self._locks = locks

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        async with self._alone(path):
            self._keep(path)
            return await self.inner.write(path, data, if_generation=if_generation)

    async def delete(self, path: str, *, if_generation: int | None = None) -> None:
        async with self._alone(path):
            self._keep(path)
            await self.inner.delete(path, if_generation=if_generation)
            with translated(path, writing=True):
                (self._history / f"{quote(path, safe='')}@{now()}{_GONE}").touch()

    @asynccontextmanager
    async def _alone(self, path: str) -> AsyncIterator[None]:
        descriptor = os.open(self._locks / quote(path, safe=""), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                # Polled, and not in a thread: the store needs those to get on with what this waits for.
                with suppress(BlockingIOError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                await asyncio.sleep(0.002)
            yield
        finally:
            os.close(descriptor)

    def _keep(self, path: str) -> None:
        standing = self._root / path
        with translated(path, writing=True), suppress(FileNotFoundError, FileExistsError):
            os.link(standing, self._history / f"{quote(path, safe='')}@{_generation(standing)}")


def versions(root: Path, history: Path) -> list[Version]:
    """The whole history of every object, oldest first; what has gone unseen is told as gone at the end."""
    found: list[Version] = []
    for file in history.iterdir():
        name, _, _ = file.name.rpartition("@")
        path = unquote(name)
        if file.name.endswith(_GONE):
            at = int(file.name.rpartition("@")[2].removesuffix(_GONE))
            found.append(Version(at=at, path=path, stored=None))
        else:
            found.append(_version(path, file))
    standing = {
        str(file.relative_to(root)): file for top in _KEPT for file in sorted((root / top).rglob("*")) if file.is_file()
    }
    found += [_version(path, file) for path, file in standing.items()]
    end = now()
    found += [Version(at=end, path=path, stored=None) for path in {v.path for v in found} - standing.keys()]
    # A write that failed, or died, leaves in the history what still stands.
    return sorted({(v.path, v.at): v for v in found}.values(), key=lambda version: version.at)


def _version(path: str, file: Path) -> Version:
    generation = _generation(file)
    # Nothing is asked of pictures but that they are there.
    data = b"" if path.endswith(".png") else file.read_bytes()
    updated_at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=generation)
    return Version(at=generation, path=path, stored=Stored(data=data, generation=generation, updated_at=updated_at))


def _generation(file: Path) -> int:
    return file.stat().st_mtime_ns // 1000
