"""The local queue and the worker's way to it, over real sockets, under a clock that only the test turns."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from email.utils import formatdate
from types import TracebackType

import httpx
import msgspec
import pytest

from libs.taskqueue import enqueue as wire
from libs.taskqueue.local import LocalQueue
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, QueueUnavailable, TaskQueue
from libs.taskqueue.remote import RemoteQueue
from libs.taskqueue.settings import QueueSettings
from libs.taskqueue.task import BadTask, OcrTask, decode

TASK = OcrTask(session_id="session-1", user_email="reader@example.org", chain=3)
EPOCH = 1_800_000_000.0

SETTINGS = QueueSettings(
    max_dispatches_per_second=100.0,
    max_concurrent_dispatches=5,
    max_burst_size=20,
    max_attempts=None,
    max_retry_seconds=None,
    min_backoff_seconds=1.0,
    max_backoff_seconds=60.0,
    max_doublings=5,
    dispatch_deadline_seconds=600.0,
)


def settings(**changes: float | None) -> QueueSettings:
    return msgspec.structs.replace(SETTINGS, **changes)


class TurnedClock:
    """Time stands still until the test turns it."""

    def __init__(self) -> None:
        self._now = 0.0
        self._alarms: list[tuple[float, asyncio.Event]] = []

    def now(self) -> float:
        return self._now

    def epoch(self) -> float:
        return EPOCH + self._now

    async def wait(self, event: asyncio.Event, until: float | None) -> None:
        alarm = (float("inf") if until is None else until, asyncio.Event())
        if alarm[0] <= self._now:
            return
        self._alarms.append(alarm)
        waits = [asyncio.create_task(event.wait()), asyncio.create_task(alarm[1].wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._alarms.remove(alarm)
            for wait in waits:
                wait.cancel()

    def next_alarm(self) -> float:
        return min((moment for moment, _ in self._alarms), default=float("inf"))

    def turn_to(self, moment: float) -> None:
        assert moment >= self._now
        self._now = moment
        for due, event in self._alarms:
            if due <= moment:
                event.set()


class Target:
    """An HTTP server that notes every push and answers as it is told: a status, headers too, or silence (None)."""

    def __init__(self, clock: TurnedClock) -> None:
        self.pushes: list[tuple[float, dict[str, str], bytes]] = []
        self.answers: list[int | tuple[int, str] | None] = []
        self.answer: int | tuple[int, str] | None = 200
        self.open = 0
        self.most_open = 0
        self.url = ""
        self._clock = clock
        self._arrived = asyncio.Condition()
        self._release = asyncio.Event()

    async def __aenter__(self) -> "Target":
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/work"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.release()
        await until(lambda: self.open == 0)

    def release(self) -> None:
        """Answer every silent request, and those to come."""
        self._release.set()

    async def received(self, count: int) -> None:
        async with self._arrived, asyncio.timeout(20):
            await self._arrived.wait_for(lambda: len(self.pushes) >= count)

    def moments(self) -> list[float]:
        return [moment for moment, _, _ in self.pushes]

    def header(self, push: int, name: str) -> str | None:
        return self.pushes[push][1].get(name.lower())

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        lines = [line.split(": ", 1) for line in head.split("\r\n")[1:-2]]
        headers = {name.lower(): value for name, value in lines}
        body = await reader.readexactly(int(headers["content-length"]))
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        async with self._arrived:
            self.pushes.append((self._clock.now(), headers, body))
            self._arrived.notify_all()
        answer = self.answers.pop(0) if self.answers else self.answer
        if answer is None:
            await self._release.wait()
            answer = 200
        status, extra = (answer, "") if isinstance(answer, int) else answer
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n{extra}\r\n".encode())
        writer.close()
        self.open -= 1


async def until(condition: Callable[[], bool]) -> None:
    """Let real I/O go on until `condition` holds; the time of the queues stands still meanwhile."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - it waits for sockets and many objects, not for one event
            await asyncio.sleep(0.001)


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def target(clock: TurnedClock) -> AsyncIterator[Target]:
    async with Target(clock) as target:
        yield target


