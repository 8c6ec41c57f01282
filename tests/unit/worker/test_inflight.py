"""A batching engine is kept busy: batches of one call, and several calls, fill its slots side by side."""

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from libs.jobstate.commit import create, load
from libs.jobstate.job import Job
from libs.jobstate.lease import LeaseState, take
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from libs.taskqueue.task import OcrTask
from services.worker.batch import BatchWorker
from services.worker.call import CallResult, EngineBroke, EngineHangs, Limits, WorkerContext
from services.worker.engines.engine import (
    EngineInfo,
    EngineLost,
    EngineUnavailable,
    Finish,
    OcrEngine,
    PageFailure,
    PageImage,
    PageText,
)
from services.worker.engines.occupancy import SharedEngine
from services.worker.engines.registry import EngineRegistry
from services.worker.engines.select import BARE
from services.worker.metrics import WorkerMetrics
from tests.batching import Batching
from tests.jobs import extracted
from tests.simulation.installation import in_virtual_time
from tests.tasks import KeptTasks

SLOTS = 8
# Virtual time in which everything happens that does not wait for the engine.
SETTLED_SECONDS = 1.0


class Engine(Batching):
    """Holds each page until the test lets it go."""

    def __init__(self) -> None:
        super().__init__(SLOTS, self._hold)
        self.slots = SLOTS
        self.inside: dict[asyncio.Future[Exception | None], bytes] = {}
        self.taken: list[PageImage] = []

    async def load(self) -> None:
        """Nothing to load."""

    def info(self) -> EngineInfo:
        """A made-up engine."""
        return EngineInfo(name="held", revision="1", device="none")

    def let_go(self, error: Exception | None = None) -> None:
        """End the page that has been inside longest, or break on it."""
        page = next(iter(self.inside))
        del self.inside[page]
        page.set_result(error)

    async def _hold(self, page: PageImage) -> PageText | PageFailure:
        held: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.inside[held] = page.data
        self.taken.append(page)
        try:
            if error := await held:
                raise error
        finally:
            self.inside.pop(held, None)
        return PageText(page_no=page.page_no, markdown="x", finish=Finish.STOP, seconds=1.0)


class OneEngine(EngineRegistry):
    """Returns the one engine for every name."""

    def __init__(self, engine: OcrEngine) -> None:
        super().__init__("held", BARE)
        self._only = SharedEngine(engine)

    async def engine(self, name: str | None) -> SharedEngine:
        return self._only


class Place:
    """A worker with the engine, and jobs on a store in memory."""

    def __init__(self) -> None:
        self.engine = Engine()
        clock = asyncio.get_running_loop().time
        self.store = MemoryStore(lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=clock()))
        self.queue = KeptTasks()
        self.worker = BatchWorker(
            WorkerContext(
                store=self.store,
                queue=self.queue,
                engines=OneEngine(self.engine),
                fallback=None,
                limits=Limits(lease_seconds=60, page_seconds=60, batch_seconds=120),
                metrics=WorkerMetrics(CollectorRegistry()),
            )
        )

    async def job(
        self, letter: str, pages: int, *, batch_size: int = 5, active: bool = False, user: str = ""
    ) -> SessionFiles:
        """A job whose pages are ready; their images are its letter. It has a user of its own unless one is named."""
        files = SessionFiles(store=self.store, user_hash=(user or letter) * 12, session_id=letter * 32)
        await create(files, msgspec.structs.replace(extracted(pages), batch_size=batch_size))
        for page_no in range(1, pages + 1):
            await files.save_page_image(page_no, letter.encode())
        if active:
            await self.store.write(layout.active_path(files.user_hash, files.session_id), b"{}")
        return files

    def call(self, files: SessionFiles, *, due_at: datetime | None = None) -> "asyncio.Task[CallResult]":
        """Deliver a task of the job, as the queue does."""
        task = OcrTask(session_id=files.session_id, user_email="", user_hash=files.user_hash, due_at=due_at)
        return asyncio.create_task(self.worker.process(task, "a task"))

    async def read_to_the_end(self, *calls: "asyncio.Task[CallResult]") -> list[Counter[bytes]]:
        """End page after page; the images that were inside the engine before each, counted."""
        seen = []
        while not all(call.done() for call in calls):
            await asyncio.sleep(SETTLED_SECONDS)
            if self.engine.inside:
                seen.append(Counter(self.engine.inside.values()))
                self.engine.let_go()
        return seen


