"""Pages that a retry reads again: the record's transitions, and the readings that are kept."""

import asyncio

import msgspec
import pytest

from libs.jobstate import outcome as wire
from libs.jobstate import record
from libs.jobstate.evidence import derive_text, read_outcome, read_reading, save_outcome
from libs.jobstate.intake import OcrMode, PageOptions
from libs.jobstate.job import Job, RetryRefused
from libs.jobstate.outcome import Again, BriefOutcome, OutcomeStatus, PageOutcome
from libs.jobstate.page import PageStatus, Reread
from libs.jobstate.rebuild import rebuilt
from libs.jobstate.status import JobStatus, Step
from libs.storage import layout
from libs.storage.errors import PreconditionFailed
from libs.storage.session import SessionFiles
from tests.jobs import INTAKE, START, extracted, opened, outcome, read

OTHER = PageOptions(engine="other")


def ended(pages: int, *, failed: int = 0) -> Job:
    """Read by `first`, the page `failed` could not be read."""
    outcomes = {n: read(failed=n == failed) for n in range(1, pages + 1)}
    outcomes = {n: msgspec.structs.replace(brief, engine="first") for n, brief in outcomes.items()}
    return extracted(pages).settled(outcomes, START).combining(START).end(START)


def kept(run: int, error: str = "Too faint.") -> BriefOutcome:
    """A page that `run` could not read again."""
    return msgspec.structs.replace(read(run), engine="first", read_in=1, retry_error=error)


def test_a_page_keeps_its_reading_until_it_is_read_again() -> None:
    job = ended(2).retry([2], START, options=OTHER)
    page = job.pages[2]
    assert (page.status, page.run, page.result_file, page.engine) == (
        PageStatus.PENDING, 2, "page_002_result.txt", "first",
    )  # fmt: skip
    assert page.reread == Reread(engine="other", read_in=1)
    assert job.pages[1] == ended(2).pages[1]

    job = job.started({2: START}, START).settled({2: msgspec.structs.replace(read(2), engine="other")}, START)
    page = job.pages[2]
    assert (page.status, page.run, page.engine) == (PageStatus.COMPLETED, 2, "other")
    assert page.reread == Reread(engine="other"), "what was asked for is still known"


def test_a_page_that_cannot_be_read_again_keeps_its_reading_and_shows_why() -> None:
    job = ended(2).retry([2], START, options=OTHER).settled({2: kept(2)}, START).combining(START).end(START)
    page = job.pages[2]
    assert (page.status, page.run, page.engine, page.error) == (PageStatus.COMPLETED, 2, "first", None)
    assert page.reread == Reread(engine="other", read_in=1, error="Too faint.")
    assert (job.status, job.error) == (JobStatus.COMPLETED, None)
    assert job.message == "Read 2 pages. 1 page could not be read again: the earlier reading is kept."
    third = job.retry([2], START).pages[2]
    assert third.reread == Reread(read_in=1), "the reading that is kept is still that of the first run"
    assert ended(2).message == "Read 2 pages."


def test_a_page_that_failed_is_read_again_without_a_trace_of_its_failure() -> None:
    job = ended(2, failed=2).retry(None, START, options=OTHER)
    page = job.pages[2]
    assert (page.status, page.error, page.engine, page.result_file) == (PageStatus.PENDING, None, None, None)
    assert page.reread == Reread(engine="other")


def test_options_of_a_retry_hold_for_the_pages_that_it_names_and_for_one_run() -> None:
    job = ended(3).retry([1], START, options=PageOptions(engine="other", ocr=OcrMode.TEXT))
    assert (job.options_of(1).engine, job.options_of(1).ocr) == ("other", OcrMode.TEXT)
    assert job.options_of(2) == job.options
    job = job.settled({1: read(2)}, START).combining(START).end(START).retry([1, 2], START)
    assert [job.options_of(n) for n in (1, 2)] == [job.options, job.options]


def test_what_a_cancelled_retry_has_asked_for_holds_until_the_page_is_read() -> None:
    cancelled = ended(3).retry([1, 2], START, options=OTHER).cancel(START)
    again = cancelled.retry([2, 3], START)
    assert [again.options_of(n).engine for n in (1, 2, 3)] == ["other", None, None]
    assert [again.pages[n].run for n in (1, 2, 3)] == [3, 3, 3]
    assert again.pages[1].reread == Reread(engine="other", read_in=1)
    all_left = cancelled.retry(None, START, options=PageOptions(engine="third"))
    assert [all_left.options_of(n).engine for n in (1, 2, 3)] == ["third", "third", None]