def local(target: Target, clock: TurnedClock, **changes: float | None) -> LocalQueue:
    return LocalQueue(
        {OCR_QUEUE: settings(**changes), EXTRACT_QUEUE: SETTINGS},
        {OCR_QUEUE: target.url, EXTRACT_QUEUE: target.url},
        headers={"X-Internal-Token": "secret"},
        clock=clock,
    )


async def settled(queue: LocalQueue, clock: TurnedClock) -> None:
    """Wait until nothing is in flight and only the clock (or nothing) can bring the next push."""
    await until(
        lambda: (
            queue.in_flight(OCR_QUEUE) == 0
            and (queue.pending(OCR_QUEUE) == 0 or clock.now() < clock.next_alarm() < float("inf"))
        )
    )


async def pushed_in_turn(queue: LocalQueue, target: Target, clock: TurnedClock, count: int) -> list[float]:
    """Turn the clock from alarm to alarm until `count` pushes have come; their moments."""
    while True:
        await settled(queue, clock)
        if len(target.pushes) >= count or not queue.pending(OCR_QUEUE):
            return target.moments()
        clock.turn_to(clock.next_alarm())
        await until(lambda: queue.in_flight(OCR_QUEUE) > 0 or clock.next_alarm() > clock.now())


async def test_a_task_is_pushed_as_json_with_the_headers_of_cloud_tasks(target: Target, clock: TurnedClock) -> None:
    async with local(target, clock) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="first")
        await settled(queue, clock)

    assert decode(target.pushes[0][2]) == TASK
    assert target.header(0, "Content-Type") == "application/json"
    assert target.header(0, "User-Agent") == "Google-Cloud-Tasks"
    assert target.header(0, "X-CloudTasks-QueueName") == OCR_QUEUE
    assert target.header(0, "X-CloudTasks-TaskName") == "first"
    assert target.header(0, "X-CloudTasks-TaskRetryCount") == "0"
    assert target.header(0, "X-CloudTasks-TaskExecutionCount") == "0"
    assert target.header(0, "X-CloudTasks-TaskETA") == f"{EPOCH:.6f}"
    assert target.header(0, "X-CloudTasks-TaskPreviousResponse") is None
    assert target.header(0, "X-CloudTasks-TaskRetryReason") is None
    assert target.header(0, "X-Internal-Token") == "secret"


async def test_a_task_that_was_taken_is_not_pushed_again(target: Target, clock: TurnedClock) -> None:
    async with local(target, clock) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="first")
        await settled(queue, clock)
        clock.turn_to(3000.0)
        await queue.enqueue(OCR_QUEUE, TASK, name="last")
        await target.received(2)

    assert [target.header(n, "X-CloudTasks-TaskName") for n in range(len(target.pushes))] == ["first", "last"]


async def test_a_failing_task_is_pushed_again_with_growing_waits_and_its_history(
    target: Target, clock: TurnedClock
) -> None:
    target.answers = [500, 404, 302, 502]
    async with local(target, clock) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="stubborn")
        moments = await pushed_in_turn(queue, target, clock, 5)
        assert queue.pending(OCR_QUEUE) == 0

    assert moments == [0.0, 1.0, 3.0, 7.0, 15.0]
    assert [target.header(n, "X-CloudTasks-TaskRetryCount") for n in range(5)] == ["0", "1", "2", "3", "4"]
    # Answers of 5xx count as retries but not as executions.
    assert [target.header(n, "X-CloudTasks-TaskExecutionCount") for n in range(5)] == [
        "0",
        "0",
        "1",
        "2",
        "2",
    ]
    previous = [target.header(n, "X-CloudTasks-TaskPreviousResponse") for n in range(5)]
    assert previous == [None, "500", "404", "302", "502"]
    assert target.header(4, "X-CloudTasks-TaskRetryReason") == "answer 502"
    assert target.header(4, "X-CloudTasks-TaskETA") == f"{EPOCH + 15:.6f}"


