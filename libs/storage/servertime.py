"""The storage's clock, derived from the times of its answers."""

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

#: Seconds for which an answer's time is used. Chosen: see `ServerTime`.
FRESH_SECONDS = 60.0

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ServerTime:
    """A lower bound of a distant clock: never ahead of it, at most about a second behind.

    An answer with the time D was sent at D or later, so at any moment after its arrival the distant clock shows at
    least D plus the time elapsed since. `now` is the highest of these bounds. It lags by the rounding of the times (a
    second in HTTP) and by the latency of the best answer. Both only make a lease last longer; a clock that is ahead
    would take a lease from a holder that still has it. Bounds older than `FRESH_SECONDS` are dropped, so that a local
    oscillator that runs fast (by some 100 millionths) gains a few milliseconds at most; a machine that was suspended
    lags until its next answer.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()  # answers arrive in many threads
        self._ahead = 0.0  # seconds from the local clock to the distant one
        self._heard_at: float | None = None
        self._latest = _EPOCH  # what `now` has returned

    def hear(self, stamp: datetime) -> None:
        """Note the distant clock's time in an answer that has just arrived."""
        with self._lock:
            now = self._monotonic()
            ahead = (stamp - _EPOCH).total_seconds() - now
            if not self._is_fresh(now) or ahead >= self._ahead:
                self._ahead = ahead
                self._heard_at = now

    def now(self) -> datetime | None:
        """The distant time, which never goes back; `None` without a recent answer: then make a request."""
        with self._lock:
            now = self._monotonic()
            if not self._is_fresh(now):
                return None
            self._latest = max(self._latest, datetime.fromtimestamp(now + self._ahead, UTC))
            return self._latest

    def _is_fresh(self, now: float) -> bool:
        return self._heard_at is not None and now - self._heard_at < FRESH_SECONDS
