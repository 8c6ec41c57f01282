"""Renewal of a held lease: by the holder's own progress, or as long as a piece of work lasts."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import structlog

from libs.jobstate.lease import HeldLease, LeaseLost
from libs.storage.errors import StorageError

log = structlog.get_logger()

#: A lease is renewed this often within the time for which it lasts. Chosen: two renewals may fail before it expires.
RENEWALS = 4


class Renewal:
    """Renews a lease whenever its holder can show progress and a renewal is due."""

    def __init__(self, held: HeldLease) -> None:
        """The lease counts as written now."""
        self._held = held
        self._clock = asyncio.get_running_loop().time
        self._renewed_at = self._clock()

    async def renew_if_due(self, in_hand: Iterable[int] = ()) -> bool:
        """Renew the lease, naming the pages being read, if the last renewal is long enough ago; whether it did.

        Raises `LeaseLost`, `StorageError`.
        """
        now = self._clock()
        if now - self._renewed_at <= _pause(self._held):
            return False
        await self._held.renew(in_hand)
        self._renewed_at = now
        return True


@asynccontextmanager
async def renewed(held: HeldLease) -> AsyncIterator[None]:
    """Renew the lease while the body runs: for work whose own time-outs guarantee that it gets on."""
    done = asyncio.Event()

    async def renew() -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), _pause(held))
            if done.is_set():
                return
            try:
                await held.renew()
            except LeaseLost:
                return  # the holder notices at its next write
            except StorageError as error:
                log.warning("lease_renewal_failed", error=type(error).__name__)

    task = asyncio.create_task(renew())
    try:
        yield
    finally:
        done.set()
        await task


def _pause(held: HeldLease) -> float:
    """Seconds between two renewals."""
    return held.lease.seconds / RENEWALS
