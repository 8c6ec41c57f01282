"""A lost or torn record is rebuilt from the evidence."""

import pytest

from libs.jobstate import cancellation
from libs.jobstate import intake as intakes
from libs.jobstate.commit import create, load
from libs.jobstate.evidence import save_outcome
from libs.jobstate.job import Job
from libs.jobstate.lease import take
from libs.jobstate.page import PageStatus
from libs.jobstate.rebuild import load_or_rebuild
from libs.jobstate.status import JobStatus
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from tests.jobs import INTAKE, START, outcome


class Clock:
    """Counts on by the hour."""

    def __init__(self) -> None:
        self.hours = 0

    def __call__(self):  # type: ignore[no-untyped-def]
        self.hours += 1
        return START.replace(day=1 + self.hours // 24, hour=self.hours % 24)


@pytest.fixture
async def files() -> SessionFiles:
    files = SessionFiles(store=MemoryStore(Clock()), user_hash="a" * 12, session_id="0" * 32)
    await files.store.write(files.path(layout.INTAKE), intakes.encode(INTAKE))
    await create(files, Job.opened(INTAKE))
    return files


async def test_whole_record_is_left_as_it_is(files: SessionFiles) -> None:
    assert await load_or_rebuild(files) == Job.opened(INTAKE)


@pytest.mark.parametrize("lost", [True, False])
async def test_lost_or_torn_record_is_made_anew_in_a_run_after_all_that_left_evidence(
    files: SessionFiles, lost: bool
) -> None:
    await take(files, "0001", run=2, holder="worker", seconds=60, pages=(1, 2))
    await save_outcome(files, outcome(1, "read", run=1), 0)
    path = files.path(layout.RECORD)
    await (files.store.delete(path) if lost else files.store.write(path, b'{"job_id": "00'))
    job = await load_or_rebuild(files)
    assert (job.run, job.rebuilt, job.file_info.filename) == (3, True, "a.pdf")
    assert await load(files) == job
    assert [stat.path async for stat in files.store.list(layout.ACTIVE)], "the sweep has to find the job"


async def test_plan_of_a_rebuilt_record_takes_over_the_outcomes_it_finds(files: SessionFiles) -> None:
    await save_outcome(files, outcome(1, "read", run=1), 0)
    await files.store.delete(files.path(layout.RECORD))
    found = {1: outcome(1, "read", run=1).brief()}
    job = (await load_or_rebuild(files)).plan([1, 2], total_pages=2, batch_size=2, parallelism=1, at=START, found=found)
    assert [page.status for page in job.pages.values()] == [PageStatus.COMPLETED, PageStatus.PENDING]
    assert [page.run for page in job.pages.values()] == [1, 2]


async def test_deleted_job_is_not_made_anew(files: SessionFiles) -> None:
    await files.store.write(layout.tombstone_path(files.user_hash, files.session_id), b"{}")
    await files.store.delete(files.path(layout.RECORD))
    with pytest.raises(NotFound):
        await load_or_rebuild(files)


async def test_a_job_that_was_cancelled_stays_so_when_its_record_is_made_anew(files: SessionFiles) -> None:
    await take(files, "0001", run=1, holder="worker", seconds=60, pages=(1, 2))
    await cancellation.note(files, 1)
    await files.store.delete(files.path(layout.RECORD))
    job = await load_or_rebuild(files)
    assert (job.status, job.run, job.rebuilt) == (JobStatus.CANCELLED, 2, True)
    again = job.retry(None, START)
    assert (again.status, again.run, again.rebuilt) == (JobStatus.QUEUED, 3, True), "its owner can go on with it"


@pytest.mark.parametrize("torn", [True, False])
async def test_a_run_after_the_cancelled_one_goes_on_when_its_record_is_made_anew(
    files: SessionFiles, torn: bool
) -> None:
    await cancellation.note(files, 1)
    if torn:
        await files.store.write(files.path(layout.CANCELLED), b'{"ru')
    else:
        await take(files, "0001", run=2, holder="worker", seconds=60, pages=(1, 2))
    await files.store.delete(files.path(layout.RECORD))
    assert (await load_or_rebuild(files)).status is JobStatus.QUEUED
