"""What is done beside a piece of work, as long as it lasts."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import structlog

from libs.jobstate.lease import HeldLease, LeaseLost
from libs.storage.errors import StorageError

log = structlog.get_logger()

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
