"""The record under compare-and-set, and the evidence behind it."""

import asyncio
from datetime import timedelta

import pytest

from libs.jobstate import outcome as wire
from libs.jobstate.commit import Change, commit, create, load
from libs.jobstate.ending import section, settle
from libs.jobstate.evidence import Leases, derive_text, read_evidence, read_outcome, save_outcome
from libs.jobstate.lease import take
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.jobstate.recorder import Recorder, interval
from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed, TooFast
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from tests.jobs import START, extracted, outcome, read


def settled(page_no: int) -> Change:
    return lambda job: job.settled({page_no: read()}, START)


async def test_commits_of_many_writers_lose_nothing(files: SessionFiles) -> None:
    await create(files, extracted(20))
    await asyncio.gather(*(commit(files, settled(n)) for n in range(1, 21)))
    job = await load(files)
    assert job.fulfilled
    assert job.revision == 20


async def test_commit_that_changes_nothing_writes_nothing(files: SessionFiles) -> None:
    await create(files, extracted(1))
    before = await files.store.stat(files.path(layout.RECORD))
    await commit(files, lambda job: job.extracted(START))
    assert await files.store.stat(files.path(layout.RECORD)) == before


async def test_commit_whose_answer_was_lost_is_not_applied_twice() -> None:
    class LosesAnswers(MemoryStore):
        """Every write of the record is done, and then reported as a conflict."""

        async def write(self, path, data, *, if_generation=None):  # type: ignore[no-untyped-def]
            generation = await super().write(path, data, if_generation=if_generation)
            if path.endswith(layout.RECORD) and if_generation:
                raise PreconditionFailed(path)
            return generation

    files = SessionFiles(store=LosesAnswers(), user_hash="a" * 12, session_id="0" * 32)
    await create(files, extracted(2))
    job = await commit(files, lambda job: job.settled({1: read()}, START))
    assert job.revision == 1


async def test_commit_waits_when_the_store_says_too_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneASecond(MemoryStore):
        """Refuses the first write of the record."""

        refused = 0

        async def write(self, path, data, *, if_generation=None):  # type: ignore[no-untyped-def]
            if path.endswith(layout.RECORD) and if_generation and not self.refused:
                self.refused += 1
                raise TooFast(path)
            return await super().write(path, data, if_generation=if_generation)

    monkeypatch.setattr("libs.storage.pace.PAUSE_SECONDS", 0.0)
    store = OneASecond()
    files = SessionFiles(store=store, user_hash="a" * 12, session_id="0" * 32)
    await create(files, extracted(1))
    assert (await commit(files, lambda job: job.settled({1: read()}, START))).fulfilled
    assert store.refused == 1


async def test_first_outcome_of_a_page_stands(files: SessionFiles) -> None:
    await save_outcome(files, outcome(1, "first"), 0)
    stored = await save_outcome(files, outcome(1, "second"), 0)
    assert stored.text == "first"
    assert await files.read_text(layout.PAGE_RESULT.format(1)) == "first"


async def test_late_outcome_of_an_abandoned_run_is_refused(files: SessionFiles) -> None:
    marker = PageOutcome(page_no=1, run=2, status=OutcomeStatus.PENDING)
    path = files.path(layout.PAGE_OUTCOME.format(1))
    generation = await files.store.write(path, wire.encode(marker))
    with pytest.raises(PreconditionFailed):
        await save_outcome(files, outcome(1, "late"), 0)
    assert await read_outcome(files, 1) is None
    assert (await save_outcome(files, outcome(1, "new", run=2), generation)).text == "new"


async def test_text_that_a_sleeper_of_an_earlier_run_left_is_replaced(files: SessionFiles) -> None:
    old, new = outcome(1, "old"), outcome(1, "new", run=2)
    await save_outcome(files, old, 0)
    await save_outcome(files, new, 0)
    assert await files.read_text(layout.PAGE_RESULT.format(1)) == "new"
    await derive_text(files, old)
    assert await files.read_text(layout.PAGE_RESULT.format(1)) == "new", "the sleeper woke and put its own text there"


