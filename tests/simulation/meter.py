"""A bucket in fair weather that counts what it is asked: what a job costs in calls, bytes and dollars."""

import asyncio
import math
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar

from libs.storage import layout
from libs.storage.errors import StorageError
from libs.storage.store import OpenObject, Stat, Stored
from tests.simulation.process import Process
from tests.simulation.store import Bucket, drive

T = TypeVar("T")

# What Cloud Storage takes for a thousand calls (standard class, one region); a deletion is free.
DOLLARS = {"write": 0.005, "list": 0.005, "read": 0.0004, "stat": 0.0004, "delete": 0.0}
LISTED = 1000  # objects in one answer to a listing
LATENCY = (0.03, 0.06)  # seconds a call, there and back
BYTES_A_SECOND = 100e6
_KINDS = {
    layout.RECORD: "record",
    layout.BATCHES: "leases",
    ".png": "images",
    "_result.json": "outcomes",
    "_result.txt": "texts",
}


class Tally:
    """Calls by kind and kind of object, refused ones (404, 412, 429) too; bytes written of the jobs' records."""

    def __init__(self) -> None:
        self.calls: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self.record_writes = 0
        self.record_bytes = 0

    def count(self, kind: str) -> int:
        """How many calls of this kind there were."""
        return sum(count for (of_kind, _), count in self.calls.items() if of_kind == kind)

    @property
    def dollars(self) -> float:
        """The price of all calls."""
        return sum(count * DOLLARS[kind] for (kind, _), count in self.calls.items()) / 1000


class MeteredStore:
    """An `ObjectStore`: a machine's way to the bucket. `now` is free: a real client knows it from its last answer."""

    def __init__(self, bucket: Bucket, process: Process, tally: Tally, rng: random.Random) -> None:
        self._bucket = bucket
        self._process = process
        self._tally = tally
        self._rng = rng

    async def read(self, path: str) -> Stored:
        stored = await self._ask("read", path, lambda: drive(self._bucket.objects.read(path)))
        await asyncio.sleep(len(stored.data) / BYTES_A_SECOND)
        return stored

    @asynccontextmanager
    async def open_read(self, path: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[OpenObject]:
        stored = await self.read(path)
        stat = Stat(path=path, size=len(stored.data), generation=stored.generation, updated_at=stored.updated_at)
        yield OpenObject(stat=stat, chunks=_chunk(stored.data[start:end]))

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        content = data if isinstance(data, bytes) else b"".join([chunk async for chunk in data])
        await asyncio.sleep(len(content) / BYTES_A_SECOND)
        generation = await self._ask(
            "write", path, lambda: self._bucket.write(self._process, path, content, if_generation)
        )
        if path.endswith(layout.RECORD):
            self._tally.record_writes += 1
            self._tally.record_bytes += len(content)
        return generation

    async def delete(self, path: str, *, if_generation: int | None = None) -> None:
        await self._ask("delete", path, lambda: self._bucket.delete(self._process, path, if_generation))

    async def stat(self, path: str) -> Stat:
        return await self._ask("stat", path, lambda: drive(self._bucket.objects.stat(path)))

    async def list(self, prefix: str) -> AsyncIterator[Stat]:
        found = await self._ask("list", prefix, lambda: self._bucket.list(prefix))
        for _ in range(1, math.ceil(len(found) / LISTED)):
            await self._ask("list", prefix, lambda: None)
        for stat in found:
            yield stat

    async def children(self, prefix: str) -> AsyncIterator[str]:
        for name in await self._ask("list", prefix, lambda: self._bucket.children(prefix)):
            yield name

    async def now(self) -> datetime:
        return drive(self._bucket.objects.now())

    async def _ask(self, kind: str, path: str, serve: Callable[[], T]) -> T:
        call = kind, _kind_of(path)
        self._tally.calls[call] += 1
        there = self._rng.uniform(*LATENCY) / 2
        await asyncio.sleep(there)
        try:
            return serve()
        except StorageError:
            self._tally.refused[call] += 1
            raise
        finally:
            await asyncio.sleep(there)


def _kind_of(path: str) -> str:
    if path.startswith(layout.ACTIVE):
        return "active"
    for mark, kind in _KINDS.items():
        if mark in path:
            return kind
    return "other"


async def _chunk(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data