def test_batches_of_one_call_keep_all_slots_busy_to_the_end() -> None:
    async def live() -> tuple[list[int], Job]:
        place = Place()
        files = await place.job("a", 40)
        seen = await place.read_to_the_end(place.call(files))
        return [inside.total() for inside in seen], await load(files)

    inside, job = in_virtual_time(0, live)
    assert inside == [SLOTS] * (40 - SLOTS + 1) + [7, 6, 5, 4, 3, 2, 1]
    assert job.ended


def test_calls_share_the_slots() -> None:
    async def live() -> list[Counter[bytes]]:
        place = Place()
        jobs = [await place.job(letter, 20) for letter in "ab"]
        return await place.read_to_the_end(*(place.call(files) for files in jobs))

    seen = in_virtual_time(0, live)
    assert [inside.total() for inside in seen] == [SLOTS] * (40 - SLOTS + 1) + [7, 6, 5, 4, 3, 2, 1]
    assert all(min(inside[b"a"], inside[b"b"]) > 0 for inside in seen[:20]), "neither waits for the other's end"


def test_call_claims_no_more_than_keeps_the_engine_busy() -> None:
    async def live() -> int:
        place = Place()
        files = await place.job("a", 40)
        call = place.call(files)
        await asyncio.sleep(SETTLED_SECONDS)
        held = [stat async for stat in place.store.list(files.path(layout.BATCHES))]
        place.worker.drain()
        await call
        return len(held)

    assert in_virtual_time(0, live) == 2, "ten pages for eight slots"


@pytest.mark.parametrize(("newcomer", "pages"), [(True, SLOTS), (False, 10)], ids=["new", "known"])
def test_call_beside_another_job_of_its_user_fills_the_engine_once(newcomer: bool, pages: int) -> None:
    async def live() -> tuple[int, int]:
        place = Place()
        files = await place.job("a", 40, active=True)
        await place.job("b", 1, active=True, user="a")
        due_at = await place.store.now() + timedelta(seconds=0 if newcomer else 10)
        call = place.call(files, due_at=due_at)
        await place.read_to_the_end(call)
        return call.result().pages_processed, len(place.queue.tasks)

    assert in_virtual_time(0, live) == (pages, 1)


def test_other_users_pages_are_read_beside_those_of_a_call() -> None:
    async def live() -> tuple[int, list[bytes], Job]:
        place = Place()
        own = await place.job("a", 40, active=True)
        guest = await place.job("b", 1, active=True)
        call = place.call(own)
        await place.read_to_the_end(call)
        return call.result().pages_processed, [page.data for page in place.engine.taken], await load(guest)

    pages, taken, guest = in_virtual_time(0, live)
    assert guest.ended
    assert taken.index(b"b") <= 2 * SLOTS, "it waits for no more than the pages that were claimed before it came"
    assert pages == 40, "the call goes on"


def test_engine_that_breaks_under_many_pages_leaves_all_under_suspicion_and_none_guilty() -> None:
    async def live() -> list[tuple[LeaseState, int, dict[int, int]]]:
        place = Place()
        files = await place.job("a", 2, batch_size=1)
        call = place.call(files)
        await asyncio.sleep(SETTLED_SECONDS)
        place.engine.let_go(RuntimeError("told to break"))
        with pytest.raises(EngineBroke):
            await call
        leases = [
            await take(files, name, run=1, holder="next", seconds=60, pages=(int(name),)) for name in ("0001", "0002")
        ]
        return [(held.lease.state, held.lease.attempt, held.lease.deaths) for held in leases if held]

    assert in_virtual_time(0, live) == [(LeaseState.HELD, 2, {})] * 2


def test_pages_under_suspicion_are_read_with_no_other_page_beside_them() -> None:
    async def live() -> list[int]:
        place = Place()
        jobs = [await place.job(letter, 3) for letter in "ab"]
        for files in jobs:
            await take(files, "0001", run=1, holder="dead", seconds=60, pages=(1, 2, 3))
        await asyncio.sleep(61)
        seen = await place.read_to_the_end(*(place.call(files) for files in jobs))
        return [inside.total() for inside in seen]

    assert in_virtual_time(0, live) == [1] * 6


