"""Clocks that the test moves: the storage's here, that of event loops by the fixture `let_time_pass`."""

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
