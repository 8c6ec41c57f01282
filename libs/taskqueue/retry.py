"""Trying again for a while, with pauses that grow and differ."""

import asyncio
from collections.abc import Awaitable, Callable

from libs.taskqueue.clock import Clock

# Long enough for a restart of the other side; the sweep is there for what takes longer.
_PATIENCE_SECONDS = 10.0
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 2.0


async def persist(attempt: Callable[[], Awaitable[str]], *, clock: Clock, jitter: Callable[[], float]) -> str:
    """Call `attempt` until it returns no fault, for some 10 s. The last fault, or an empty string.

    `jitter` gives numbers from 0 to 1: how much of the second half of each pause is waited.
    """
    give_up = clock.now() + _PATIENCE_SECONDS
    pause = _FIRST_PAUSE_SECONDS
    while fault := await attempt():
        again = clock.now() + pause * (1 + jitter()) / 2
        if again > give_up:
            return fault
        # Many callers meet the same outage: the jitter keeps them from returning all at once.
        await clock.wait(asyncio.Event(), again)
        pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
    return ""
