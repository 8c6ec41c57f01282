"""What a job's bookkeeping costs, and how long others wait for a large job: the real services in virtual time.

    python -m bench.state [--pages 10 100 1000 10000] [--workers 1 4 16 64] [--only cost|overlapped|fairness]

The bucket is simulated (`tests/simulation/meter.py`): one write a second and object, 30 to 60 ms a call, a hundred
megabytes a second; nothing fails. Pages take about 2 s of an engine; a ratio is to pages x seconds / workers. The
settings are an operator's: as many concurrent dispatches as workers, and JOB_PARALLELISM the same.

Cost: the document is rendered before the first page is read, so that the ratio is that of the reading alone, from the
first task to the end of the job. `cpu` is processor time of everything, the simulated bucket and both services.
Overlapped: pages are read while others are rendered, from the upload to the end of the job.
Fairness: how long single pages of other users wait, from the answer to their upload until they are read.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from libs.taskqueue.queue import OCR_QUEUE
from libs.taskqueue.queue_settings import QueueSettings, read_queue_settings
from tests.simulation.installation import Installation, in_virtual_time
from tests.simulation.meter import Tally
from tests.simulation.script import PageScript

PAGE_SECONDS = 2.0
QUEUE_FILE = Path(__file__).parent.parent / "deploy" / "queue.yaml"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="State cost and fairness, in virtual time.")
    parser.add_argument("--pages", type=int, nargs="+", default=[10, 100, 1000, 10_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--only", choices=["cost", "overlapped", "fairness"])
    options = parser.parse_args()
    if options.only in (None, "cost"):
        print(
            "State cost\n"
            f"{'workers':>8}{'pages':>7}{'ratio':>7} | processing.json {'writes':>7}{'KB/page':>9} | calls a page"
            f"{'write':>7}{'list':>6}{'read':>6}{'stat':>6} | {'$/1,000 pages':>13} | {'cpu ms/page':>11}"
        )
        cells = [(workers, pages) for workers in options.workers for pages in options.pages]
        for workers, pages in [*cells, (64, 5000)]:
            print(cost(workers, pages), flush=True)
    if options.only in (None, "overlapped"):
        print(f"\nFrom upload to end, rendering beside\n{'workers':>8}{'pages':>7}{'ratio':>7}{'rendered after':>16}")
        for workers in options.workers:
            print(overlapped(workers, 5000), flush=True)
    if options.only in (None, "fairness"):
        print(
            f"\nHow long a single page waits beside jobs of 5,000 pages (seconds)\n"
            f"{'workers':>8}{'jobs':>6}{'page takes':>12}{'p50':>8}{'p95':>7}{'worst':>7}"
        )
        for workers, jobs, seconds in ((1, 0, 2.0), (1, 1, 2.0), (1, 1, 5.0), (4, 1, 2.0), (1, 20, 2.0), (4, 20, 2.0)):
            print(fairness(workers, jobs, seconds), flush=True)


def cost(workers: int, pages: int) -> str:
    """One row: a job of `pages` pages."""

    async def live() -> tuple[float, Tally]:
        clock = asyncio.get_running_loop().time
        place = Installation(workers=workers, queues=queues(workers), parallelism=workers, ocr_waits=True)
        session = await place.upload("a@example.org", document(random.Random(1), pages, draw_seconds=0.001))
        await place.extracted(session)
        began = clock()
        place.release()
        await place.ended(session)
        return clock() - began, place.tally

    spent = time.process_time()
    seconds, tally = in_virtual_time(0, live)
    spent = time.process_time() - spent
    calls = "".join(f"{tally.count(kind) / pages:>{width}.2f}" for kind, width in CALLS)
    return (
        f"{workers:>8}{pages:>7}{seconds / ideal(workers, pages):>7.2f} | {'':15} {tally.record_writes:>7}"
        f"{tally.record_bytes / pages / 1000:>9.1f} | {'':12}{calls} | {tally.dollars / pages * 1000:>13.4f}"
        f" | {spent / pages * 1000:>11.1f}"
    )


def overlapped(workers: int, pages: int) -> str:
    """One row: as users have it."""

    async def live() -> tuple[float, float]:
        clock = asyncio.get_running_loop().time
        place = Installation(workers=workers, queues=queues(workers), parallelism=workers)
        began = clock()
        session = await place.upload("a@example.org", document(random.Random(1), pages, draw_seconds=0.02))
        await place.ended(session)
        return clock() - began, max(place.rendered_at[session].values()) - began

    seconds, rendered = in_virtual_time(0, live)
    return f"{workers:>8}{pages:>7}{seconds / ideal(workers, pages):>7.2f}{rendered:>14.0f} s"


def fairness(workers: int, jobs: int, seconds: float) -> str:
    """One row: single pages of twenty users, uploaded at random moments beside another's `jobs`."""
    waits = in_virtual_time(1, lambda: single_pages(workers, jobs, seconds))
    p50, p95 = waits[len(waits) // 2], waits[len(waits) * 95 // 100]
    return f"{workers:>8}{jobs:>6}{seconds:>10.0f} s{p50:>8.1f}{p95:>7.1f}{waits[-1]:>7.1f}"


async def single_pages(
    workers: int, jobs: int, seconds: float, *, users: int = 20, jobs_pages: int = 5000
) -> list[float]:
    """How long each of `users` waits for a page, the shortest first; defaults but for the number of workers."""
    rng = random.Random(f"{workers} {jobs} {seconds}")
    place = Installation(workers=workers, queues=queues(workers))
    for _ in range(jobs):
        await place.upload("many@example.org", document(rng, jobs_pages, seconds=seconds))

    async def wait(user: int, at: float) -> float:
        await asyncio.sleep(at)
        session = await place.upload(f"user{user}@example.org", document(rng, 1, seconds=seconds))
        answered = asyncio.get_running_loop().time()
        await place.read(session, 1)
        return place.read_at[session][1] - answered

    moments = [rng.uniform(10, 60 * users) for _ in range(users)]
    return sorted(await asyncio.gather(*(wait(user, at) for user, at in enumerate(moments))))


def queues(workers: int) -> Mapping[str, QueueSettings]:
    """The shipped queues, with a dispatch for each worker."""
    settings = read_queue_settings(QUEUE_FILE)
    reading = msgspec.structs.replace(settings[OCR_QUEUE], max_concurrent_dispatches=workers)
    return {**settings, OCR_QUEUE: reading}


def document(
    rng: random.Random, pages: int, *, seconds: float = PAGE_SECONDS, draw_seconds: float = 0.02
) -> tuple[PageScript, ...]:
    """Pages that take about `seconds` each."""
    return tuple(PageScript(seconds=seconds * rng.uniform(0.75, 1.25), draw_seconds=draw_seconds) for _ in range(pages))


def ideal(workers: int, pages: int) -> float:
    """Seconds that the reading takes at least."""
    return pages * PAGE_SECONDS / workers


CALLS = (("write", 7), ("list", 6), ("read", 6), ("stat", 6))

if __name__ == "__main__":
    main()
