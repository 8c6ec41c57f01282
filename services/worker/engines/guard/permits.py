"""A limit on how many pages are in one place at a time: in memory, in the model, waiting for the fallback."""

import asyncio


class Permit:
    """One page's share of the limit. A second `release` does nothing."""

    def __init__(self, free: asyncio.Semaphore) -> None:
        self._free: asyncio.Semaphore | None = free

    def release(self) -> None:
        """Let another page in."""
        free, self._free = self._free, None
        if free is not None:
            free.release()


class Permits:
    """At most `count` permits are out at a time; they are granted in the order of the calls."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def acquire(self) -> Permit:
        """Wait for a free permit."""
        await self._free.acquire()
        return Permit(self._free)