async def test_a_name_is_taken_once_while_its_task_lives_and_for_an_hour_after(
    target: Target, clock: TurnedClock
) -> None:
    async with local(target, clock) as queue:
        target.answers = [None]
        await queue.enqueue(OCR_QUEUE, TASK, name="once")
        await target.received(1)
        await queue.enqueue(OCR_QUEUE, TASK, name="once")
        assert queue.pending(OCR_QUEUE) == 1
        target.release()
        await settled(queue, clock)
        assert len(target.pushes) == 1

        clock.turn_to(3599.0)
        await queue.enqueue(OCR_QUEUE, TASK, name="once")
        assert queue.pending(OCR_QUEUE) == 0

        clock.turn_to(3600.0)
        await queue.enqueue(OCR_QUEUE, TASK, name="once")
        await target.received(2)


async def test_a_delayed_task_waits_for_its_moment_and_lets_others_pass(target: Target, clock: TurnedClock) -> None:
    async with local(target, clock) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="later", delay_seconds=30.0)
        await queue.enqueue(OCR_QUEUE, TASK, name="now")
        moments = await pushed_in_turn(queue, target, clock, 2)

    assert moments == [0.0, 30.0]
    assert target.header(1, "X-CloudTasks-TaskETA") == f"{EPOCH + 30:.6f}"


async def test_no_more_tasks_are_in_flight_than_the_queue_allows(target: Target, clock: TurnedClock) -> None:
    target.answer = None
    async with local(target, clock, max_concurrent_dispatches=2) as queue:
        for number in range(6):
            await queue.enqueue(OCR_QUEUE, TASK, name=f"task-{number}")
        await target.received(2)
        assert (queue.in_flight(OCR_QUEUE), queue.pending(OCR_QUEUE)) == (2, 6)
        target.release()
        await target.received(6)
        await settled(queue, clock)

    assert target.most_open == 2


async def test_one_busy_queue_does_not_hold_up_the_other(target: Target, clock: TurnedClock) -> None:
    target.answers = [None]
    async with local(target, clock, max_concurrent_dispatches=1) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="long")
        await target.received(1)
        await queue.enqueue(EXTRACT_QUEUE, TASK, name="other")
        await target.received(2)

    assert target.header(1, "X-CloudTasks-QueueName") == EXTRACT_QUEUE


async def test_dispatches_keep_to_the_rate_after_the_burst(target: Target, clock: TurnedClock) -> None:
    async with local(target, clock, max_dispatches_per_second=2.0, max_burst_size=3) as queue:
        for number in range(6):
            await queue.enqueue(OCR_QUEUE, TASK, name=f"task-{number}")
        moments = await pushed_in_turn(queue, target, clock, 6)

    assert moments == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_target_that_is_overloaded_slows_the_whole_queue(
    target: Target, clock: TurnedClock, status: int
) -> None:
    target.answers = [status]
    async with local(
        target, clock, max_dispatches_per_second=1.0, max_burst_size=5, max_concurrent_dispatches=1
    ) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="refused")
        await queue.enqueue(OCR_QUEUE, TASK, name="next")
        moments = await pushed_in_turn(queue, target, clock, 3)

    # The burst is gone and the rate halved until a task is taken.
    assert moments == [0.0, 2.0, 3.0]


async def test_a_plain_failure_does_not_slow_the_queue(target: Target, clock: TurnedClock) -> None:
    target.answers = [500]
    async with local(
        target, clock, max_dispatches_per_second=1.0, max_burst_size=5, max_concurrent_dispatches=1
    ) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="failed")
        await queue.enqueue(OCR_QUEUE, TASK, name="next")
        moments = await pushed_in_turn(queue, target, clock, 3)

    assert moments == [0.0, 0.0, 1.0]


