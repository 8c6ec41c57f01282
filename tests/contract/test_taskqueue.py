"""What every queue that delivers does, over real sockets, with a clock that only the test advances."""

from email.utils import formatdate
from typing import cast

import pytest

from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE
from libs.taskqueue.task import decode
from tests.contract.queues import (
    EPOCH,
    TASK,
    Open,
    Target,
    TurnedClock,
    cloudtasks,
    local,
    pushed_in_turn,
    settled,
)
from tests.waiting import until


@pytest.fixture(params=[local, cloudtasks])
def open_queue(request: pytest.FixtureRequest) -> Open:
    return cast(Open, request.param)


async def test_a_task_is_pushed_as_json_with_the_headers_of_cloud_tasks(
    open_queue: Open, target: Target, clock: TurnedClock
) -> None:
    async with open_queue(target, clock) as queue:
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


async def test_a_task_that_was_taken_is_not_pushed_again(open_queue: Open, target: Target, clock: TurnedClock) -> None:
    async with open_queue(target, clock) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="first")
        await settled(queue, clock)
        clock.turn_to(3000.0)
        await queue.enqueue(OCR_QUEUE, TASK, name="last")
        await target.received(2)

    assert [target.header(n, "X-CloudTasks-TaskName") for n in range(len(target.pushes))] == ["first", "last"]


async def test_a_failing_task_is_pushed_again_with_growing_waits_and_its_history(
    open_queue: Open, target: Target, clock: TurnedClock
) -> None:
    target.answers = [500, 404, 302, 502]
    async with open_queue(target, clock) as queue:
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
    open_queue: Open, target: Target, clock: TurnedClock
) -> None:
    async with open_queue(target, clock) as queue:
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


async def test_a_delayed_task_waits_for_its_moment_and_lets_others_pass(
    open_queue: Open, target: Target, clock: TurnedClock
) -> None:
    async with open_queue(target, clock) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="later", delay_seconds=30.0)
        await queue.enqueue(OCR_QUEUE, TASK, name="now")
        moments = await pushed_in_turn(queue, target, clock, 2)

    assert moments == [0.0, 30.0]
    assert target.header(1, "X-CloudTasks-TaskETA") == f"{EPOCH + 30:.6f}"


async def test_no_more_tasks_are_in_flight_than_the_queue_allows(
    open_queue: Open, target: Target, clock: TurnedClock
) -> None:
    target.answer = None
    async with open_queue(target, clock, max_concurrent_dispatches=2) as queue:
        for number in range(6):
            await queue.enqueue(OCR_QUEUE, TASK, name=f"task-{number}")
        await target.received(2)
        assert (queue.in_flight(OCR_QUEUE), queue.pending(OCR_QUEUE)) == (2, 6)
        target.release()
        await target.received(6)
        await settled(queue, clock)

    assert target.most_open == 2


async def test_one_busy_queue_does_not_hold_up_the_other(open_queue: Open, target: Target, clock: TurnedClock) -> None:
    target.answers = [None]
    async with open_queue(target, clock, max_concurrent_dispatches=1) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="long")
        await target.received(1)
        await queue.enqueue(EXTRACT_QUEUE, TASK, name="other")
        await target.received(2)

    assert target.header(1, "X-CloudTasks-QueueName") == EXTRACT_QUEUE


async def test_dispatches_keep_to_the_rate_after_the_burst(
    open_queue: Open, target: Target, clock: TurnedClock
) -> None:
    async with open_queue(target, clock, max_dispatches_per_second=2.0, max_burst_size=3) as queue:
        for number in range(6):
            await queue.enqueue(OCR_QUEUE, TASK, name=f"task-{number}")
        moments = await pushed_in_turn(queue, target, clock, 6)

    assert moments == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_target_that_is_overloaded_slows_the_whole_queue(
    open_queue: Open, target: Target, clock: TurnedClock, status: int
) -> None:
    target.answers = [status]
    async with open_queue(
        target, clock, max_dispatches_per_second=1.0, max_burst_size=5, max_concurrent_dispatches=1
    ) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="refused")
        await queue.enqueue(OCR_QUEUE, TASK, name="next")
        moments = await pushed_in_turn(queue, target, clock, 3)

    # There is no burst, and half the rate, until the target takes a task.
    assert moments == [0.0, 2.0, 3.0]


async def test_a_plain_failure_does_not_slow_the_queue(open_queue: Open, target: Target, clock: TurnedClock) -> None:
    target.answers = [500]
    async with open_queue(
        target, clock, max_dispatches_per_second=1.0, max_burst_size=5, max_concurrent_dispatches=1
    ) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="failed")
        await queue.enqueue(OCR_QUEUE, TASK, name="next")
        moments = await pushed_in_turn(queue, target, clock, 3)

    assert moments == [0.0, 0.0, 1.0]


async def test_an_overloaded_target_that_names_its_time_gets_it(
    open_queue: Open, target: Target, clock: TurnedClock
) -> None:
    target.answers = [(503, "Retry-After: 17\r\n")]
    async with open_queue(target, clock, max_concurrent_dispatches=1) as queue:
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
    open_queue: Open, target: Target, clock: TurnedClock, wish: str, moment: float
) -> None:
    target.answers = [(500, f"Retry-After: {wish}\r\n")]
    async with open_queue(target, clock) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="task")
        moments = await pushed_in_turn(queue, target, clock, 2)

    assert moments == [0.0, moment]


async def test_at_the_dispatch_deadline_the_queue_stops_listening_and_pushes_again(
    open_queue: Open, target: Target, clock: TurnedClock
) -> None:
    target.answers = [None]
    async with open_queue(target, clock) as queue:
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


async def test_a_target_that_is_restarting_gets_its_task_when_it_is_back(open_queue: Open, clock: TurnedClock) -> None:
    async with Target(clock) as gone:
        pass
    async with open_queue(gone, clock) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="patient")
        for _ in range(3):
            await settled(queue, clock)
            clock.turn_to(clock.next_alarm())
            await until(lambda: queue.in_flight(OCR_QUEUE) > 0 or clock.next_alarm() > clock.now())
        assert queue.pending(OCR_QUEUE) == 1
        assert clock.now() == 7.0


async def test_a_task_is_dropped_when_attempts_and_age_are_both_used_up(
    open_queue: Open, target: Target, clock: TurnedClock
) -> None:
    target.answer = 500
    async with open_queue(target, clock, max_attempts=2, max_retry_seconds=6.0) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="hopeless")
        moments = await pushed_in_turn(queue, target, clock, 99)
        assert queue.pending(OCR_QUEUE) == 0

    assert moments == [0.0, 1.0, 3.0, 7.0]
