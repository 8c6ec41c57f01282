"""Claims of one job's batches by several chains."""

import pytest
from prometheus_client import CollectorRegistry

from libs.jobstate.commit import create, load
from libs.jobstate.lease import HeldLease
from libs.jobstate.neighbours import Seat
from libs.jobstate.recorder import Recorder
from libs.jobstate.timeslice import TimeSlice
from libs.jobstate.turns import Turns
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from libs.taskqueue.task import OcrTask
from services.worker.call import Call, Limits, WorkerContext
from services.worker.claim import claim
from services.worker.engines.registry import EngineRegistry
from services.worker.engines.select import BARE
from services.worker.metrics import WorkerMetrics
from tests.clock import StorageClock
from tests.jobs import extracted
from tests.tasks import KeptTasks

LEASE_SECONDS = 60.0
# Longer ago than `claim.FRESH`, shorter than a lease.
A_WHILE_SECONDS = 10.0


@pytest.fixture
def clock() -> StorageClock:
    return StorageClock()


@pytest.fixture
def files(clock: StorageClock) -> SessionFiles:
    return SessionFiles(store=MemoryStore(clock), user_hash="a" * 12, session_id="0" * 32)


@pytest.fixture
async def worker(files: SessionFiles) -> WorkerContext:
    """A worker, and a job of four batches for two chains."""
    await create(files, extracted(8, batch_size=2, parallelism=2))
    return WorkerContext(
        store=files.store,
        queue=KeptTasks(),
        engines=EngineRegistry("tests.scripted:create", BARE),
        fallback=None,
        limits=Limits(lease_seconds=LEASE_SECONDS, page_seconds=60, batch_seconds=60),
        metrics=WorkerMetrics(CollectorRegistry()),
    )


async def call(worker: WorkerContext, files: SessionFiles, chain: int) -> Call:
    return Call(
        worker=worker,
        task=OcrTask(session_id=files.session_id, user_email="", user_hash=files.user_hash, chain=chain),
        files=files,
        recorder=Recorder(files, await load(files)),
        engine=await worker.engines.engine(None),
        time_slice=TimeSlice(files, await files.store.now(), None),
        seat=Seat(Turns(0), files.user_hash, guest=False, waited=0.0, ends=lambda: False),
    )


async def claimed(worker: WorkerContext, files: SessionFiles, chain: int) -> HeldLease:
    held = await claim(await call(worker, files, chain))
    assert held is not None
    return held


async def test_each_chain_claims_its_own_stripe_first_and_then_the_rest(
    worker: WorkerContext, files: SessionFiles
) -> None:
    names = [(await claimed(worker, files, chain)).lease.name for chain in (0, 1, 0, 0)]
    assert names == ["0001", "0002", "0003", "0004"]
    assert await claim(await call(worker, files, 1)) is None, "all are held"


async def test_expired_lease_is_claimed_before_batches_that_were_never_begun(
    worker: WorkerContext, files: SessionFiles, clock: StorageClock
) -> None:
    await claimed(worker, files, 0)
    clock.wait(LEASE_SECONDS + 1)
    held = await claimed(worker, files, 0)
    assert (held.lease.name, held.lease.attempt) == ("0001", 2)


async def test_released_batch_is_claimed_soon_by_its_own_chain_alone(
    worker: WorkerContext, files: SessionFiles, clock: StorageClock
) -> None:
    held = [await claimed(worker, files, chain) for chain in (0, 1, 0, 1)]
    await held[0].release()
    clock.wait(A_WHILE_SECONDS)
    assert await claim(await call(worker, files, 1)) is None
    again = await claimed(worker, files, 0)
    assert (again.lease.name, again.lease.attempt) == ("0001", 1)


async def test_draining_worker_claims_nothing(worker: WorkerContext, files: SessionFiles) -> None:
    worker.draining.set()
    assert await claim(await call(worker, files, 0)) is None