def test_a_resolution_of_its_own_needs_an_image_of_its_own() -> None:
    job = ended(2).retry([2], START, options=PageOptions(dpi=300))
    assert (job.status, job.extraction_complete, job.current_step) == (JobStatus.QUEUED, False, Step.QUEUED)
    assert job.pages[2].image == "page_002.png", "the old image stays while the new one is missing"
    assert not job.pages[2].drawn
    assert job.rendered({2: START}, START) == job, (
        "a late image of the old resolution is not the one that is waited for"
    )
    assert not job.extracted(START).extraction_complete

    job = job.rendered({2: START}, START, dpi=300)
    assert (job.status, job.current_step, job.message) == (
        JobStatus.EXTRACTING, Step.EXTRACTING_IMAGES, "Saving page 2 of 2...",
    )  # fmt: skip
    job = job.extracted(START)
    assert (job.pages[2].image, job.extraction_complete) == ("page_002_300dpi.png", True)
    assert (job.status, job.current_step) == (JobStatus.PROCESSING, Step.OCR_PROCESSING)
    job = job.settled({2: read(2)}, START).combining(START).end(START)
    back = job.retry([2], START)
    assert (back.pages[2].image, back.pages[2].drawn) == ("page_002_300dpi.png", False)
    assert back.rendered({2: START}, START).pages[2].image == "page_002.png"


def test_the_resolution_of_the_job_or_of_a_picture_needs_no_new_image() -> None:
    for job in (
        ended(1),
        msgspec.structs.replace(ended(1), file_info=msgspec.structs.replace(INTAKE.file_info, file_type="png")),
    ):
        dpi = job.options.dpi if job.file_info.file_type == "pdf" else 300
        again = job.retry([1], START, options=PageOptions(dpi=dpi))
        assert again.extraction_complete
        assert again.pages[1].options.dpi is None


def test_options_need_pages_that_are_known() -> None:
    cancelled = opened().cancel(START)
    with pytest.raises(RetryRefused, match="has not been opened"):
        cancelled.retry(None, START, options=OTHER)
    assert cancelled.retry(None, START).status is JobStatus.QUEUED


def test_a_plan_made_anew_reads_again_what_a_retry_has_marked() -> None:
    marked = Again(run=2, options=PageOptions(engine="other", dpi=300))
    found = {
        1: outcome(1, "One").brief(),
        2: msgspec.structs.replace(outcome(2, "Two"), again=marked).brief(),
        3: PageOutcome(page_no=3, run=2, status=OutcomeStatus.PENDING, again=marked).brief(),
    }
    job = rebuilt(INTAKE, 2, START).plan([1, 2, 3], total_pages=3, batch_size=3, parallelism=1, at=START, found=found)
    assert [page.status for page in job.pages.values()] == [
        PageStatus.COMPLETED, PageStatus.PENDING, PageStatus.PENDING,
    ]  # fmt: skip
    assert [page.run for page in job.pages.values()] == [1, 3, 3]
    assert [job.options_of(n).engine for n in (1, 2, 3)] == [None, "other", "other"]
    assert job.pages[2].reread == Reread(engine="other", dpi=300, read_in=1)


def test_records_and_outcomes_from_before_are_read() -> None:
    stored = msgspec.json.decode(record.encode(extracted(1)))
    del stored["pages"]["1"]["reread"]
    assert record.decode(msgspec.json.encode(stored)) == extracted(1)
    old = msgspec.json.decode(wire.encode(outcome(1, "One")))
    for name in ("dpi", "read_in", "readings", "again"):
        del old[name]
    assert wire.decode(msgspec.json.encode(old)) == outcome(1, "One")


async def save(files: SessionFiles, new: PageOutcome) -> PageOutcome:
    """As a worker does that has seen what is stored."""
    try:
        generation = (await files.store.stat(files.page_outcome_path(1))).generation
    except Exception:
        generation = 0
    return await save_outcome(files, new, generation)


