"""Turns: one worker serves many jobs, and no job may keep another waiting for long.

Everybody works in small pieces and goes to the back of the queue after each. A piece is cut short for whoever has come
meanwhile: their task is behind this one's, so everybody who is ahead of a newcomer makes room, and nobody else.
"""

import asyncio
from datetime import datetime, timedelta

from libs.storage import layout
from libs.storage.session import SessionFiles

# A listing costs as much as a write, so what it said holds for a while.
ASK_SECONDS = 5.0
# A job says that it asks for its turn shortly before its task is in the queue; another's may slip in between.
LATE = timedelta(seconds=3)
# A task that was due so long ago had to wait: there are more tasks than workers.
CROWDED_SECONDS = 5.0


class TimeSlice:
    """One call's turn, from `began` on (by the storage's clock); `due_at` is when its task was due in the queue.

    `pages` counts those that were begun in it, for whoever wants to know.
    """

    def __init__(self, files: SessionFiles, began: datetime, due_at: datetime | None) -> None:
        self._files = files
        self._due_at = due_at or began
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._asked: float | None = None
        self._newest: datetime | None = None
        self.waited = max(0.0, (began - self._due_at).total_seconds())
        self.pages = 0
        self.crowded = self.waited > CROWDED_SECONDS

    @property
    def seconds(self) -> float:
        """How long the turn has lasted."""
        return self._clock() - self._began

    async def is_shared(self) -> bool:
        """Whether any other job is active."""
        return await self._look() is not None

    async def has_newcomer(self) -> bool:
        """Whether another job has asked for its turn since this task was due."""
        newest = await self._look()
        return newest is not None and newest > self._due_at - LATE

    async def _look(self) -> datetime | None:
        """When another job last asked for its turn, as it was known at most `ASK_SECONDS` ago."""
        if self._asked is None or self._clock() >= self._asked + ASK_SECONDS:
            own = self._files.active_path
            others = [stat.updated_at async for stat in self._files.store.list(layout.ACTIVE) if stat.path != own]
            self._newest, self._asked = max(others, default=None), self._clock()
        return self._newest
