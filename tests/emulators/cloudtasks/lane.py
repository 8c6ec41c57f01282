"""One queue: what waits, what is in flight, and the loop that moves tasks from one to the other."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec
from google.cloud import tasks_v2

from libs.taskqueue.clock import Clock
from libs.taskqueue.dedup import EndedNames
from libs.taskqueue.queue_settings import QueueSettings
from libs.taskqueue.ratelimit import TokenBucket, full_bucket
from tests.emulators.cloudtasks.entry import Answer, Entry
from tests.emulators.cloudtasks.faults import Faults
from tests.emulators.cloudtasks.push import Pusher

_SLOW_DOWN = frozenset({429, 503})


class Lane:
    """Delivers from its making until `stop`."""

    def __init__(self, id: str, settings: QueueSettings, *, pusher: Pusher, clock: Clock, faults: Faults) -> None:
        self.id = id
        self.settings = settings
        self.paused = False
        self.purged: float | None = None
        self.entries: dict[str, Entry] = {}
        self._pusher = pusher
        self._clock = clock
        self._faults = faults
        self._ended = EndedNames()
        self._order = 0
        self._bucket = self._full_bucket()
        self._held_until = clock.now()
        self._changed = asyncio.Event()
        self._attempts: set[asyncio.Task[None]] = set()
        self._doubles: set[asyncio.Task[None]] = set()
        self._loop = asyncio.create_task(self._deliver(), name=f"queue {id}")

    async def stop(self) -> None:
        """Deliver nothing more; calls under way are not listened to."""
        tasks = [self._loop, *self._attempts, *self._doubles]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def has_name(self, id: str) -> bool:
        """Whether the name is taken: by a task that lives, or by one that ended within the hour."""
        return id in self.entries or self._ended.has(id, self._clock.now())

    def add(self, id: str, task: tasks_v2.Task, due: float) -> Entry:
        """Take a task, whose name must be free."""
        self._order += 1
        now = self._clock.now()
        due = max(now, due) + self._faults.lateness()
        entry = Entry(id=id, task=task, order=self._order, created=now, due=due)
        self._put(entry)
        return entry

    def end(self, id: str) -> None:
        """The task is no more: done, given up, deleted or purged."""
        del self.entries[id]
        self._ended.add(id, self._clock.now())
        self._changed.set()

    def run(self, id: str) -> Entry:
        """Dispatch the task now, whatever the limits say, and even beside a running attempt."""
        self._put(msgspec.structs.replace(self.entries[id], due=self._clock.now()))
        self._begin(id)
        return self.entries[id]

    def change(self, *, settings: QueueSettings | None = None, paused: bool | None = None) -> None:
        """New limits, or a pause or its end."""
        if settings is not None:
            self.settings = settings
            self._bucket = self._full_bucket()
        if paused is not None:
            self.paused = paused
        self._changed.set()

    def purge(self) -> None:
        """Drop every task."""
        self.purged = self._clock.now()
        for id in list(self.entries):
            self.end(id)

    def in_flight(self) -> int:
        """Attempts whose answer is awaited."""
        return len(self._attempts)

    def _full_bucket(self) -> TokenBucket:
        limits = self.settings
        return full_bucket(rate=limits.max_dispatches_per_second, burst=limits.max_burst_size, now=self._clock.now())

    def _put(self, entry: Entry) -> None:
        self.entries[entry.id] = entry
        self._changed.set()

    async def _deliver(self) -> None:
        while True:
            self._changed.clear()
            now = self._clock.now()
            entry = self._first()
            if entry is None:
                await self._clock.wait(self._changed, None)
                continue
            moment = max(entry.due, self._held_until, self._bucket.ready_at(now))
            if moment > now:
                await self._clock.wait(self._changed, moment)
                continue
            self._bucket = self._bucket.take(now)
            self._begin(entry.id)

    def _first(self) -> Entry | None:
        """The task that is due first, or None while only a change can bring a dispatch."""
        if self.paused or len(self._attempts) >= self.settings.max_concurrent_dispatches:
            return None
        waiting = (entry for entry in self.entries.values() if not entry.listening)
        return min(waiting, key=lambda entry: (entry.due, entry.order), default=None)

    def _begin(self, id: str) -> None:
        entry = self.entries[id]
        self._put(entry.dispatched(self._clock.now()))
        self._follow(self._attempt(entry), self._attempts)
        if self._faults.is_doubled():
            self._follow(self._double(entry), self._doubles)

    def _follow(self, work: Coroutine[Any, Any, None], among: set[asyncio.Task[None]]) -> None:
        task = asyncio.create_task(work)
        among.add(task)

        def free(task: asyncio.Task[None]) -> None:
            among.discard(task)
            self._changed.set()

        task.add_done_callback(free)

    async def _double(self, entry: Entry) -> None:
        """At least once may mean twice; nobody looks at the second answer."""
        await self._clock.wait(asyncio.Event(), self._clock.now() + self._faults.lateness())
        await self._pusher.push(self.id, entry)

    async def _attempt(self, entry: Entry) -> None:
        answer = await self._pusher.push(self.id, entry)
        now = self._clock.now()
        if answer.is_success and self._faults.is_unheard():
            answer = Answer(status=None, reason="the answer was lost")
        if answer.is_success:
            self._bucket = self._bucket.recovered(now)
        elif answer.status in _SLOW_DOWN:
            self._bucket = self._bucket.slowed(now)
            self._held_until = max(self._held_until, now + (answer.retry_after or 0.0))
        current = self.entries.get(entry.id)
        if current is None:
            return  # deleted or purged meanwhile, or done by an attempt beside this one
        if answer.is_success:
            self.end(entry.id)
            return
        self._again(current.failed(answer, now), answer, now)

    def _again(self, entry: Entry, answer: Answer, now: float) -> None:
        age = now - (entry.first_attempt if entry.first_attempt is not None else now)
        if self.settings.is_exhausted(attempts=entry.retries, age_seconds=age):
            self.end(entry.id)  # no dead letters, no word to anybody
            return
        wait = max(self.settings.backoff_seconds(entry.retries), answer.retry_after or 0.0)
        self._put(msgspec.structs.replace(entry, due=now + wait + self._faults.lateness()))