async def test_readings_that_are_replaced_stay_and_the_last_good_one_is_the_result(files: SessionFiles) -> None:
    await save(files, msgspec.structs.replace(outcome(1, "first"), engine="a"))
    await save(files, msgspec.structs.replace(outcome(1, "second", run=2), engine="b"))
    stored = await save(files, msgspec.structs.replace(outcome(1, run=3, error="Too faint."), engine="c"))

    assert (stored.text, stored.run, stored.reading_run, stored.retry_error) == ("second", 3, 2, "Too faint.")
    assert stored == await read_outcome(files, 1)
    assert [(r.run, r.status.value, r.engine) for r in stored.history] == [
        (1, "completed", "a"), (2, "completed", "b"), (3, "failed", "c"),
    ]  # fmt: skip
    assert await files.read_text(layout.PAGE_RESULT.format(1)) == "second"
    brief = stored.brief()
    assert (brief.status, brief.run, brief.read_in, brief.retry_error) == (OutcomeStatus.COMPLETED, 3, 2, "Too faint.")

    fourth = await save(files, outcome(1, "fourth", run=4))
    assert (fourth.retry_error, [r.run for r in fourth.history]) == (None, [1, 2, 3, 4])
    texts = {run: await read_reading(files, fourth, run) for run in range(6)}
    assert {run: found and (found.text, found.error, found.run) for run, found in texts.items()} == {
        0: None,
        1: ("first", None, 1),
        2: ("second", None, 2),
        3: ("", "Too faint.", 3),
        4: ("fourth", None, 4),
        5: None,
    }


async def test_a_failure_is_replaced_and_stays_in_the_list(files: SessionFiles) -> None:
    await save(files, outcome(1, error="Torn."))
    again = await save(files, outcome(1, run=2, error="Torn again."))
    assert (again.status, again.error, again.reading_run) == (OutcomeStatus.FAILED, "Torn again.", 2)
    stored = await save(files, outcome(1, "third", run=3))
    assert (stored.text, [r.error for r in stored.history]) == ("third", ["Torn.", "Torn again.", None])


async def test_a_late_writer_of_the_run_before_a_retry_is_refused_and_the_mark_stays(files: SessionFiles) -> None:
    path = files.page_outcome_path(1)
    marked = msgspec.structs.replace(outcome(1, "first"), again=Again(run=3, options=OTHER))
    await files.store.write(path, wire.encode(marked))
    with pytest.raises(PreconditionFailed):
        await save_outcome(files, outcome(1, "late", run=2), 0)
    assert wire.decode((await files.store.read(path)).data) == marked
    stored = await save(files, outcome(1, "third", run=3))
    assert (stored.text, stored.again, [r.run for r in stored.history]) == ("third", None, [1, 3])


async def test_a_writer_that_dies_between_the_two_writes_loses_no_reading(files: SessionFiles) -> None:
    await save(files, outcome(1, "first"))
    # It has kept the earlier reading and died; the next holder reads the page anew.
    await files.store.write(files.page_reading_path(1, 1), wire.encode(outcome(1, "first")))
    stored = await save(files, outcome(1, "second", run=2))
    first = await read_reading(files, stored, 1)
    assert first is not None
    assert (first.text, stored.text) == ("first", "second")


async def test_the_text_file_is_that_of_the_last_reading_whoever_writes_last(files: SessionFiles) -> None:
    old, new = outcome(1, "old"), outcome(1, "new", run=2)
    await save(files, old)
    await save(files, new)
    for _ in range(20):
        await files.store.delete(files.page_result_path(1))
        await asyncio.gather(*(derive_text(files, one) for one in (old, new, old, new)))
        assert await files.read_text(layout.PAGE_RESULT.format(1)) == "new"


def test_names_of_the_service_are_none_of_an_upload() -> None:
    for name in ("page_001_300dpi.png", "page_001_run_2.json", "Page_001_RUN_2.json"):
        assert layout.upload_name(name) == f"upload_{name}"
    assert layout.upload_name("page_one_300dpi.png") == "page_one_300dpi.png"
    assert layout.reserve_share("users/a/b/page_001_run_2.json") == 0.0
    assert layout.reserve_share("users/a/b/page_001_300dpi.png") == 0.5
