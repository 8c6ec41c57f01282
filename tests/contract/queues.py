"""Parts of the queues' tests: a clock that only the test advances, a target, and the queues to be tested."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cache
from types import TracebackType
from typing import Protocol

import msgspec

from libs.internal_token import HEADER
from libs.taskqueue.cloudsettings import CloudTasksSettings
from libs.taskqueue.cloudtasks import CloudTasksQueue, client_of
from libs.taskqueue.local import LocalQueue
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, TaskQueue
from libs.taskqueue.queue_settings import QueueSettings
from libs.taskqueue.task import OcrTask
from tests.emulators.cloudtasks.emulator import LOCATION, PROJECT, Emulator, emulator
from tests.emulators.cloudtasks.faults import Faults
from tests.emulators.cloudtasks.issuer import Issuer
from tests.waiting import until

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
    """A clock that only the test advances."""

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
    """An HTTP server that records every push and answers with a set status, also with headers, or not at all (None)."""

    def __init__(self, clock: TurnedClock) -> None:
        self.pushes: list[tuple[float, dict[str, str], bytes]] = []
        self.answers: list[int | tuple[int, str] | None] = []
        self.answer: int | tuple[int, str] | None = 200
        self.open = 0
        self.most_open = 0
        self.hung_up = 0  # callers that closed the connection before they had an answer
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
        """Answer every request that waits, and all later ones."""
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
            await self._silence(reader)
            answer = 200
        status, extra = (answer, "") if isinstance(answer, int) else answer
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\n{extra}\r\n".encode())
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()  # else the loop of the test may end before the connection does
        self.open -= 1

    async def _silence(self, reader: asyncio.StreamReader) -> None:
        """Wait for the release, also after the caller has closed the connection."""
        hung_up = asyncio.create_task(reader.read())
        released = asyncio.create_task(self._release.wait())
        await asyncio.wait([hung_up, released], return_when=asyncio.FIRST_COMPLETED)
        self.hung_up += hung_up.done()
        await released
        hung_up.cancel()


class Watched(TaskQueue, Protocol):
    """A queue whose counts a test can read."""

    def pending(self, queue: str) -> int: ...

    def in_flight(self, queue: str) -> int: ...


class Open(Protocol):
    """Makes a queue that delivers to `target`; `changes` are other settings of the queue for OCR."""

    def __call__(
        self, target: Target, clock: TurnedClock, **changes: float | None
    ) -> AbstractAsyncContextManager[Watched]: ...


def local(target: Target, clock: TurnedClock, **changes: float | None) -> LocalQueue:
    """The queue of local mode."""
    return LocalQueue(
        {OCR_QUEUE: settings(**changes), EXTRACT_QUEUE: SETTINGS},
        {OCR_QUEUE: target.url, EXTRACT_QUEUE: target.url},
        headers=lambda: {HEADER: "secret"},
        clock=clock,
    )


class Emulated:
    """The queue of cloud mode: the real client, and the emulator of Cloud Tasks behind it."""

    def __init__(self, queue: CloudTasksQueue, emulator: Emulator) -> None:
        self.queue = queue
        self.emulator = emulator

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        await self.queue.enqueue(queue, task, name=name, delay_seconds=delay_seconds)

    def pending(self, queue: str) -> int:
        return len(self.emulator.lane(queue).entries)

    def in_flight(self, queue: str) -> int:
        return self.emulator.lane(queue).in_flight()


@asynccontextmanager
async def cloudtasks(
    target: Target, clock: TurnedClock, faults: Faults | None = None, **changes: float | None
) -> AsyncIterator[Emulated]:
    """Cloud Tasks, by its emulator."""
    queues = {OCR_QUEUE: settings(**changes), EXTRACT_QUEUE: SETTINGS}
    async with emulator(queues, clock=clock, faults=faults, issuer=issuer()) as running:
        wanted = CloudTasksSettings(
            google_cloud_project=PROJECT,
            tasks_location=LOCATION,
            tasks_service_account="pusher@emulated.example",
            worker_url=target.url,
            extract_url=target.url,
            worker_audience="https://worker.example",
            cloud_tasks_emulator_host=running.host,
        )
        client = client_of(wanted)
        queue = CloudTasksQueue(
            client,
            wanted.targets(queues),
            service_account=wanted.tasks_service_account,
            headers=lambda: {HEADER: "secret"},
            clock=clock,
            jitter=lambda: 1.0,
        )
        try:
            yield Emulated(queue, running)
        finally:
            await client.transport.close()


@cache
def issuer() -> Issuer:
    """One for all tests: its key takes long to make."""
    return Issuer()


async def settled(queue: Watched, clock: TurnedClock) -> None:
    """Wait until nothing is in flight and only the clock (or nothing) can bring the next push."""
    await until(
        lambda: (
            queue.in_flight(OCR_QUEUE) == 0
            and (queue.pending(OCR_QUEUE) == 0 or clock.now() < clock.next_alarm() < float("inf"))
        )
    )


async def pushed_in_turn(queue: Watched, target: Target, clock: TurnedClock, count: int) -> list[float]:
    """Advance the clock from alarm to alarm until there were `count` pushes; their moments."""
    while True:
        await settled(queue, clock)
        if len(target.pushes) >= count or not queue.pending(OCR_QUEUE):
            return target.moments()
        clock.turn_to(clock.next_alarm())
        await until(lambda: queue.in_flight(OCR_QUEUE) > 0 or clock.next_alarm() > clock.now())


async def tried(queue: TaskQueue, clock: TurnedClock) -> None:
    """Enqueue while the clock advances from alarm to alarm."""
    call = asyncio.create_task(queue.enqueue(OCR_QUEUE, TASK, name="next-1"))
    while not call.done():
        await until(lambda: call.done() or clock.now() < clock.next_alarm() < float("inf"))
        if not call.done():
            clock.turn_to(clock.next_alarm())
            await asyncio.sleep(0)
    await call
