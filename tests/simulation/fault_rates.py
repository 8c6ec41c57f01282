"""How badly the world behaves under a seed, and until when."""

import random

import msgspec


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """Chances a call, and mean seconds between events (0: never). `until` is when it clears up."""

    until: float = 0.0
    refused: float = 0.0  # 503 before anything happened
    answer_lost: float = 0.0  # done, but the caller hears 503
    retried: float = 0.0  # done, the answer lost, tried again by the client library: 412 on its own write
    slow: float = 0.0  # an answer or a request that takes seconds
    dropped: float = 0.0  # a task that the queue loses
    doubled: float = 0.0  # a task delivered twice
    delayed: float = 0.0  # a task delivered late, behind others
    refuses_tasks: float = 0.0  # the queue does not take a task
    death_seconds: float = 0.0
    drain_seconds: float = 0.0
    tear_seconds: float = 0.0  # a record is lost or cut off
    freeze_seconds: float = 0.0  # a machine stands still for a while, and goes on as if nothing had been

    def chance(self, rng: random.Random, probability: float, now: float) -> bool:
        """Whether it happens now."""
        return probability > 0 and now < self.until and rng.random() < probability


def forecast(rng: random.Random) -> Weather:
    """Some seeds are fine, some have one kind of trouble, most have several."""
    if rng.random() < 0.1:
        return Weather()
    breadth = rng.choice((0.2, 0.5, 0.8))

    def some(*choices: float) -> float:
        return rng.choice(choices) if rng.random() < breadth else 0.0

    return Weather(
        until=rng.uniform(60, 400),
        refused=some(0.002, 0.02, 0.1),
        answer_lost=some(0.002, 0.02, 0.1),
        retried=some(0.01, 0.1, 0.3),
        slow=some(0.01, 0.05),
        dropped=some(0.05, 0.3),
        doubled=some(0.1, 0.5),
        delayed=some(0.1, 0.4),
        refuses_tasks=some(0.05, 0.2),
        death_seconds=some(15.0, 40.0, 120.0),
        drain_seconds=some(40.0, 120.0),
        freeze_seconds=some(10.0, 30.0, 90.0),
        tear_seconds=some(100.0) if rng.random() < 0.3 else 0.0,
    )
