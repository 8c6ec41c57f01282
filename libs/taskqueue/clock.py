"""The time that a queue goes by, so that a test can turn it forward."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Moments are seconds on a clock that never goes back."""

    def now(self) -> float:
        """The present moment."""
        ...

    def epoch(self) -> float:
        """The same as seconds since 1970."""
        ...

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        """Return when `event` is set or the moment `until` has come. None: only the event ends it."""
        ...


class SystemClock:
    """The clock of the machine."""

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
