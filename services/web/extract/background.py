"""What runs in the background of a piece of work and ends with it: writes, a lease's renewal, a late report."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

import structlog

from libs.jobstate.lease import HeldLease, LeaseLost
from libs.storage.errors import StorageError

log = structlog.get_logger()

#: Writes under way at once at most. Chosen: each holds the image of a page in memory.
SAVES_AT_ONCE = 4
# What takes longer is shown as a step of its own.
SAID_SECONDS = 1.0


@contextlib.asynccontextmanager
async def said_if_long(say: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Call `say` when the body takes long. What is over in a moment need not be said, and on a bucket it would cost a
    second: the next write to the same object has to wait for it."""
    over = asyncio.Event()

    async def later() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), SAID_SECONDS)
        if not over.is_set():
            await say()

    task = asyncio.create_task(later())
    try:
        yield
    finally:
        over.set()
        await task


@contextlib.asynccontextmanager
async def renewed(lease: HeldLease) -> AsyncIterator[None]:
    """Keep the lease while the body runs: the renderer's own time-outs see to it that it gets on."""

    done = asyncio.Event()

    async def renew() -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), lease.lease.seconds / 4)
            if done.is_set():
                return
            try:
                await lease.renew()
            except LeaseLost:
                return  # the next write of the holder will tell it
            except StorageError as error:
                log.warning("lease_renewal_failed", error=type(error).__name__)

    task = asyncio.create_task(renew())
    try:
        yield
    finally:
        done.set()
        await task


class Saves:
    """Writes under way while work goes on, so that a bucket's latency is not waited for.

    On leaving the context every write has ended; when the body fails, writes under way are cancelled.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.done()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def add(self, save: Coroutine[Any, Any, None]) -> None:
        """Start a write; return when no more than `SAVES_AT_ONCE` are under way. Raises what an earlier one raised."""
        self._tasks.add(asyncio.create_task(save))
        while len(self._tasks) > SAVES_AT_ONCE:
            await self._some()

    async def done(self) -> None:
        """Return when no write is under way. Raises what a write raised."""
        while self._tasks:
            await self._some()

    async def _some(self) -> None:
        ended, self._tasks = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