def test_engine_that_is_lost_ends_the_process_and_names_a_lone_page() -> None:
    async def live() -> dict[int, int]:
        place = Place()
        files = await place.job("a", 1)
        call = place.call(files)
        await asyncio.sleep(SETTLED_SECONDS)
        place.engine.let_go(EngineLost("an illegal memory access was encountered"))
        with pytest.raises(EngineHangs):
            await call
        held = await take(files, "0001", run=1, holder="next", seconds=60, pages=(1,))
        assert held is not None
        return held.lease.deaths

    assert in_virtual_time(0, live) == {1: 1}


def test_page_that_hangs_is_seen_while_others_go_on() -> None:
    async def live() -> int:
        place = Place()
        files = await place.job("a", 200)
        call = place.call(files)
        hanging = 0
        while not call.done():
            await asyncio.sleep(SETTLED_SECONDS)
            for page in list(place.engine.inside)[1:]:
                del place.engine.inside[page]
                page.set_result(None)
            hanging = hanging or len(place.engine.inside)
        with pytest.raises(EngineHangs):
            call.result()
        return hanging

    assert in_virtual_time(0, live)


def test_hang_ends_the_process_though_the_record_is_torn_meanwhile() -> None:
    async def live() -> None:
        place = Place()
        files = await place.job("a", 2, batch_size=2)
        call = place.call(files)
        await asyncio.sleep(SETTLED_SECONDS)
        await place.store.write(files.path(layout.RECORD), b"torn")
        place.engine.let_go()  # a page to record, which fails; the other one hangs
        with pytest.raises(EngineHangs):
            await call

    in_virtual_time(0, live)


def test_pages_that_wait_for_a_slot_do_not_hang() -> None:
    async def live() -> int:
        place = Place()
        first, second = [await place.job(letter, 8, batch_size=8) for letter in "ab"]
        calls = place.call(first), place.call(second)
        for _ in range(16):
            await asyncio.sleep(20)  # the second job's pages wait for longer than a page may take
            place.engine.let_go()
        return sum([(await call).pages_processed for call in calls])

    assert in_virtual_time(0, live) == 16


def test_page_that_makes_progress_may_take_long() -> None:
    async def live() -> int:
        place = Place()
        call = place.call(await place.job("a", 1))
        for _ in range(5):
            await asyncio.sleep(50)  # a page may take 60 seconds without progress
            place.engine.taken[0].alive()
        place.engine.let_go()
        return (await call).pages_processed

    assert in_virtual_time(0, live) == 1


def test_page_waits_for_an_unavailable_engine_however_often_it_is_tried() -> None:
    async def live() -> Job:
        place = Place()
        files = await place.job("a", 1)
        for _ in range(10):
            await asyncio.sleep(5)  # the queue waits before it delivers again
            call = place.call(files)
            await asyncio.sleep(SETTLED_SECONDS)
            place.engine.let_go(EngineUnavailable("The server is away."))
            with pytest.raises(EngineUnavailable):
                await call
        await asyncio.sleep(5)
        await place.read_to_the_end(place.call(files))
        return await load(files)

    job = in_virtual_time(0, live)
    assert (job.ended, job.pages[1].engine, job.pages[1].error) == (True, "held", None)


def test_drained_worker_releases_all_its_batches_in_time() -> None:
    async def live() -> tuple[float, bool]:
        place = Place()
        files = await place.job("a", 40)
        call = place.call(files)
        await asyncio.sleep(SETTLED_SECONDS)
        began = asyncio.get_running_loop().time()
        place.worker.drain()
        await call
        took = asyncio.get_running_loop().time() - began
        names = ("0001", "0002")
        retaken = [await take(files, name, run=1, holder="next", seconds=60, pages=(1,)) for name in names]
        return took, all(held is not None and held.lease.attempt == 1 for held in retaken)

    took, given_back = in_virtual_time(0, live)
    assert took < 10
    assert given_back
