"""Readers that run together, and readers that run alone: a page under suspicion shares the process with no other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Quarantine:
    """A shared and an exclusive lock in one. A waiting solo reader blocks new readers, so that it cannot starve.

    A death of the process is blamed on the page that the lease names. Without this, where calls for several jobs read
    in one process, the blame could fall on a page that was only read at the same time as the one that kills.
    """

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._together = 0
        self._waiting = 0
        self._alone = False

    @property
    def is_closed(self) -> bool:
        """Whether a solo reader reads or waits: what is claimed now would wait, and come under suspicion itself."""
        return self._alone or self._waiting > 0

    @asynccontextmanager
    async def together(self) -> AsyncIterator[None]:
        """Read beside others, once no solo reader reads or waits."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._alone and not self._waiting)
            self._together += 1
        try:
            yield
        finally:
            self._together -= 1
            await self._notify()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Read with no other reader in the process."""
        self._waiting += 1
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: not self._alone and not self._together)
                self._alone = True
        finally:
            self._waiting -= 1
            await self._notify()
        try:
            yield
        finally:
            self._alone = False
            await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()
