"""The clock of a queue, which a test replaces by one of its own."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Moments are seconds on a clock that never goes back."""

    def now(self) -> float:
        """The present moment."""
        ...

    def epoch(self) -> float:
        """The present moment in seconds since 1970."""
        ...

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """Return when `event` is set or at the moment `until`. None: only the event ends the wait."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        return time.monotonic()

    def epoch(self) -> float:
        return time.time()

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        try:
            async with asyncio.timeout(None if until is None else max(0.0, until - self.now())):
                await event.wait()
        except TimeoutError:
            return