async def test_an_overloaded_target_that_names_its_time_gets_it(target: Target, clock: TurnedClock) -> None:
    target.answers = [(503, "Retry-After: 17\r\n")]
    async with local(target, clock, max_concurrent_dispatches=1) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="refused")
        await queue.enqueue(OCR_QUEUE, TASK, name="next")
        moments = await pushed_in_turn(queue, target, clock, 3)

    assert moments[:2] == [0.0, 17.0]
    assert moments[2] == pytest.approx(17.0, abs=0.1)


@pytest.mark.parametrize(
    ("wish", "moment"),
    [
        ("9", 9.0),
        (formatdate(EPOCH + 40, usegmt=True), 40.0),
        ("99999999", 3600.0),
        ("soon", 1.0),
        ("-5", 1.0),
        (formatdate(EPOCH - 40, usegmt=True), 1.0),
    ],
)
async def test_a_failed_task_waits_as_long_as_its_target_asks(
    target: Target, clock: TurnedClock, wish: str, moment: float
) -> None:
    target.answers = [(500, f"Retry-After: {wish}\r\n")]
    async with local(target, clock) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="task")
        moments = await pushed_in_turn(queue, target, clock, 2)

    assert moments == [0.0, moment]


async def test_at_the_dispatch_deadline_the_queue_stops_listening_and_pushes_again(
    target: Target, clock: TurnedClock
) -> None:
    target.answers = [None]
    async with local(target, clock) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="hung")
        await target.received(1)
        clock.turn_to(599.9)
        await until(lambda: clock.next_alarm() == 600.0)
        assert queue.in_flight(OCR_QUEUE) == 1
        clock.turn_to(600.0)
        moments = await pushed_in_turn(queue, target, clock, 2)

    assert moments == [0.0, 601.0]
    assert target.header(1, "X-CloudTasks-TaskRetryReason") == "no answer before the dispatch deadline"
    assert target.header(1, "X-CloudTasks-TaskPreviousResponse") is None


async def test_a_target_that_is_restarting_gets_its_task_when_it_is_back(clock: TurnedClock) -> None:
    async with Target(clock) as gone:
        url = gone.url
    queue = LocalQueue({OCR_QUEUE: SETTINGS}, {OCR_QUEUE: url}, clock=clock)
    async with queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="patient")
        for _ in range(3):
            await settled(queue, clock)
            clock.turn_to(clock.next_alarm())
            await until(lambda: queue.in_flight(OCR_QUEUE) > 0 or clock.next_alarm() > clock.now())
        assert queue.pending(OCR_QUEUE) == 1
        assert clock.now() == 7.0


async def test_a_task_is_dropped_when_attempts_and_age_are_both_used_up(target: Target, clock: TurnedClock) -> None:
    target.answer = 500
    async with local(target, clock, max_attempts=2, max_retry_seconds=6.0) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="hopeless")
        moments = await pushed_in_turn(queue, target, clock, 99)
        assert queue.pending(OCR_QUEUE) == 0

    assert moments == [0.0, 1.0, 3.0, 7.0]


async def test_the_queue_tells_how_much_waits_and_for_how_long(target: Target, clock: TurnedClock) -> None:
    target.answer = None
    async with local(target, clock) as queue:
        assert (queue.pending(OCR_QUEUE), queue.oldest_seconds(OCR_QUEUE)) == (0, 0.0)
        await queue.enqueue(OCR_QUEUE, TASK, name="later", delay_seconds=100.0)
        clock.turn_to(50.0)
        assert (queue.pending(OCR_QUEUE), queue.oldest_seconds(OCR_QUEUE)) == (1, 0.0)
        await queue.enqueue(OCR_QUEUE, TASK, name="now")
        await target.received(1)
        clock.turn_to(90.0)
        assert (queue.pending(OCR_QUEUE), queue.oldest_seconds(OCR_QUEUE)) == (2, 40.0)


