"""A store in the memory of one process: the smallest complete implementation of the contract."""

import asyncio
import builtins
from bisect import bisect_left, insort
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.layout import check_folder, check_path, check_prefix
from libs.storage.store import OpenObject, Stat, Stored

#: Bytes that a reader gets at a time, as from the other stores.
CHUNK_BYTES = 1 << 20


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryStore:
    """For tests, simulations and demonstrations. Gone when the process ends.

    `clock` is the storage's own clock, so that a test can let a lease expire without waiting.
    """

    def __init__(self, clock: Callable[[], datetime] = _utc_now) -> None:
        self._clock = clock
        self._objects: dict[str, Stored] = {}
        # Sorted, so that a listing costs what it finds and not what the store holds.
        self._names: builtins.list[str] = []
        # One counter for all paths: an object that is deleted and made again never repeats a generation.
        self._generation = 0

    async def read(self, path: str) -> Stored:
        check_path(path)
        await _let_others_run()
        return self._current(path)

    @asynccontextmanager
    async def open_read(self, path: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[OpenObject]:
        check_path(path)
        await _let_others_run()
        stored = self._current(path)
        chunks = _sliced(stored.data[start:end])
        try:
            yield OpenObject(stat=_stat(path, stored), chunks=chunks)
        finally:
            await chunks.aclose()

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        check_path(path)
        await _let_others_run()
        content = data if isinstance(data, bytes) else b"".join([chunk async for chunk in data])
        self._check_generation(path, if_generation)
        self._generation += 1
        if path not in self._objects:
            insort(self._names, path)
        self._objects[path] = Stored(data=content, generation=self._generation, updated_at=self._clock())
        return self._generation

    async def delete(self, path: str, *, if_generation: int | None = None) -> None:
        check_path(path)
        await _let_others_run()
        self._current(path)
        self._check_generation(path, if_generation)
        del self._objects[path]
        del self._names[bisect_left(self._names, path)]

    async def stat(self, path: str) -> Stat:
        check_path(path)
        await _let_others_run()
        return _stat(path, self._current(path))

    async def list(self, prefix: str) -> AsyncIterator[Stat]:
        check_prefix(prefix)
        await _let_others_run()
        for path in self._paths(prefix):
            # The caller may delete objects during the listing.
            if (stored := self._objects.get(path)) is not None:
                yield _stat(path, stored)

    async def children(self, prefix: str) -> AsyncIterator[str]:
        check_folder(prefix)
        await _let_others_run()
        rests = (path.removeprefix(prefix) for path in self._paths(prefix))
        for name in dict.fromkeys(rest.partition("/")[0] for rest in rests if "/" in rest):
            yield name

    async def now(self) -> datetime:
        return self._clock()

    def _current(self, path: str) -> Stored:
        try:
            return self._objects[path]
        except KeyError:
            raise NotFound(path) from None

    def _check_generation(self, path: str, wanted: int | None) -> None:
        stored = self._objects.get(path)
        generation = stored.generation if stored else 0
        if wanted is not None and wanted != generation:
            raise PreconditionFailed(path, f"at generation {generation}, not {wanted}")

    def _paths(self, prefix: str) -> builtins.list[str]:
        # No name begins with the last of all code points, so it bounds those that begin with the prefix.
        return self._names[bisect_left(self._names, prefix) : bisect_left(self._names, f"{prefix}\U0010ffff")]


async def _let_others_run() -> None:
    """A store that never yields to the event loop would hide every race in its callers."""
    await asyncio.sleep(0)


async def _sliced(data: bytes) -> AsyncGenerator[bytes, None]:
    for offset in range(0, len(data), CHUNK_BYTES):
        yield data[offset : offset + CHUNK_BYTES]


def _stat(path: str, stored: Stored) -> Stat:
    return Stat(path=path, size=len(stored.data), generation=stored.generation, updated_at=stored.updated_at)
