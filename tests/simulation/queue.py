"""Cloud Tasks as it may behave within its contract, and a little worse: it also loses tasks."""

import asyncio
import random
from collections.abc import Callable

import msgspec

from libs.taskqueue.queue import QueueUnavailable
from libs.taskqueue.queue_settings import QueueSettings
from libs.taskqueue.ratelimit import full_bucket
from libs.taskqueue.task import OcrTask
from tests.simulation.fault_rates import Weather
from tests.simulation.process import Process
from tests.simulation.story import Story

# Starts the task in some process: what it runs in, or None when no process takes it.
Push = Callable[[str, OcrTask, str], "asyncio.Task[bool] | None"]


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A task in the queue."""

    queue: str
    name: str
    task: OcrTask
    failures: int = 0


class Broker:
    """Both queues."""

    def __init__(
        self,
        settings: QueueSettings,
        push: Push,
        *,
        weather: Weather,
        rng: random.Random,
        story: Story,
        paced: bool = False,
    ) -> None:
        self._settings = settings
        # `paced`: the queue's rate holds too; under faults it would only be one more delay.
        self._bucket = (
            full_bucket(rate=settings.max_dispatches_per_second, burst=settings.max_burst_size, now=0.0)
            if paced
            else None
        )
        self._push = push
        self._weather = weather
        self._rng = rng
        self._story = story
        self._names: set[str] = set()
        self.ever: set[str] = set()  # not forgotten with the process that holds the queues
        self._ready: dict[str, list[Entry]] = {}
        self._in_flight: dict[str, int] = {}
        self._era = 0

    @property
    def waiting(self) -> int:
        """How many tasks are due and not yet at work."""
        return sum(len(entries) for entries in self._ready.values())

    def forget(self) -> None:
        """The process that held the queues in its memory died. Pushes under way are no longer listened to."""
        self._names.clear()
        self._ready.clear()
        self._in_flight.clear()
        self._era += 1

    def take(self, queue: str, task: OcrTask, name: str, delay: float) -> None:
        """Add a task, unless its name was used before."""
        if name in self._names:
            return
        self._names.add(name)
        self.ever.add(name)
        if self._chance(self._weather.dropped):
            self._story.tell(f"task lost {queue} {name[:6]}", session=task.session_id, who="queue")
            return
        entry = Entry(queue=queue, name=name, task=task)
        if self._chance(self._weather.delayed):
            delay += self._rng.uniform(1, 60)
        self._later(delay + self._rng.uniform(0.01, 0.1), entry)
        if self._chance(self._weather.doubled):
            self._later(delay + self._rng.uniform(0.01, 30), entry)

    def _chance(self, probability: float) -> bool:
        return self._weather.chance(self._rng, probability, asyncio.get_running_loop().time())

    def _later(self, delay: float, entry: Entry) -> None:
        asyncio.get_running_loop().call_later(delay, self._due, entry, self._era)

    def _due(self, entry: Entry, era: int) -> None:
        if era == self._era:
            self._ready.setdefault(entry.queue, []).append(entry)
            self._dispatch(entry.queue)

    def _dispatch(self, queue: str) -> None:
        ready = self._ready.get(queue, [])
        while ready and self._in_flight.get(queue, 0) < self._settings.max_concurrent_dispatches:
            if self._bucket is not None:
                loop = asyncio.get_running_loop()
                if (moment := self._bucket.ready_at(loop.time())) > loop.time():
                    loop.call_at(moment, self._dispatch, queue)
                    return
                self._bucket = self._bucket.take(loop.time())
            self._attempt(ready.pop(0))

    def _attempt(self, entry: Entry) -> None:
        era = self._era
        running = self._push(entry.queue, entry.task, entry.name)
        if running is None:
            self._again(entry)
            return
        self._in_flight[entry.queue] = self._in_flight.get(entry.queue, 0) + 1
        listening = True

        def end(done: bool) -> None:
            nonlocal listening
            if not listening or era != self._era:
                return
            listening = False
            self._in_flight[entry.queue] -= 1
            if not done:
                self._again(entry)
            self._dispatch(entry.queue)

        def answered(ended: "asyncio.Task[bool]") -> None:
            good = not ended.cancelled() and ended.exception() is None and ended.result()
            if good and self._chance(self._weather.answer_lost):
                good = False
                self._story.tell(f"answer lost {entry.name[:6]}", session=entry.task.session_id, who="queue")
            end(good)

        def overdue() -> None:
            if listening and era == self._era:
                self._story.tell(f"deadline {entry.name[:6]}", session=entry.task.session_id, who="queue")
                end(False)

        running.add_done_callback(answered)
        asyncio.get_running_loop().call_later(self._settings.dispatch_deadline_seconds, overdue)

    def _again(self, entry: Entry) -> None:
        entry = msgspec.structs.replace(entry, failures=entry.failures + 1)
        self._later(self._settings.backoff_seconds(entry.failures), entry)


class Sender:
    """A `TaskQueue`: one process's way to the queues."""

    def __init__(
        self,
        broker: Broker,
        process: Process,
        weather: Weather,
        rng: random.Random,
        reachable: Callable[[], bool],
    ) -> None:
        self._reachable = reachable
        self._broker = broker
        self._process = process
        self._weather = weather
        self._rng = rng

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        self._process.check()
        await asyncio.sleep(self._rng.uniform(0.001, 0.02))
        await self._process.thaw()
        if not self._reachable():
            await asyncio.sleep(10)
            if not self._reachable():
                raise QueueUnavailable("nobody holds the queue")
        now = asyncio.get_running_loop().time()
        refused = self._weather.chance(self._rng, self._weather.refuses_tasks, now)
        if not refused or self._rng.random() < 0.3:  # refused, or taken and the answer lost
            self._broker.take(queue, task, name, delay_seconds)
        if refused:
            raise QueueUnavailable("simulated")