async def test_text_that_is_missing_is_derived_from_the_outcome_that_stands(files: SessionFiles) -> None:
    await save_outcome(files, outcome(1, "One"), 0)
    await files.store.delete(files.path(layout.PAGE_RESULT.format(1)))
    await save_outcome(files, outcome(1, "another reading"), 0)
    assert await files.read_text(layout.PAGE_RESULT.format(1)) == "One"


async def test_one_commit_serves_every_worker_that_finished_before_it(files: SessionFiles) -> None:
    job = await create(files, extracted(6, batch_size=2))
    for name, pages in (("0001", (1, 2)), ("0002", (3, 4))):
        lease = await take(files, name, run=1, holder=name, seconds=60, pages=pages)
        assert lease is not None
        if name == "0001":
            await lease.finish({n: read() for n in pages})
    async with Recorder(files, job) as recorder:
        recorder.note_outcome(5, read())
        job = await recorder.flush()
    assert [page.status for page in job.pages.values()] == [
        "completed", "completed", "processing", "processing", "completed", "pending",
    ]  # fmt: skip


async def test_evidence_of_another_run_does_not_count(files: SessionFiles) -> None:
    job = await create(files, extracted(2, batch_size=2))
    lease = await take(files, "0001", run=7, holder="old", seconds=60, pages=(1, 2))
    assert lease is not None
    await lease.finish({1: read(7), 2: read(7)})
    leases = Leases(files)
    assert (await read_evidence(leases, job, await leases.listed())).outcomes == {}


async def test_end_combines_in_page_order_and_retires_the_job(files: SessionFiles) -> None:
    await create(files, extracted(4))
    await files.store.write(layout.active_path(files.user_hash, files.session_id), b"{}")
    for result in (outcome(2, error="Torn -->\n<b>"), outcome(1, "One\n\n"), outcome(4, "Four")):
        await save_outcome(files, result, 0)
    blank = PageOutcome(page_no=3, run=1, status=OutcomeStatus.COMPLETED, blank=True)
    await save_outcome(files, blank, 0)
    assert not (await settle(files, holder="w", lease_seconds=60)).ended, "no batch has reported yet"
    failed = read(failed=True)
    await commit(files, lambda job: job.settled({1: read(), 2: failed, 3: read(), 4: read()}, START))
    job = await settle(files, holder="w", lease_seconds=60)
    assert job.status == "partial"
    assert await files.read_text(layout.COMBINED) == (
        "<!-- page 1 -->\nOne\n\n<!-- page 2 failed: Torn - -> <b> -->\n\n<!-- page 3 blank -->\n\n"
        "<!-- page 4 -->\nFour\n"
    )
    with pytest.raises(NotFound):
        await files.store.stat(layout.active_path(files.user_hash, files.session_id))
    assert await settle(files, holder="x", lease_seconds=60) == job, "a second end changes nothing"


async def test_only_one_combines(files: SessionFiles) -> None:
    await create(files, extracted(1).settled({1: read()}, START))
    await save_outcome(files, outcome(1, "One"), 0)
    found = await asyncio.gather(*(settle(files, holder=f"w{n}", lease_seconds=60) for n in range(8)))
    assert any(job.ended for job in found)
    job = await load(files)
    assert (job.status, job.revision) == ("completed", 1)


def test_reason_cannot_leave_its_comment() -> None:
    assert section(1, outcome(1, error="a --> b\n-->")).count("-->") == 1


@pytest.mark.parametrize(
    ("elapsed", "pages", "seconds"),
    [(0, 1, 1), (49, 1, 1), (500, 1, 10), (90_000, 1, 30), (0, 6000, 20), (90_000, 5000, 100)],
)
def test_commits_grow_rarer_as_the_job_grows_older_and_longer(elapsed: int, pages: int, seconds: float) -> None:
    assert interval(timedelta(seconds=elapsed), pages) == seconds
