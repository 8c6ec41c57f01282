"""The rate limit of a queue, as a token bucket that can be slowed down."""

import msgspec

# A queue that is refused goes on at a 64th of its rate at the least, so that it notices the recovery.
_LOWEST_SHARE = 1 / 64
# Moments are floats: a token that lacks less than this is there.
_ROUNDING = 1e-6


class TokenBucket(msgspec.Struct, frozen=True, kw_only=True):
    """`tokens` at the moment `at`. A dispatch takes one; `rate * share` a second come back, up to `burst`."""

    rate: float
    burst: int
    tokens: float
    at: float
    share: float = 1.0

    def ready_at(self, now: float) -> float:
        """The earliest moment, `now` or later, at which a token can be taken."""
        missing = 1 - self._level(now)
        return now if missing <= _ROUNDING else now + missing / (self.rate * self.share)

    def take(self, now: float) -> "TokenBucket":
        """One token less. Only for a `now` at which the bucket is ready."""
        return msgspec.structs.replace(self, tokens=max(0.0, self._level(now) - 1), at=now)

    def slowed(self, now: float) -> "TokenBucket":
        """Half the rate and no burst: the target said that it is overloaded."""
        return msgspec.structs.replace(self, tokens=0.0, at=now, share=max(_LOWEST_SHARE, self.share / 2))

    def recovered(self, now: float) -> "TokenBucket":
        """One step back towards the full rate: the target took a task."""
        return msgspec.structs.replace(self, tokens=self._level(now), at=now, share=min(1.0, self.share * 2))

    def _level(self, now: float) -> float:
        return min(float(self.burst), self.tokens + (now - self.at) * self.rate * self.share)


def full_bucket(*, rate: float, burst: int, now: float) -> TokenBucket:
    """A bucket of a queue that has been idle."""
    return TokenBucket(rate=rate, burst=burst, tokens=float(burst), at=now)
