"""The rate limit of a queue: a token bucket that slows down for an overloaded target."""

import msgspec

# The lowest share of a queue's rate while its target is overloaded. Chosen: the queue still notices the recovery.
_LOWEST_SHARE = 1 / 64
# Moments are floats: a token is complete if it lacks less than this.
_ROUNDING = 1e-6


class TokenBucket(msgspec.Struct, frozen=True, kw_only=True):
    """A dispatch takes one token. Tokens come back with time."""

    #: Tokens that come back in a second, at a full share.
    rate: float
    #: The most tokens at any moment.
    burst: int
    #: The tokens at the moment `at`.
    tokens: float
    at: float
    #: The share of the rate that the target can take, up to 1.
    share: float = 1.0

    def ready_at(self, now: float) -> float:
        """The earliest moment, `now` or later, at which a token can be taken."""
        missing = 1 - self._level(now)
        return now if missing <= _ROUNDING else now + missing / (self.rate * self.share)

    def take(self, now: float) -> "TokenBucket":
        """The bucket without one token. Only at a moment at which it is ready."""
        return msgspec.structs.replace(self, tokens=max(0.0, self._level(now) - 1), at=now)

    def slowed(self, now: float) -> "TokenBucket":
        """Half the rate and no burst, for a target that has answered that it is overloaded."""
        return msgspec.structs.replace(self, tokens=0.0, at=now, share=max(_LOWEST_SHARE, self.share / 2))

    def recovered(self, now: float) -> "TokenBucket":
        """Twice the rate, up to the full one, for a target that has taken a task."""
        return msgspec.structs.replace(self, tokens=self._level(now), at=now, share=min(1.0, self.share * 2))

    def _level(self, now: float) -> float:
        return min(float(self.burst), self.tokens + (now - self.at) * self.rate * self.share)


def full_bucket(*, rate: float, burst: int, now: float) -> TokenBucket:
    """The bucket of an idle queue."""
    return TokenBucket(rate=rate, burst=burst, tokens=float(burst), at=now)
