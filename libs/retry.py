"""Another attempt after a fault that may pass, with pauses that grow and differ, or as long as the server asks for."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from typing import TypeVar

import msgspec

Result = TypeVar("Result")

#: Seconds that a `Retry-After` header may ask for at most. Chosen: a server's mistake must not stop a queue for a day.
LONGEST_RETRY_AFTER = 3600.0


class RetryableFault(Exception):
    """One attempt failed, and another may succeed; the message says how. `wait`: the pause in seconds asked for."""

    def __init__(self, what: str, *, wait: float = 0.0) -> None:
        super().__init__(what)
        self.wait = wait


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long attempts are repeated, and how often."""

    #: Seconds from the beginning of the first attempt after which none begins.
    seconds: float
    #: Seconds of the first pause; each further pause is twice as long.
    first_pause: float
    #: Seconds of the longest pause.
    longest_pause: float


async def with_retries(
    attempt: Callable[[float], Awaitable[Result]],
    policy: RetryPolicy,
    *,
    now: Callable[[], float] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    jitter: Callable[[], float] = random.random,
) -> Result:
    """The result of `attempt`, which is called again after each `RetryableFault`; the last one is raised.

    `attempt` is given the moment after which no further attempt begins, on the clock `now` (the loop's by default).
    `jitter` gives numbers from 0 to 1: how much of the second half of each pause is waited.
    """
    now = now or asyncio.get_running_loop().time
    deadline = now() + policy.seconds
    pause = policy.first_pause
    while True:
        try:
            return await attempt(deadline)
        except RetryableFault as fault:
            # Random, so that callers that meet the same outage do not return together.
            wait = max(pause * (1 + jitter()) / 2, fault.wait)
            if now() + wait > deadline:
                raise
        await sleep(wait)
        pause = min(2 * pause, policy.longest_pause)


def retry_after_seconds(value: str, epoch: float) -> float | None:
    """Seconds that a `Retry-After` header asks for, `LONGEST_RETRY_AFTER` at most; None where it is malformed.

    It is a number of seconds or a date (RFC 9110, 10.2.3); `epoch` is the present moment, in seconds since 1970.
    """
    try:
        seconds = float(value) if value.strip().isdecimal() else parsedate_to_datetime(value).timestamp() - epoch
    except ValueError:
        return None
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER)
