"""What goes wrong, by rate and by seed, or by script."""

import random

import grpc
import msgspec


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of one call: an error, before or after the call has done its work."""

    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE
    after: bool = False


class Faults:
    """Rates are probabilities from 0 to 1. With none set, nothing goes wrong and the order is first in, first out.

    `outages` are the answers of the next calls, before any rate is asked; None lets a call pass.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        unavailable: float = 0.0,
        answer_lost: float = 0.0,
        doubled: float = 0.0,
        unheard: float = 0.0,
        late_seconds: float = 0.0,
    ) -> None:
        """`doubled`: a delivery is made twice. `unheard`: an answer of 2xx is not noticed, so the task comes again.

        `late_seconds`: a delivery comes up to so much later than it might, so deliveries change places.
        """
        self.outages: list[Outage | None] = []
        self._rng = random.Random(seed)
        self._unavailable = unavailable
        self._answer_lost = answer_lost
        self._doubled = doubled
        self._unheard = unheard
        self._late_seconds = late_seconds

    def outage(self) -> Outage | None:
        """How the next call goes."""
        if self.outages:
            return self.outages.pop(0)
        if self._chance(self._unavailable):
            return Outage()
        return Outage(after=True) if self._chance(self._answer_lost) else None

    def is_doubled(self) -> bool:
        return self._chance(self._doubled)

    def is_unheard(self) -> bool:
        return self._chance(self._unheard)

    def lateness(self) -> float:
        """Seconds that a delivery comes late."""
        return self._rng.uniform(0, self._late_seconds) if self._late_seconds else 0.0

    def _chance(self, rate: float) -> bool:
        return rate > 0 and self._rng.random() < rate
