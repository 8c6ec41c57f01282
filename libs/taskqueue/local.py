"""The queue of local mode: delivery as Cloud Tasks does it, inside the web process.

Nothing is written to disk. After a restart the sweep finds the jobs that have work left and wakes them.
"""

import asyncio
import heapq
from collections.abc import Callable, Mapping
from types import TracebackType

import httpx
import msgspec
import structlog

from libs.retry import retry_after_seconds
from libs.taskqueue.clock import Clock, SystemClock
from libs.taskqueue.dedup import EndedNames
from libs.taskqueue.queue import QueueCounts, QueueUnavailable
from libs.taskqueue.queue_settings import QueueSettings
from libs.taskqueue.ratelimit import full_bucket
from libs.taskqueue.task import OcrTask, encode

# Chosen: a target on this machine that takes longer to accept a connection is restarting.
_CONNECT_SECONDS = 10.0
# Answers of an overloaded target.
_SLOW_DOWN = frozenset({429, 503})

log = structlog.get_logger()


class LocalQueue:
    """A `TaskQueue` that pushes over HTTP from this process, between `start` and `stop`.

    Delivery is at least once: a task ends only when its target answers 2xx, or when every limit of its queue is passed.
    `targets` are the URLs by queue; what `headers` returns, with the internal token, is sent with every push.
    """

    def __init__(
        self,
        settings: Mapping[str, QueueSettings],
        targets: Mapping[str, str],
        *,
        headers: Callable[[], Mapping[str, str]] = dict,
        clock: Clock | None = None,
    ) -> None:
        if settings.keys() != targets.keys():
            raise ValueError(
                f"every queue needs a target: settings for {sorted(settings)}, targets for {sorted(targets)}"
            )
        clock = clock or SystemClock()
        self._lanes = {name: _Lane(name, settings[name], targets[name], headers, clock) for name in settings}

    async def __aenter__(self) -> "LocalQueue":
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Begin to deliver."""
        for lane in self._lanes.values():
            lane.start()

    async def stop(self) -> None:
        """Abandon the pushes in flight and drop the tasks that wait."""
        for lane in self._lanes.values():
            await lane.stop()

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        """See `TaskQueue`. Raises `KeyError` for a queue that has no settings."""
        self._lanes[queue].add(name, encode(task), delay_seconds)

    async def health(self, queue: str) -> str:
        """See `WatchedQueue`."""
        return "ok"

    def counts(self, queue: str) -> QueueCounts:
        """See `WatchedQueue`."""
        lane = self._lanes[queue]
        return QueueCounts(pending=lane.pending(), in_flight=lane.in_flight(), oldest_seconds=lane.oldest_seconds())

    def pending(self, queue: str) -> int:
        """How many tasks have not ended: waiting, delayed or in flight."""
        return self._lanes[queue].pending()

    def in_flight(self, queue: str) -> int:
        """How many tasks a target is working on now."""
        return self._lanes[queue].in_flight()


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A task in the queue. Counts and reasons are sent in the headers of Cloud Tasks."""

    name: str
    body: bytes
    #: The earliest moment of the next attempt.
    due: float
    #: The moment at which the first attempt began.
    first_attempt: float | None = None
    retries: int = 0
    #: Attempts that were answered, other than by 5xx.
    executions: int = 0
    #: The status of the last answer.
    previous: int | None = None
    #: Why the last attempt failed.
    reason: str = ""


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended."""

    #: None: there was no answer.
    status: int | None
    reason: str = ""
    #: Seconds that the target asks to wait.
    retry_after: float | None = None

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class _Lane:
    """One queue: what waits, what is in flight, and the loop that moves tasks from one to the other."""

    def __init__(
        self, name: str, settings: QueueSettings, target: str, headers: Callable[[], Mapping[str, str]], clock: Clock
    ) -> None:
        self._name = name
        self._settings = settings
        self._target = target
        self._headers = headers
        self._clock = clock
        self._log = log.bind(queue=name)
        self._waiting: list[tuple[float, int, _Entry]] = []
        self._order = 0
        self._live: dict[str, float] = {}  # name -> the moment it was first due
        self._ended = EndedNames()
        self._bucket = full_bucket(
            rate=settings.max_dispatches_per_second, burst=settings.max_burst_size, now=clock.now()
        )
        self._paused_until = clock.now()
        self._changed = asyncio.Event()
        self._pushes: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._stopped = False

    def start(self) -> None:
        self._loop = asyncio.create_task(self._deliver(), name=f"queue {self._name}")

    async def stop(self) -> None:
        self._stopped = True
        tasks = [*self._pushes, *([self._loop] if self._loop else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._live:
            self._log.info("queue_stopped", dropped=len(self._live))

    def add(self, name: str, body: bytes, delay_seconds: float) -> None:
        if self._stopped:
            raise QueueUnavailable(f"queue {self._name} has stopped: the sweep after the next start will wake the job")
        now = self._clock.now()
        if name in self._live or self._ended.has(name, now):
            self._log.info("task_duplicate", task=name)
            return
        due = now + max(0.0, delay_seconds)
        self._live[name] = due
        self._put(_Entry(name=name, body=body, due=due))

    def pending(self) -> int:
        return len(self._live)

    def in_flight(self) -> int:
        return len(self._pushes)

    def oldest_seconds(self) -> float:
        return max(0.0, self._clock.now() - min(self._live.values(), default=self._clock.now()))

    def _put(self, entry: _Entry) -> None:
        self._order += 1
        heapq.heappush(self._waiting, (entry.due, self._order, entry))
        self._changed.set()

    async def _deliver(self) -> None:
        # Without keep-alive: a worker that restarts, or closes an idle connection just then, would cost an attempt.
        # Without the environment's proxy: the targets are on this machine.
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
            trust_env=False,
        ) as client:
            while True:
                self._changed.clear()
                now = self._clock.now()
                moment = self._next_dispatch(now)
                if moment is None or moment > now:
                    await self._clock.wait(self._changed, moment)
                    continue
                _, _, entry = heapq.heappop(self._waiting)
                self._bucket = self._bucket.take(now)
                push = asyncio.create_task(self._attempt(client, entry, now), name=f"push {entry.name}")
                self._pushes.add(push)
                push.add_done_callback(self._free)

    def _next_dispatch(self, now: float) -> float | None:
        """The moment of the next push; None while there is none to make before a change of the queue."""
        if not self._waiting or len(self._pushes) >= self._settings.max_concurrent_dispatches:
            return None
        return max(self._waiting[0][0], self._paused_until, self._bucket.ready_at(now))

    def _free(self, push: asyncio.Task[None]) -> None:
        self._pushes.discard(push)
        self._changed.set()

    async def _attempt(self, client: httpx.AsyncClient, entry: _Entry, started: float) -> None:
        self._log.info("task_dispatched", task=entry.name, retry=entry.retries)
        answer = await self._push(client, entry)
        now = self._clock.now()
        if answer.is_success:
            self._log.info("task_done", task=entry.name, status=answer.status, seconds=round(now - started, 3))
            self._bucket = self._bucket.recovered(now)
            self._end(entry, now)
            return
        if answer.status in _SLOW_DOWN:
            self._bucket = self._bucket.slowed(now)
            self._paused_until = max(self._paused_until, now + (answer.retry_after or 0.0))
        self._retry(entry, answer, started, now)

    def _retry(self, entry: _Entry, answer: _Answer, started: float, now: float) -> None:
        first_attempt = started if entry.first_attempt is None else entry.first_attempt
        attempts = entry.retries + 1
        if self._settings.is_exhausted(attempts=attempts, age_seconds=now - first_attempt):
            self._log.warning("task_dropped", task=entry.name, attempts=attempts, reason=answer.reason)
            self._end(entry, now)
            return
        wait = max(self._settings.backoff_seconds(attempts), answer.retry_after or 0.0)
        self._log.warning("task_retry", task=entry.name, attempts=attempts, reason=answer.reason, wait_seconds=wait)
        answered = answer.status is not None and answer.status < 500
        self._put(
            msgspec.structs.replace(
                entry,
                due=now + wait,
                first_attempt=first_attempt,
                retries=attempts,
                executions=entry.executions + answered,
                previous=answer.status,
                reason=answer.reason,
            )
        )

    def _end(self, entry: _Entry, now: float) -> None:
        del self._live[entry.name]
        self._ended.add(entry.name, now)

    async def _push(self, client: httpx.AsyncClient, entry: _Entry) -> _Answer:
        """One request, which is abandoned at the dispatch deadline."""
        answered = asyncio.Event()
        request = asyncio.create_task(client.post(self._target, content=entry.body, headers=self._headers_for(entry)))
        request.add_done_callback(lambda _: answered.set())
        try:
            await self._clock.wait(answered, self._clock.now() + self._settings.dispatch_deadline_seconds)
            if not request.done():
                return _Answer(status=None, reason="no answer before the dispatch deadline")
            response = request.result()
        except Exception as error:
            # Any error keeps the task in the queue: without its task the job would wait for a sweep.
            return _Answer(status=None, reason=f"no answer: {type(error).__name__}: {error}")
        finally:
            request.cancel()
            await asyncio.wait({request})
        return _Answer(
            status=response.status_code,
            reason=f"answer {response.status_code}",
            retry_after=retry_after_seconds(response.headers.get("Retry-After", ""), self._clock.epoch()),
        )

    def _headers_for(self, entry: _Entry) -> dict[str, str]:
        eta = self._clock.epoch() - (self._clock.now() - entry.due)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Google-Cloud-Tasks",
            "X-CloudTasks-QueueName": self._name,
            "X-CloudTasks-TaskName": entry.name,
            "X-CloudTasks-TaskRetryCount": str(entry.retries),
            "X-CloudTasks-TaskExecutionCount": str(entry.executions),
            "X-CloudTasks-TaskETA": f"{eta:.6f}",
        }
        if entry.previous is not None:
            headers["X-CloudTasks-TaskPreviousResponse"] = str(entry.previous)
        if entry.reason:
            headers["X-CloudTasks-TaskRetryReason"] = entry.reason.encode("ascii", "replace").decode()
        return headers | dict(self._headers())
