"""What only the queue of local mode does."""

import asyncio

import pytest

from libs.taskqueue.local import LocalQueue
from libs.taskqueue.queue import OCR_QUEUE, QueueCounts, QueueUnavailable
from tests.contract.queues import SETTINGS, TASK, Target, TurnedClock, local
from tests.waiting import until


async def test_the_queue_tells_how_much_waits_and_for_how_long(target: Target, clock: TurnedClock) -> None:
    target.answer = None
    async with local(target, clock) as queue:
        assert queue.counts(OCR_QUEUE) == QueueCounts(pending=0, in_flight=0, oldest_seconds=0.0)
        await queue.enqueue(OCR_QUEUE, TASK, name="later", delay_seconds=100.0)
        clock.turn_to(50.0)
        assert queue.counts(OCR_QUEUE) == QueueCounts(pending=1, in_flight=0, oldest_seconds=0.0)
        await queue.enqueue(OCR_QUEUE, TASK, name="now")
        await target.received(1)
        clock.turn_to(90.0)
        assert queue.counts(OCR_QUEUE) == QueueCounts(pending=2, in_flight=1, oldest_seconds=40.0)


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
