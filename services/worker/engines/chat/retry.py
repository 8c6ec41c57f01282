"""Retries of requests to a server, and which error remains when they do not help."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from libs.retry import RetryableFault, RetryPolicy, with_retries
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


class RequestFault(RetryableFault):
    """One request failed; the message is the rest of a sentence "The server ...".

    `away`: the page cannot have caused it: the server is busy or cannot be reached.
    """

    def __init__(self, what: str, *, away: bool, wait: float = 0.0) -> None:
        super().__init__(what, wait=wait)
        self.away = away


async def request_with_retries(request: Callable[[float], Awaitable[T]], *, seconds: float) -> T:
    """The result of `request`, which is called again after each `RequestFault` while `seconds` last.

    `request` is given the deadline, by the loop's clock. Raises `EngineUnavailable` where every fault was `away`, else
    `ServerFault`, after `ATTEMPTS` wrong answers or at the deadline: a server that goes away after a wrong answer may
    have crashed on the page.
    """
    wrong = 0

    async def attempt(deadline: float) -> T:
        nonlocal wrong
        try:
            return await request(deadline)
        except RequestFault as fault:
            wrong += not fault.away
            if wrong >= ATTEMPTS:
                raise ServerFault(f"The server {fault}.") from fault
            raise

    try:
        return await with_retries(
            attempt, RetryPolicy(seconds=seconds, first_pause=BACKOFF_FROM, longest_pause=BACKOFF_TO)
        )
    except RequestFault as fault:
        if wrong:
            raise ServerFault(f"The server {fault}.") from fault
        advice = "Check OPENAI_BASE_URL and the server's own log; too many pages at once: OPENAI_CONCURRENCY."
        raise EngineUnavailable(f"The server {fault}. {advice}") from fault
