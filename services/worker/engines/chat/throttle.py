"""How many requests a server takes at once: fewer when it says that it is too many, then slowly more again."""

import asyncio
from types import TracebackType


class Throttle:
    """`async with` it around a request; its value is the moment at which the request began.

    It begins at `most` and never lets fewer than one through. Additive increase, multiplicative decrease (Chiu and
    Jain, 1989): many clients of one server so find their shares.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._in_flight = 0
        self._began = 0
        self._halved = 0
        self._freed = asyncio.Event()

    @property
    def limit(self) -> int:
        """How many may be in flight now."""
        return int(self._limit)

    async def __aenter__(self) -> int:
        while self._in_flight >= self.limit:
            await self._freed.wait()
        self._in_flight += 1
        self._began += 1
        return self._began

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_flight -= 1
        self._freed.set()
        self._freed = asyncio.Event()

    def too_many(self, moment: int) -> None:
        """The request that began at this moment was refused. Those that were in flight together count once."""
        if moment > self._halved:
            self._limit = max(1.0, self._limit / 2)
            self._halved = self._began

    def went_well(self) -> None:
        """A request was answered: one more is allowed when as many have gone well as are allowed now."""
        self._limit = min(float(self._most), self._limit + 1 / self._limit)
