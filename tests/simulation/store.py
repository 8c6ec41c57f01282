"""A bucket across a bad network: the memory store's semantics, behind requests and answers that get lost."""

import asyncio
import builtins
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from libs.storage.errors import NotFound, PreconditionFailed, TooFast, Unavailable
from libs.storage.memory import MemoryStore
from libs.storage.store import OpenObject, Stat, Stored
from tests.simulation.fault_rates import Weather
from tests.simulation.process import Process

T = TypeVar("T")

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
# A process, the path, what was there, what is there now.
Observer = Callable[[Process, str, Stored | None, Stored | None], None]


class Bucket:
    """The far side: atomic, single, with the one clock that counts. `paced` is Cloud Storage's write a second."""

    def __init__(self, clock: Callable[[], float], *, paced: bool, observer: Observer) -> None:
        self.objects = MemoryStore(lambda: EPOCH + timedelta(seconds=clock()))
        self.paced = paced
        self._observer = observer

    def peek(self, path: str) -> Stored | None:
        """The object as it stands, for the checker and the rate limit."""
        try:
            return drive(self.objects.read(path))
        except NotFound:
            return None

    def write(self, process: Process, path: str, data: bytes, if_generation: int | None) -> int:
        before = self.peek(path)
        if if_generation is not None and if_generation != (before.generation if before else 0):
            raise PreconditionFailed(path, "simulated")
        now = drive(self.objects.now())
        if self.paced and before is not None and now - before.updated_at < timedelta(seconds=1):
            raise TooFast(path)
        generation = drive(self.objects.write(path, data, if_generation=if_generation))
        self._observer(process, path, before, self.peek(path))
        return generation

    def delete(self, process: Process, path: str, if_generation: int | None) -> None:
        before = self.peek(path)
        drive(self.objects.delete(path, if_generation=if_generation))
        self._observer(process, path, before, None)

    def tear(self, path: str, *, whole: bool) -> None:
        """Lose the object, or half of it, as no store should."""
        stored = self.peek(path)
        assert stored is not None
        if whole:
            drive(self.objects.delete(path))
        else:
            drive(self.objects.write(path, stored.data[: len(stored.data) // 2]))

    def list(self, prefix: str) -> list[Stat]:
        return drive(_all(self.objects.list(prefix)))

    def children(self, prefix: str) -> builtins.list[str]:
        return drive(_all(self.objects.children(prefix)))


class Client:
    """An `ObjectStore`: one process's way to the bucket.

    A request that has left is on its way whatever becomes of its sender, as on a real network: a cancelled write
    may still be done, after its process has died.
    """

    def __init__(
        self,
        bucket: Bucket,
        process: Process,
        weather: Weather,
        rng: random.Random,
        *,
        faulted: Callable[[], None],
        slowed: Callable[[], None],
    ) -> None:
        self._bucket = bucket
        self._faulted = faulted
        self._slowed = slowed
        self._process = process
        self._weather = weather
        self._rng = rng

    async def read(self, path: str) -> Stored:
        return await self._ask(path, lambda: drive(self._bucket.objects.read(path)))

    @asynccontextmanager
    async def open_read(self, path: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[OpenObject]:
        stored = await self.read(path)
        stat = Stat(path=path, size=len(stored.data), generation=stored.generation, updated_at=stored.updated_at)
        yield OpenObject(stat=stat, chunks=_chunk(stored.data[start:end]))

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        content = data if isinstance(data, bytes) else b"".join([chunk async for chunk in data])
        return await self._ask(
            path,
            lambda: self._bucket.write(self._process, path, content, if_generation),
            retried=if_generation is not None,
            writes=True,
        )

    async def delete(self, path: str, *, if_generation: int | None = None) -> None:
        await self._ask(path, lambda: self._bucket.delete(self._process, path, if_generation), writes=True)

    async def stat(self, path: str) -> Stat:
        def stat() -> Stat:
            return drive(self._bucket.objects.stat(path))

        return await self._ask(path, stat)

    async def list(self, prefix: str) -> AsyncIterator[Stat]:
        for stat in await self._ask(prefix, lambda: self._bucket.list(prefix)):
            yield stat

    async def children(self, prefix: str) -> AsyncIterator[str]:
        for name in await self._ask(prefix, lambda: self._bucket.children(prefix)):
            yield name

    async def now(self) -> datetime:
        return await self._ask("now", lambda: drive(self._bucket.objects.now()))

    async def _ask(self, path: str, serve: Callable[[], T], *, retried: bool = False, writes: bool = False) -> T:
        await self._process.thaw()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()

        def chance(probability: float) -> bool:
            return self._weather.chance(self._rng, probability, loop.time())

        def delay() -> float:
            if not chance(self._weather.slow):
                return self._rng.uniform(0.001, 0.03)
            self._slowed()
            return self._rng.uniform(1, 8)

        def reply(result: T | None, error: Exception | None) -> None:
            if answer.done():
                return
            if error is not None:
                answer.set_exception(error)
            else:
                answer.set_result(cast(T, result))

        lost = writes and chance(self._weather.answer_lost)
        again = writes and retried and chance(self._weather.retried)

        def arrive() -> None:
            result: T | None = None
            error: Exception | None = None
            try:
                result = serve()
                if again:
                    error = PreconditionFailed(path, "tried again after a lost answer")
                elif lost:
                    self._faulted()
                    error = Unavailable(path, "answer lost")
            except Exception as fault:
                error = fault
            loop.call_later(delay(), reply, result, error)

        if chance(self._weather.refused):
            self._faulted()
            loop.call_later(delay(), reply, None, Unavailable(path, "refused"))
        else:
            loop.call_later(delay(), arrive)
        try:
            return await answer
        finally:
            if self._process.alive:
                await self._process.thaw()


def drive(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine of the memory store to its end at once: it only ever yields its turn."""
    try:
        while True:
            work.send(None)
    except StopIteration as stop:
        return cast(T, stop.value)


async def _all(items: AsyncIterator[T]) -> list[T]:
    return [item async for item in items]


async def _chunk(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data
