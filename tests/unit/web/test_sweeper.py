"""The sweep wakes what nobody works on."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from libs.jobstate.active import announce
from libs.jobstate.commit import create
from libs.jobstate.lease import take
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from libs.taskqueue.task import OcrTask
from services.web.metrics import WebMetrics
from services.web.sweeper import Sweeper
from services.web.upload.completion import Completion
from tests.clock import StorageClock
from tests.jobs import extracted, opened
from tests.waiting import until
from tests.webhooks import webhooks


class Taken:
    """A `TaskQueue` that only keeps the tasks' names."""

    def __init__(self) -> None:
        self.names: list[str] = []

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        self.names.append(name)


async def waiting_job(store: MemoryStore) -> None:
    job = opened()
    files = SessionFiles(store=store, user_hash=layout.user_hash(job.user_email), session_id=job.session_id)
    await announce(files, run=1)
    await create(files, job)


def made(store: MemoryStore, queue: Taken, *, every_seconds: float = 30, **settings: Any) -> Sweeper:
    return Sweeper(
        store=store,
        queue=queue,
        completion=Completion(store=store, queue=queue, metrics=WebMetrics(CollectorRegistry()), lease_seconds=60),
        webhooks=webhooks(store, queue),
        every_seconds=every_seconds,
        lease_seconds=60,
        **settings,
    )


async def started(store: MemoryStore, *, queue_forgets: bool) -> list[str]:
    """The tasks that a web enqueues in its first sweeps."""
    queue = Taken()
    sweeper = made(store, queue, every_seconds=0.01, queue_forgets=queue_forgets)
    running = asyncio.create_task(sweeper.run())
    surveys = []
    for _ in range(3):
        await until(lambda: sweeper.survey not in surveys)
        surveys.append(sweeper.survey)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    return queue.names


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_web_wakes_again_what_an_earlier_web_woke_into_a_queue_that_died_with_it(store: MemoryStore) -> None:
    await waiting_job(store)
    names = [await started(store, queue_forgets=True) for _ in range(4)]
    assert [len(found) for found in names] == [1, 1, 1, 1], "each web wakes it once, however often that was in vain"
    assert len({name for found in names for name in found}) == 4, "the queue would drop a name that it knows"


async def test_sweep_looks_for_expired_jobs_once_an_hour() -> None:
    clock = StorageClock()
    store = MemoryStore(clock)
    queue = Taken()
    sweeper = made(store, queue, retention=timedelta(days=1))

    async def ended_long_ago(digit: str) -> SessionFiles:
        files = SessionFiles(store=store, user_hash=digit * 12, session_id=f"{'0' * 31}{digit}")
        at = clock.now - timedelta(days=2)
        await create(files, msgspec.structs.replace(opened(), updated_at=at).cancel(at))
        return files

    first = await ended_long_ago("a")
    await sweeper.sweep()
    second = await ended_long_ago("b")
    await sweeper.sweep()
    assert (await first.is_deleted(), await second.is_deleted()) == (True, False)
    clock.wait(3600)
    await sweeper.sweep()
    assert await second.is_deleted()


async def test_web_leaves_alone_what_another_one_woke_into_a_queue_that_lasts(store: MemoryStore) -> None:
    await waiting_job(store)
    assert len(await started(store, queue_forgets=False)) == 1
    assert await started(store, queue_forgets=False) == []


@pytest.mark.parametrize("queue_forgets", [True, False])
async def test_a_job_that_moved_just_before_web_died_goes_on_at_once(queue_forgets: bool) -> None:
    clock = StorageClock()
    store, queue = MemoryStore(clock), Taken()
    job = msgspec.structs.replace(extracted(2), updated_at=clock.now, revision=3)
    files = SessionFiles(store=store, user_hash=layout.user_hash(job.user_email), session_id=job.session_id)
    await announce(files, run=1)
    await create(files, job)
    sweeper = made(store, queue, queue_forgets=queue_forgets)
    running = asyncio.create_task(sweeper.run())
    await until(lambda: sweeper.survey is not None)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert len(queue.names) == (1 if queue_forgets else 0), "a queue that lasts still has the task"


async def test_web_waits_for_tasks_that_are_only_late_but_not_for_those_that_died_with_an_earlier_web(
    store: MemoryStore,
) -> None:
    job = extracted(2)
    files = SessionFiles(store=store, user_hash=layout.user_hash(job.user_email), session_id=job.session_id)
    await announce(files, run=1)
    await create(files, job)
    lease = await take(files, "0001", run=1, holder="w", seconds=60, pages=(1, 2), waited=500.0)
    assert lease is not None
    await lease.release()
    assert await started(store, queue_forgets=False) == [], "the next task may wait as long as the last one did"
    assert len(await started(store, queue_forgets=True)) == 1
