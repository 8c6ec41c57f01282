"""Writes under way in the background of extraction."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self

#: Writes under way at once at most. Chosen: each holds the image of a page in memory.
SAVES_AT_ONCE = 4


class Saves:
    """Writes under way while work goes on, so that a bucket's latency is not waited for.

    On leaving the context every write has ended; when the body fails, writes under way are cancelled.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self.done()
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def add(self, save: Coroutine[Any, Any, None]) -> None:
        """Start a write; return when no more than `SAVES_AT_ONCE` are under way. Raises what an earlier one raised."""
        self._tasks.add(asyncio.create_task(save))
        while len(self._tasks) > SAVES_AT_ONCE:
            await self._some()

    async def done(self) -> None:
        """Return when no write is under way. Raises what a write raised."""
        while self._tasks:
            await self._some()

    async def _some(self) -> None:
        ended, self._tasks = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
