"""What jobs cost and who waits, held in virtual time. The whole tables: `python -m bench.state`."""

import asyncio
import random
import statistics

import pytest

from bench.state import PAGE_SECONDS, document, ideal, queues, single_pages
from tests.simulation.installation import Installation, in_virtual_time
from tests.simulation.meter import Tally

BATCH_SECONDS = 10 * PAGE_SECONDS


async def a_job(workers: int, pages: int) -> tuple[Tally, float]:
    """A job that is rendered before it is read: its calls, and the seconds it was read for."""
    clock = asyncio.get_running_loop().time
    place = Installation(workers=workers, queues=queues(workers), parallelism=workers, ocr_waits=True)
    session = await place.upload("a@example.org", document(random.Random(1), pages, draw_seconds=0.001))
    await place.extracted(session)
    began = clock()
    place.release()
    await place.ended(session)
    return place.tally, clock() - began


@pytest.mark.slow
def test_record_costs_no_more_a_page_when_the_document_is_long() -> None:
    # A short job writes its record some forty times, and by chance some times more or less.
    shorts = [in_virtual_time(seed, lambda: a_job(4, 100))[0].record_bytes for seed in range(3)]
    long, _ = in_virtual_time(0, lambda: a_job(4, 1000))
    assert long.record_bytes / 1000 <= 3 * statistics.mean(shorts) / 100


def test_many_workers_on_one_job_hardly_wait_for_each_other() -> None:
    tally, seconds = in_virtual_time(0, lambda: a_job(16, 600))
    assert seconds <= 1.2 * ideal(16, 600)
    assert tally.calls["write", "record"] <= 600 / 8, "workers share their commits"
    assert tally.dollars <= 0.025


@pytest.mark.parametrize(("workers", "jobs"), [(1, 1), (4, 1), (1, 4)])
def test_single_page_waits_for_a_batch_and_not_for_the_job(workers: int, jobs: int) -> None:
    waits = in_virtual_time(1, lambda: single_pages(workers, jobs, PAGE_SECONDS, users=5, jobs_pages=1000))
    assert waits[-1] <= 1.5 * BATCH_SECONDS + (jobs - 1) * 4 * PAGE_SECONDS


def test_document_that_is_being_rendered_makes_room_for_a_newcomer() -> None:
    async def live() -> tuple[float, bool]:
        clock = asyncio.get_running_loop().time
        place = Installation(workers=1, queues=queues(1))
        large = await place.upload("a@example.org", document(random.Random(1), 1500, draw_seconds=0.1))
        await asyncio.sleep(20)
        small = await place.upload("b@example.org", document(random.Random(1), 1))
        began = clock()
        await place.read(small, 1)
        waited = place.rendered_at[small][1] - began
        return waited, len(place.rendered_at[large]) < 1500

    waited, unfinished = in_virtual_time(1, live)
    assert unfinished
    assert waited <= 15


def test_jobs_that_wait_their_turn_are_not_given_more_tasks_for_it() -> None:
    async def live() -> int:
        place = Installation(workers=1, queues=queues(1))
        for _ in range(5):
            await place.upload("a@example.org", document(random.Random(1), 300, seconds=4))
        await asyncio.sleep(1500)
        return place.waiting

    assert in_virtual_time(1, live) <= 2 * 5
