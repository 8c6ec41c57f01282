"""The watch over the reading of one batch: its lease is renewed, a hanging engine is found, a drain ends it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from libs.jobstate.lease import HeldLease
from services.worker.call import Call, EngineHangs
from services.worker.engines.occupancy import Reservation

# Seconds that the pages in hand may take to end once the process drains. Cloud Run sends SIGKILL 10 s after SIGTERM
# (https://cloud.google.com/run/docs/container-contract); the rest is for releasing the leases.
DRAIN_SECONDS = 6.0
# Seconds between two looks. Chosen: small beside the shortest lease and `DRAIN_SECONDS`.
TICK_SECONDS = 0.5


class BatchWatch:
    """Knows which pages of the batch are being read, and when the engine last made progress with one of them."""

    def __init__(self, call: Call, lease: HeldLease, reservation: Reservation) -> None:
        self._call = call
        self._lease = lease
        #: Of the engine that reads now.
        self.reservation = reservation
        self._in_hand: dict[int, datetime] = {}
        self._falling_back = False
        # The loop's clock, so that a test can let hours pass at once.
        self._clock = asyncio.get_running_loop().time
        self._progress_at = self._clock()

    def begin(self, page_no: int, at: datetime) -> None:
        """The engine gets a page, at `at` by the storage's clock."""
        if not self._in_hand:
            self._progress_at = self._clock()
        self._in_hand[page_no] = at

    def alive(self) -> None:
        """The engine has made progress with a page that has not ended yet."""
        self._progress_at = self._clock()

    def end(self, page_no: int) -> None:
        """The page has its outcome."""
        self._in_hand.pop(page_no, None)
        self._progress_at = self._clock()

    def began_at(self, page_no: int) -> datetime | None:
        """When the engine got the page, by the storage's clock; `None` where it has not."""
        return self._in_hand.get(page_no)

    @contextmanager
    def falling_back(self) -> Iterator[None]:
        """The page in hand is read by the fallback engine, which has a time limit of its own and can be cancelled."""
        self._falling_back = True
        try:
            yield
        finally:
            self._falling_back = False

    def guilty(self) -> int | None:
        """The page on which the engine broke down, where no other page can have been the cause."""
        alone = next(iter(self._in_hand)) if len(self._in_hand) == 1 else None
        return alone if alone is not None and self.reservation.was_alone(alone) else None

    async def until_done(self, reading: "asyncio.Task[None]") -> None:
        """Return when `reading` is done, or earlier where it has to be cancelled. Raises what it raises, `EngineHangs`,
        and `LeaseLost` or `StorageError` of a renewal.
        """
        drain_until: float | None = None
        while not (await asyncio.wait({reading}, timeout=TICK_SECONDS))[0]:
            now = self._clock()
            if self._call.worker.draining.is_set():
                drain_until = drain_until or now + DRAIN_SECONDS
                if now > drain_until:
                    return
            if self._falling_back and self._call.is_over:
                return
            # A page that waits for other pages to leave the engine is not late.
            late = min(self.reservation.longest_seconds, now - self._progress_at)
            if late > self._call.worker.limits.page_seconds:
                raise EngineHangs
            if await self._lease.renew_if_due(self._in_hand) and self._falling_back:
                # Meanwhile no outcome is recorded, so nothing else would see that the job was cancelled.
                await self._call.recorder.refresh()
        await reading
