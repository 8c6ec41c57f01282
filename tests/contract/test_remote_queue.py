"""The local queue as the worker reaches it, over real sockets, with a clock that only the test advances."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from libs.internal_token import HEADER
from libs.taskqueue.queue import OCR_QUEUE, QueueUnavailable
from libs.taskqueue.remote import EnqueueRequest, RemoteQueue, decode
from libs.taskqueue.task import BadTask
from tests.contract.queues import TASK, Target, TurnedClock, tried


@asynccontextmanager
async def remote(target: Target, clock: TurnedClock) -> AsyncIterator[RemoteQueue]:
    async with httpx.AsyncClient(trust_env=False) as client:
        base_url = target.url.removesuffix("/work") + "/"
        yield RemoteQueue(base_url, lambda: {HEADER: "secret"}, client, clock=clock, jitter=lambda: 1.0)


async def test_the_worker_hands_its_task_to_web_with_name_delay_and_token(target: Target, clock: TurnedClock) -> None:
    async with remote(target, clock) as queue:
        await queue.enqueue(OCR_QUEUE, TASK, name="next-1", delay_seconds=2.5)

    request = decode(target.pushes[0][2])
    assert request == EnqueueRequest(name="next-1", delay_seconds=2.5, task=TASK)
    assert json.loads(target.pushes[0][2])["task"]["session_id"] == "session-1"
    assert target.header(0, "X-Internal-Token") == "secret"


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
        decode(body)
