"""Damaged objects: what each contained is lost, and no job is blocked."""

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from libs.jobstate import active, intake, record
from libs.jobstate.commit import create, load
from libs.jobstate.evidence import (
    Leases,
    read_evidence,
    read_outcome,
    read_versioned,
    require_readable_outcome,
    save_outcome,
)
from libs.jobstate.lease import HeldLease, LeaseLost, take
from libs.jobstate.outcome import TornOutcome
from libs.jobstate.rebuild import load_or_rebuild
from libs.storage import layout
from libs.storage.session import SessionFiles
from libs.taskqueue.task import OcrTask
from services.web.metrics import WebMetrics
from services.web.sweeper import Sweeper
from services.web.upload.completion import Completion
from services.worker.batch import BatchWorker
from services.worker.call import CallStatus, Limits, WorkerContext
from services.worker.engines.registry import EngineRegistry
from services.worker.engines.select import BARE
from services.worker.metrics import WorkerMetrics
from tests.clock import StorageClock
from tests.jobs import INTAKE, extracted, outcome
from tests.tasks import KeptTasks
from tests.webhooks import webhooks

# msgspec recurses into what it skips, so the last one is another error than the others.
TORN = [b"", b"{", b"\xff", b"[]", b'{"a":' + b"[" * 100_000 + b"}"]
torn_anyhow = pytest.mark.parametrize("torn", TORN, ids=["empty", "cut off", "no text", "no object", "nested"])


async def claim(files: SessionFiles, holder: str) -> HeldLease | None:
    return await take(files, "0001", run=1, holder=holder, seconds=60, pages=(1, 2))


async def tear(files: SessionFiles, name: str, torn: bytes) -> None:
    await files.store.write(files.path(name), torn)


async def worked_on(files: SessionFiles) -> CallStatus:
    """The result of a worker with a scripted engine."""
    worker = BatchWorker(
        WorkerContext(
            store=files.store,
            queue=KeptTasks(),
            engines=EngineRegistry("tests.scripted:create", BARE),
            fallback=None,
            limits=Limits(lease_seconds=60, page_seconds=60, batch_seconds=60),
            metrics=WorkerMetrics(CollectorRegistry()),
        )
    )
    task = OcrTask(session_id=files.session_id, user_email="", user_hash=files.user_hash)
    return (await worker.process(task, "a task")).status


@torn_anyhow
async def test_torn_lease_may_be_held_and_is_free_once_it_would_have_expired(
    files: SessionFiles, clock: StorageClock, torn: bytes
) -> None:
    await tear(files, layout.LEASE.format("0001"), torn)
    assert await claim(files, "second") is None
    clock.wait(61)
    assert await claim(files, "second") is not None


async def test_holder_whose_lease_was_torn_stops_at_its_next_write(files: SessionFiles) -> None:
    lease = await claim(files, "first")
    assert lease is not None
    await tear(files, layout.LEASE.format("0001"), b"{")
    with pytest.raises(LeaseLost):
        await lease.renew()


@torn_anyhow
async def test_torn_outcome_is_none_to_a_worker_and_an_error_to_who_wants_to_see_it(
    files: SessionFiles, torn: bytes
) -> None:
    await tear(files, layout.PAGE_OUTCOME.format(1), torn)
    assert await read_outcome(files, 1) is None
    with pytest.raises(TornOutcome):
        await require_readable_outcome(files, 1)
    _, generation = await read_versioned(files, 1)
    await save_outcome(files, outcome(1, "again"), generation)
    found = await require_readable_outcome(files, 1)
    assert found is not None
    assert found.text == "again"


async def test_outcome_torn_while_its_page_was_read_is_written_over(files: SessionFiles) -> None:
    await tear(files, layout.PAGE_OUTCOME.format(1), b"{")
    assert (await save_outcome(files, outcome(1, "read"), 0)).text == "read"
    assert await read_outcome(files, 1) == outcome(1, "read")


@torn_anyhow
async def test_job_with_torn_lease_and_outcome_is_read_to_its_end(
    files: SessionFiles, clock: StorageClock, torn: bytes
) -> None:
    await create(files, extracted(2))
    for page_no in (1, 2):
        await files.save_page_image(page_no, b"image %d" % page_no)
    for name in (layout.LEASE.format("0001"), layout.LEASE.format("combine"), layout.PAGE_OUTCOME.format(2)):
        await tear(files, name, torn)
    leases = Leases(files)
    assert (await read_evidence(leases, await load(files), await leases.listed())).outcomes == {}
    clock.wait(61)
    assert await worked_on(files) is CallStatus.BATCH_PROCESSED
    assert (await load(files)).status == "completed"
    assert "failed" not in await files.read_text(layout.COMBINED)


@torn_anyhow
async def test_record_is_made_anew_beside_torn_evidence(files: SessionFiles, clock: StorageClock, torn: bytes) -> None:
    await files.store.write(files.path(layout.INTAKE), intake.encode(INTAKE))
    await take(files, "0002", run=3, holder="worker", seconds=60)
    for name in (layout.RECORD, layout.LEASE.format("0001"), layout.PAGE_OUTCOME.format(1)):
        await tear(files, name, torn)
    clock.wait(3600)
    assert (await load_or_rebuild(files)).run == 4


@torn_anyhow
async def test_job_whose_entry_in_the_index_is_torn_is_woken_and_so_are_all_others(
    files: SessionFiles, clock: StorageClock, torn: bytes
) -> None:
    await files.store.write(files.path(layout.RECORD), record.encode(extracted(1)))
    other = SessionFiles(store=files.store, user_hash="b" * 12, session_id="1" * 32)
    others = msgspec.structs.replace(extracted(1), job_id=other.session_id, session_id=other.session_id)
    await other.store.write(other.path(layout.RECORD), record.encode(others))
    await active.announce(other, 1)
    entry = layout.active_path(files.user_hash, files.session_id)
    await files.store.write(entry, torn)
    await files.store.write(f"{layout.TOMBSTONES}no/such/name", torn)
    clock.wait(3600)
    await tear(files, layout.LEASE.format("0001"), torn)  # it may be held: the task that is woken finds that out
    queue = KeptTasks()
    sweeper = _sweeper(files, queue)
    assert await sweeper.sweep() == 2
    assert {task.session_id for task in queue.tasks.values()} == {files.session_id, other.session_id}
    # The object is whole again, and the next waking has a task of its own.
    clock.wait(3600)
    await sweeper.sweep()
    assert len([task for task in queue.tasks.values() if task.session_id == files.session_id]) == 2


async def test_torn_entry_does_not_use_the_names_of_wakings_before_it(files: SessionFiles, clock: StorageClock) -> None:
    await files.store.write(files.path(layout.RECORD), record.encode(extracted(1)))
    await active.announce(files, 1)
    queue = KeptTasks()
    sweeper = _sweeper(files, queue)
    await sweeper.sweep()
    await files.store.write(layout.active_path(files.user_hash, files.session_id), b"{")
    await sweeper.sweep()
    assert len(queue.tasks) == 2


def _sweeper(files: SessionFiles, queue: KeptTasks) -> Sweeper:
    completion = Completion(store=files.store, queue=queue, metrics=WebMetrics(CollectorRegistry()), lease_seconds=60)
    return Sweeper(
        store=files.store,
        queue=queue,
        completion=completion,
        webhooks=webhooks(files.store, queue),
        every_seconds=30,
        lease_seconds=60,
    )
