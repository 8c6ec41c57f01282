"""How long and how often a server is asked that does not answer as it should."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.worker.engines.engine import EngineUnavailable

T = TypeVar("T")

ATTEMPTS = 4
BACKOFF_FROM, BACKOFF_TO = 0.5, 15.0


class ServerFault(Exception):
    """The server did not answer a page as it should, several times. The message says how."""


class Again(Exception):
    """A request failed in a way that the next may not; the message is the rest of "The server ...".

    `away`: the page had nothing to do with it, the server was busy or not to be reached. `wait` is how long (in
    seconds) the server wishes to be left alone.
    """

    def __init__(self, what: str, *, away: bool, wait: float = 0.0) -> None:
        super().__init__(what)
        self.away = away
        self.wait = wait


async def persist(ask: Callable[[float], Awaitable[T]], *, seconds: float) -> T:
    """What `ask` returns, called again after each `Again` while there is time; it is given the moment when that ends.

    A server that was away all the time is `EngineUnavailable`. One that answered wrongly, which it may do less than
    `ATTEMPTS` times, is a `ServerFault`; that it went away afterwards may be the page's doing too.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    wrong, backoff = 0, BACKOFF_FROM
    while True:
        try:
            return await ask(deadline)
        except Again as again:
            wrong += not again.away
            # Without chance in it, all that failed together would come back together.
            pause = max(backoff * random.uniform(0.5, 1), again.wait)  # noqa: S311 - no secret
            backoff = min(BACKOFF_TO, 2 * backoff)
            if wrong < ATTEMPTS and clock() + pause < deadline:
                await asyncio.sleep(pause)
                continue
            if not wrong:
                advice = "Check OPENAI_BASE_URL and the server's own log; too many pages at once: OPENAI_CONCURRENCY."
                raise EngineUnavailable(f"The server {again}. {advice}") from again
            raise ServerFault(f"The server {again}.") from again
