"""The queue contract: at-least-once delivery of small tasks by HTTP push."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from libs.errors import ErrorKind, ExpectedError
from libs.retry import RetryPolicy, with_retries
from libs.taskqueue.clock import Clock
from libs.taskqueue.task import OcrTask

OCR_QUEUE = "ocr-processing"
EXTRACT_QUEUE = "ocr-extraction"

# Chosen: long enough for a restart of the other side. The sweep repairs what takes longer.
_ENQUEUE = RetryPolicy(seconds=10.0, first_pause=0.2, longest_pause=2.0)


class QueueUnavailable(ExpectedError):
    """The queue did not take the task; the same call may work later."""

    kind = ErrorKind.UNAVAILABLE


class QueueCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What is in one queue."""

    pending: int  # tasks that have not ended: waiting, delayed or in flight
    in_flight: int
    oldest_seconds: float  # how long the task that was due first has been due; in flight counts; 0 when none is


class TaskQueue(Protocol):
    """Takes tasks; a push to the queue's target follows, at least once, in any order.

    A queue only wakes people up: a lost task loses nothing, since the sweep finds the job again.
    """

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        """Add the task under `name`. A name already used in the last hour is dropped silently.

        `delay_seconds` is the earliest delivery from now. Raises `QueueUnavailable` after its own retries.
        """
        ...


class WatchedQueue(TaskQueue, Protocol):
    """A queue that can also be asked how it is. Neither question raises anything."""

    async def health(self, queue: str) -> str:
        """`ok`, or what failed; within some seconds."""
        ...

    def counts(self, queue: str) -> QueueCounts | None:
        """What is in the queue now, where that is known."""
        ...


async def persist(attempt: Callable[[], Awaitable[None]], *, clock: Clock, jitter: Callable[[], float]) -> None:
    """Call `attempt`, which enqueues a task, again after each `RetryableFault`; after some 10 s raises the last one.

    `jitter`: see `with_retries`.
    """

    async def sleep(seconds: float) -> None:
        await clock.wait(asyncio.Event(), clock.now() + seconds)

    await with_retries(lambda deadline: attempt(), _ENQUEUE, now=clock.now, sleep=sleep, jitter=jitter)
