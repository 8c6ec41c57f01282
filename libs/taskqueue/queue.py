"""The queue contract: at-least-once delivery of small tasks by HTTP push."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from libs.errors import ErrorKind, ExpectedError
from libs.retry import RetryPolicy, with_retries
from libs.taskqueue.clock import Clock
from libs.taskqueue.task import OcrTask

#: Pushes to the worker, for pages to read.
OCR_QUEUE = "ocr-processing"
#: Pushes to web, for documents to render.
EXTRACT_QUEUE = "ocr-extraction"
#: Pushes to web, for ends of jobs that webhooks tell.
WEBHOOK_QUEUE = "ocr-webhooks"

# Chosen: long enough for a restart of the other side. The sweep repairs what takes longer.
_ENQUEUE = RetryPolicy(seconds=10.0, first_pause=0.2, longest_pause=2.0)


class QueueUnavailable(ExpectedError):
    """The queue did not take the task; the same call may work later."""

    kind = ErrorKind.UNAVAILABLE


class QueueCounts(msgspec.Struct, frozen=True, kw_only=True):
    """What is in one queue."""

    #: Tasks that have not ended: waiting, delayed or in flight.
    pending: int
    #: Tasks that a target is working on.
    in_flight: int
    #: How long the task that was due first has been due, waiting or in flight; 0 without such a task.
    oldest_seconds: float


class TaskQueue(Protocol):
    """Takes tasks, and pushes each to the queue's target at least once, in any order.

    A task only triggers work that the storage describes: if one is lost, the sweep finds its job.
    """

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        """Add the task under `name`. A name already used in the last hour is dropped silently.

        It is delivered after `delay_seconds` at the earliest. Raises `QueueUnavailable` after its own retries.
        """
        ...


class WatchedQueue(TaskQueue, Protocol):
    """A queue that also reports its state. Neither method raises an error."""

    async def health(self, queue: str) -> str:
        """`ok`, or what failed; returns within some seconds."""
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
