"""Room for a number of pages at once."""

import asyncio


class Seat:
    """One page's place. Leaving it twice is leaving it once."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free: asyncio.Semaphore | None = free

    def leave(self) -> None:
        """Make room for another page."""
        free, self._free = self._free, None
        if free is not None:
            free.release()


class Seats:
    """So many places, given in the order in which they were asked for."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def take(self) -> Seat:
        """A place, once there is one."""
        await self._free.acquire()
        return Seat(self._free)
