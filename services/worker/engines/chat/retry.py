"""Retries of requests to a server, and which error remains when they do not help."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.worker.engines.engine import EngineUnavailable

T = TypeVar("T")

#: Requests for one page that the server may answer wrongly. Chosen: a passing fault rarely strikes four times, and each
#: costs the server a page's work.
ATTEMPTS = 4
#: Seconds between two requests: the first pause, doubled after each, and the longest. Chosen: far below the time that a
#: server takes for a page, and long enough for one that restarts.
BACKOFF_FROM, BACKOFF_TO = 0.5, 15.0


class ServerFault(Exception):
    """The server answered wrongly to every request for a page; the message says how."""


class RetryableFault(Exception):
    """One request failed, and another may succeed; the message is the rest of a sentence "The server ...".

    `away`: the page cannot have caused it: the server is busy or cannot be reached. `wait` is the pause in seconds
    that the server asks for.
    """

    def __init__(self, what: str, *, away: bool, wait: float = 0.0) -> None:
        super().__init__(what)
        self.away = away
        self.wait = wait


async def with_retries(request: Callable[[float], Awaitable[T]], *, seconds: float) -> T:
    """The result of `request`, which is called again after each `RetryableFault` while `seconds` last.

    `request` is given the deadline, by the loop's clock. Raises `EngineUnavailable` where every fault was `away`, else
    `ServerFault`, after `ATTEMPTS` wrong answers or at the deadline: a server that goes away after a wrong answer may
    have crashed on the page.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    wrong, backoff = 0, BACKOFF_FROM
    while True:
        try:
            return await request(deadline)
        except RetryableFault as fault:
            wrong += not fault.away
            # Random, so that requests that failed together do not return together.
            pause = max(backoff * random.uniform(0.5, 1), fault.wait)  # noqa: S311 - no secret
            backoff = min(BACKOFF_TO, 2 * backoff)
            if wrong < ATTEMPTS and clock() + pause < deadline:
                await asyncio.sleep(pause)
                continue
            if not wrong:
                advice = "Check OPENAI_BASE_URL and the server's own log; too many pages at once: OPENAI_CONCURRENCY."
                raise EngineUnavailable(f"The server {fault}. {advice}") from fault
            raise ServerFault(f"The server {fault}.") from fault
