"""Clocks that the test moves: the storage's, and that of the event loop."""

import asyncio
from datetime import UTC, datetime, timedelta


class StorageClock:
    """Given to a store in memory, which stamps its objects with it."""

    def __init__(self, now: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


def let_time_pass(seconds: float) -> None:
    """Put the clock of the running event loop forward: every timeout that ends within `seconds` ends now.

    A test that waits for a timeout gives it far more time than a busy machine needs to get there, and then calls this.
    """
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + seconds  # type: ignore[method-assign]
