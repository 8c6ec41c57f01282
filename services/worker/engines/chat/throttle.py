"""How many requests a server gets at a time: half as many after it refuses one as too many, then slowly more again."""

import asyncio
from types import TracebackType


class Throttle:
    """Limits the requests in flight. `async with` it around a request; its value is the request's number, from 1 on.

    The limit starts at `maximum` and stays between that and 1. Additive increase, multiplicative decrease (Chiu and
    Jain, 1989): the clients of one server converge to equal shares.
    """

    def __init__(self, maximum: int) -> None:
        self._maximum = maximum
        self._limit = float(maximum)
        self._in_flight = 0
        self._last_number = 0
        self._last_number_at_decrease = 0
        self._freed = asyncio.Event()

    @property
    def limit(self) -> int:
        """How many requests may be in flight now."""
        return int(self._limit)

    async def __aenter__(self) -> int:
        while self._in_flight >= self.limit:
            await self._freed.wait()
        self._in_flight += 1
        self._last_number += 1
        return self._last_number

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_flight -= 1
        self._freed.set()
        self._freed = asyncio.Event()

    def decrease(self, number: int) -> None:
        """Halve the limit: the server refused the request of this number.

        Refusals of requests that were in flight together count once: they say the same thing about the server.
        """
        if number > self._last_number_at_decrease:
            self._limit = max(1.0, self._limit / 2)
            self._last_number_at_decrease = self._last_number

    def increase(self) -> None:
        """A request succeeded. The limit grows by one for every `limit` of them."""
        self._limit = min(float(self._maximum), self._limit + 1 / self._limit)
