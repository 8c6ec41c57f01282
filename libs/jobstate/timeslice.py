"""Time slices: a user may have many jobs, and none may keep another of that user waiting for long.

A job is worked on in small pieces, and its next task goes to the back of the queue after each. A call ends its slice
early when another job of the same user has requested one after the call's own task was due: that job's task is behind
it in the queue. Turns among users: `neighbours`.
"""

import asyncio
from datetime import datetime, timedelta

from libs.storage import layout
from libs.storage.session import SessionFiles

#: Seconds for which a listing of the user's active jobs is used. Chosen: a listing costs as much as a write.
ASK_SECONDS = 5.0
#: A request counts although it is older than the call's task by so much: a job requests its slice shortly before its
#: task is in the queue. Chosen: longer than an enqueue takes.
LATE = timedelta(seconds=3)
#: A task that waited for so many seconds shows that there are more tasks than workers. Chosen: longer than a dispatch
#: to an idle worker takes.
CROWDED_SECONDS = 5.0


class TimeSlice:
    """The time that one call may work on a job."""

    def __init__(self, files: SessionFiles, began: datetime, due_at: datetime | None) -> None:
        """It begins at `began`; the call's task was due in the queue at `due_at`. Both are of the storage's clock."""
        self._files = files
        self._due_at = due_at or began
        self._clock = asyncio.get_running_loop().time
        self._began = self._clock()
        self._asked: float | None = None
        self._newest: datetime | None = None
        #: For how many seconds the task was in the queue after it was due.
        self.waited = max(0.0, (began - self._due_at).total_seconds())
        #: The pages that were begun in this slice; the caller counts them.
        self.pages = 0
        #: Whether there are more tasks than workers.
        self.crowded = self.waited > CROWDED_SECONDS

    @property
    def seconds(self) -> float:
        """How long the slice has lasted."""
        return self._clock() - self._began

    async def is_shared(self) -> bool:
        """Whether any other job of the user is active."""
        return await self._look() is not None

    async def has_newcomer(self) -> bool:
        """Whether another job of the user has requested a slice since this task was due."""
        newest = await self._look()
        return newest is not None and newest > self._due_at - LATE

    async def _look(self) -> datetime | None:
        """When another job of the user last requested a slice, as listed at most `ASK_SECONDS` ago."""
        if self._asked is None or self._clock() >= self._asked + ASK_SECONDS:
            own, prefix = self._files.active_path, f"{layout.ACTIVE}{self._files.user_hash}/"
            others = [stat.updated_at async for stat in self._files.store.list(prefix) if stat.path != own]
            self._newest, self._asked = max(others, default=None), self._clock()
        return self._newest
