"""The names of tasks that have ended, so that a late duplicate of one is dropped."""

from collections import OrderedDict


class EndedNames:
    """Remembers names for a while, and at most so many of them; the oldest are forgotten first."""

    def __init__(self, *, seconds: float = 3600.0, limit: int = 50_000) -> None:
        """Names are remembered for `seconds`, by default an hour, as Cloud Tasks does
        (https://cloud.google.com/tasks/docs/reference/rest/v2/projects.locations.queues.tasks/create).

        `limit` bounds the memory.
        """
        self._seconds = seconds
        self._limit = limit
        self._ended_at: OrderedDict[str, float] = OrderedDict()

    def add(self, name: str, now: float) -> None:
        """The task of this name has ended now."""
        self._ended_at[name] = now
        self._ended_at.move_to_end(name)
        if len(self._ended_at) > self._limit:
            self._ended_at.popitem(last=False)
        self._forget(now)

    def has(self, name: str, now: float) -> bool:
        """Whether the name is remembered."""
        self._forget(now)
        return name in self._ended_at

    def _forget(self, now: float) -> None:
        while self._ended_at and next(iter(self._ended_at.values())) <= now - self._seconds:
            self._ended_at.popitem(last=False)