async def test_a_stopped_queue_takes_nothing_and_leaves_nothing_running(target: Target, clock: TurnedClock) -> None:
    target.answer = None
    before = asyncio.all_tasks()
    queue = local(target, clock)
    async with queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="in-flight")
        await queue.enqueue(OCR_QUEUE, TASK, name="waiting", delay_seconds=100.0)
        await target.received(1)

    with pytest.raises(QueueUnavailable, match="stopped"):
        await queue.enqueue(OCR_QUEUE, TASK, name="late")
    target.release()
    await until(lambda: target.open == 0)
    left = [task for task in asyncio.all_tasks() - before if task.get_name().startswith(("queue", "push"))]
    assert left == []


async def test_every_queue_needs_a_target() -> None:
    with pytest.raises(ValueError, match="needs a target"):
        LocalQueue({OCR_QUEUE: SETTINGS}, {})


# The worker's way to the queue.


@asynccontextmanager
async def remote(target: Target, clock: TurnedClock) -> AsyncIterator[RemoteQueue]:
    async with httpx.AsyncClient(trust_env=False) as client:
        base_url = target.url.removesuffix("/work") + "/"
        yield RemoteQueue(base_url, "secret", client, clock=clock, jitter=lambda: 1.0)


async def test_the_worker_hands_its_task_to_web_with_name_delay_and_token(target: Target, clock: TurnedClock) -> None:
    async with remote(target, clock) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="next-1", delay_seconds=2.5)

    request = wire.decode(target.pushes[0][2])
    assert request == wire.EnqueueRequest(name="next-1", delay_seconds=2.5, task=TASK)
    assert json.loads(target.pushes[0][2])["task"]["session_id"] == "session-1"
    assert target.header(0, "X-Internal-Token") == "secret"


async def tried(queue: TaskQueue, clock: TurnedClock) -> None:
    """Enqueue while the clock goes from alarm to alarm."""
    call = asyncio.create_task(queue.enqueue(OCR_QUEUE, TASK, name="next-1"))
    while not call.done():
        await until(lambda: call.done() or clock.now() < clock.next_alarm() < float("inf"))
        if not call.done():
            clock.turn_to(clock.next_alarm())
            await asyncio.sleep(0)
    await call


async def test_the_worker_tries_again_while_web_restarts(target: Target, clock: TurnedClock) -> None:
    target.answers = [503, 500, 429, 204]
    async with remote(target, clock) as queue:
        await tried(queue, clock)

    assert target.moments() == pytest.approx([0.0, 0.2, 0.6, 1.4])


async def test_the_worker_gives_up_after_ten_seconds_and_says_what_failed(target: Target, clock: TurnedClock) -> None:
    target.answer = 503
    async with remote(target, clock) as queue:
        with pytest.raises(QueueUnavailable, match=r"answer 503\. Is the web service running\?"):
            await tried(queue, clock)

    assert 8.0 <= target.moments()[-1] <= 10.0


async def test_the_worker_gives_up_when_nothing_listens(clock: TurnedClock) -> None:
    async with Target(clock) as gone:
        pass
    async with remote(gone, clock) as queue:
        with pytest.raises(QueueUnavailable, match="ConnectError"):
            await tried(queue, clock)


async def test_a_refusal_that_will_stay_is_not_tried_again(target: Target, clock: TurnedClock) -> None:
    target.answer = 403
    async with remote(target, clock) as queue:
        with pytest.raises(QueueUnavailable, match="403: check that web and worker share INTERNAL_TOKEN"):
            await queue.enqueue(OCR_QUEUE, TASK, name="next-1")

    assert len(target.pushes) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"name": "a"}',
        b'{"name": "", "task": {"session_id": "s"}}',
        b'{"name": "a b", "task": {"session_id": "s"}}',
        b'{"name": "a\\n", "task": {"session_id": "s"}}',
        b'{"name": "a", "task": {}}',
        b'{"name": "a", "delay_seconds": -1, "task": {"session_id": "s"}}',
        b'{"name": "a", "delay_seconds": 2592001, "task": {"session_id": "s"}}',
    ],
)
def test_an_enqueue_request_of_another_shape_is_refused(body: bytes) -> None:
    with pytest.raises(BadTask):
        wire.decode(body)
