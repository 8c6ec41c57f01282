"""The life of a job: what no sequence of events may do, and what each event does."""

from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from libs.jobstate import plan, record
from libs.jobstate.job import REPAIRED, Job, RetryRefused
from libs.jobstate.page import JobTrust, Page, PageStatus
from libs.jobstate.status import JobStatus, Step
from tests.jobs import START, extracted, opened, planned, read


def outcome_of(page: Page) -> Page:
    """The page but for its image, which may become known later."""
    return msgspec.structs.replace(page, image=None, image_extracted_at=None)


class JobLife(RuleBasedStateMachine):
    """Any events in any order, as racing and repeated workers bring them."""

    pages = st.integers(1, 7)

    @initialize(total=st.integers(1, 7), size=st.integers(1, 4))
    def begin(self, total: int, size: int) -> None:
        self.total, self.size = total, size
        self.job = opened()
        self.now = START
        self.before = self.job

    def change(self, job: Job) -> None:
        self.before, self.job = self.job, job

    def later(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now

    @rule()
    def load(self) -> None:
        self.change(self.job.load(self.later()))

    @rule()
    def plan(self) -> None:
        self.change(
            self.job.plan(
                range(1, self.total + 1), total_pages=self.total, batch_size=self.size, parallelism=2, at=self.later()
            )
        )

    @rule(pages=st.sets(pages))
    def render(self, pages: set[int]) -> None:
        self.change(self.job.rendered(dict.fromkeys(pages, self.now), self.later()))

    @rule(pages=st.sets(pages))
    def start(self, pages: set[int]) -> None:
        self.change(self.job.started(dict.fromkeys(pages, self.now), self.later()))

    @rule(pages=st.sets(pages), failed=st.booleans(), age=st.integers(0, 1))
    def settle(self, pages: set[int], failed: bool, age: int) -> None:
        outcome = read(self.job.run - age, failed=failed)
        self.change(self.job.settled(dict.fromkeys(pages, outcome), self.later()))

    @precondition(lambda self: all(page.image or page.ended for page in self.job.pages.values()))
    @rule()
    def finish_extraction(self) -> None:
        self.change(self.job.extracted(self.later()))

    @rule()
    def refuse(self) -> None:
        self.change(self.job.extraction_failed("It is encrypted.", self.later()))

    @rule()
    def combine(self) -> None:
        self.change(self.job.combining(self.later()))

    @rule()
    def end(self) -> None:
        self.change(self.job.end(self.later()))

    @rule()
    def cancel(self) -> None:
        self.change(self.job.cancel(self.later()))

    @rule(pages=st.none() | st.sets(pages))
    def retry(self, pages: set[int] | None) -> None:
        try:
            self.change(self.job.retry(pages, self.later()))
        except RetryRefused:
            self.before = self.job

    @rule()
    def store(self) -> None:
        assert record.decode(record.encode(self.job)) == self.job

    @invariant()
    def nothing_goes_back_within_a_run(self) -> None:
        if not hasattr(self, "job"):
            return
        before, now = self.before, self.job
        assert now.run in (before.run, before.run + 1)
        assert not before.planned or set(now.pages) == set(before.pages), "a page was lost"
        assert now.updated_at >= before.updated_at
        if now.run != before.run:
            return
        assert now.percent >= before.percent
        for number, page in before.pages.items():
            if page.ended:
                assert outcome_of(now.pages[number]) == outcome_of(page), "an outcome changed"
            if page.image is not None:
                assert now.pages[number].image == page.image
        if before.ended:
            assert now == before, "a job that ended went on"
        if before.extraction_complete:
            assert now.extraction_complete

    @invariant()
    def the_end_says_what_happened(self) -> None:
        if not hasattr(self, "job") or not self.job.planned:
            return
        failed, total = self.job.count(PageStatus.FAILED), len(self.job.pages)
        read_pages = self.job.count(PageStatus.COMPLETED)
        match self.job.status:
            case JobStatus.COMPLETED:
                assert read_pages == total
                assert self.job.percent == 100
            case JobStatus.PARTIAL:
                assert failed and read_pages and failed + read_pages == total
            case JobStatus.FAILED:
                assert failed == total and self.job.error


TestJobLife = JobLife.TestCase


def test_percent_and_message_follow_the_work() -> None:
    job = opened()
    story = [(job.status, job.percent, job.message)]
    job = job.load(START)
    story.append((job.status, job.percent, job.message))
    job = planned(10)
    story.append((job.status, job.percent, job.message))
    job = job.rendered(dict.fromkeys((1, 2), START), START)
    story.append((job.status, job.percent, job.message))
    job = job.rendered(dict.fromkeys(range(1, 11), START), START).extracted(START)
    story.append((job.status, job.percent, job.message))
    job = job.started(dict.fromkeys((1, 2, 3), START), START).settled(dict.fromkeys((1, 2, 3), read()), START)
    story.append((job.status, job.percent, job.message))
    job = job.started({4: START}, START)
    story.append((job.status, job.percent, job.message))
    job = job.settled(dict.fromkeys(range(4, 11), read()), START)
    story.append((job.status, job.percent, job.message))
    job = job.combining(START)
    story.append((job.status, job.percent, job.message))
    job = job.end(START)
    story.append((job.status, job.percent, job.message))
    assert story == [
        ("queued", 0, "Waiting to start..."),
        ("extracting", 5, "Loading the document..."),
        ("extracting", 10, "Saving page 1 of 10..."),
        ("extracting", 16, "Saving page 3 of 10..."),
        ("processing", 40, "Extracted 10 pages, ready for OCR"),
        ("processing", 55, "Completed page 3 of 10"),
        ("processing", 55, "Processing page 4 of 10..."),
        ("processing", 90, "Completed page 10 of 10"),
        ("processing", 95, "Combining the pages..."),
        ("completed", 100, "Read 10 pages."),
    ]


def test_pages_read_while_others_are_rendered_do_not_move_the_step() -> None:
    job = planned(4).rendered({1: START, 2: START}, START).started({1: START}, START)
    assert (job.status, job.current_step) == (JobStatus.EXTRACTING, Step.EXTRACTING_IMAGES)
    job = job.settled({1: read()}, START).rendered({3: START, 4: START}, START).extracted(START)
    assert (job.status, job.current_step, job.percent) == (JobStatus.PROCESSING, Step.OCR_PROCESSING, 52)


def test_document_without_pages_fails_with_its_reason() -> None:
    job = opened().load(START).extraction_failed("It is encrypted.", START, code="encrypted")
    assert job.error_code == "encrypted"
    assert job.retry(None, START).error_code is None
    assert (job.status, job.current_step, job.error, job.message) == (
        JobStatus.FAILED,
        Step.EXTRACTION_FAILED,
        "It is encrypted.",
        "It is encrypted.",
    )


def test_job_whose_pages_all_failed_to_render_says_extraction_failed() -> None:
    outcomes = dict.fromkeys((1, 2), read(failed=True))
    job = planned(2).settled(outcomes, START).extracted(START).combining(START).end(START)
    assert (job.status, job.current_step) == (JobStatus.FAILED, Step.EXTRACTION_FAILED)
    assert job.error == "No page could be read. It is torn."


def test_retry_reads_failed_pages_in_a_new_run_and_leaves_the_others() -> None:
    outcomes = {1: read(), 2: read(failed=True), 3: read()}
    job = extracted(3).settled(outcomes, START).combining(START).end(START)
    assert job.status is JobStatus.PARTIAL
    again = job.retry(None, START)
    assert (again.run, again.status, again.percent) == (2, JobStatus.PROCESSING, 73)
    assert [page.status for page in again.pages.values()] == ["completed", "pending", "completed"]
    late = again.settled({2: read(run=1)}, START)
    assert late == again, "an outcome of the old run counted in the new one"
    assert again.settled({2: read(run=2)}, START).fulfilled


def test_retry_of_named_pages_also_takes_along_what_a_cancellation_left_open() -> None:
    job = extracted(3).settled({1: read()}, START).cancel(START).retry([1], START)
    assert [page.run for page in job.pages.values()] == [2, 2, 2]
    assert job.settled({2: read(run=1)}, START) == job, "a worker that still reads for the old run is late"


def test_retry_keeps_outcomes_that_the_record_of_a_cancelled_job_never_showed() -> None:
    cancelled = extracted(3).cancel(START)
    job = cancelled.retry(None, START, found={1: read(), 2: read(failed=True)})
    assert [(page.run, page.status) for page in job.pages.values()] == [
        (1, "completed"),
        (2, "pending"),
        (2, "pending"),
    ]
    whole = cancelled.retry(None, START, found=dict.fromkeys((1, 2, 3), read()))
    assert (whole.run, whole.fulfilled, whole.ended) == (2, True, False), "only the combining is left"


@pytest.mark.parametrize(
    ("job", "pages", "fault"),
    [
        (extracted(2), None, "still running"),
        (extracted(1).settled({1: read()}, START).combining(START).end(START), None, "No page failed"),
        (extracted(1).settled({1: read()}, START).combining(START).end(START), [7], "Page 7 is not one"),
    ],
)
def test_retry_that_makes_no_sense_is_refused_with_a_reason(job: Job, pages: list[int] | None, fault: str) -> None:
    with pytest.raises(RetryRefused, match=fault):
        job.retry(pages, START)


def test_current_page_is_the_first_in_hand() -> None:
    job = extracted(5).settled({1: read()}, START)
    assert job.current_page == 1
    assert job.started({3: START, 4: START}, START).current_page == 3


@given(st.integers(1, 400), st.integers(1, 30), st.integers(1, 40), st.integers(0, 40))
def test_batches_partition_the_plan_and_every_chain_sees_them_all(
    pages: int, most: int, parallelism: int, chain: int
) -> None:
    size = plan.size(pages, most=most, parallelism=parallelism)
    assert 1 <= size <= most
    job = extracted(pages, batch_size=size, parallelism=parallelism)
    found = list(plan.batches(job))
    assert [n for b in found for n in b.pages] == list(range(1, pages + 1))
    assert [b.number for b in found] == list(range(1, plan.count(job) + 1))
    order = plan.striped(job, chain)
    assert sorted(b.number for b in order) == [b.number for b in found]
    if pages >= parallelism:
        assert plan.chains(job) == parallelism or size == most or plan.count(job) >= parallelism / 2


def test_chains_that_start_together_try_different_batches_first() -> None:
    job = extracted(12, batch_size=2, parallelism=3)
    assert [plan.striped(job, chain)[0].number for chain in range(3)] == [1, 2, 3]


def test_batch_waits_until_its_last_page_is_rendered() -> None:
    job = planned(4, batch_size=2).rendered({1: START, 2: START, 3: START}, START)
    assert [b.number for b in plan.striped(job, 0)] == [1]
    assert [b.number for b in plan.striped(job.rendered({4: START}, START), 0)] == [1, 2]


@pytest.mark.parametrize(("repaired", "warnings"), [(True, (REPAIRED,)), (False, ())])
def test_job_of_a_damaged_document_says_so_until_its_end(repaired: bool, warnings: tuple[str, ...]) -> None:
    job = opened().plan([1], total_pages=1, batch_size=1, parallelism=1, at=START, repaired=repaired)
    job = job.settled({1: read(1)}, START).extracted(START).combining(START).end(START)
    job = record.decode(record.encode(job))
    assert (job.ended, job.file_info.repaired, job.warnings) == (True, repaired, warnings)


def test_record_of_before_warnings_is_read() -> None:
    stored = msgspec.json.decode(record.encode(planned(1)))
    del stored["warnings"], stored["file_info"]["repaired"]
    job = record.decode(msgspec.json.encode(stored))
    assert (job.file_info.repaired, job.warnings) == (False, ())


def test_record_keeps_the_names_of_the_contract() -> None:
    stored = msgspec.json.decode(record.encode(extracted(1)))
    assert set(stored) >= {
        "job_id", "session_id", "status", "error", "current_step", "message", "percent", "file_info", "user_email",
        "created_at", "updated_at", "batch_size", "pages",
    }  # fmt: skip
    assert set(stored["file_info"]) >= {"filename", "file_type", "total_pages", "raw_file", "file_size"}
    assert set(stored["pages"]["1"]) >= {
        "status", "image", "image_extracted_at", "processing_started_at", "processing_completed_at", "result_file",
        "error",
    }  # fmt: skip
    assert stored["created_at"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"job_id": 1}', b"\xff\xfe"])
def test_torn_record_has_one_error(data: bytes) -> None:
    with pytest.raises(record.TornRecord):
        record.decode(data)


def test_the_record_shows_the_lowest_trust_and_how_many_pages_to_check() -> None:
    job = extracted(5)
    assert job.trust == JobTrust()
    ends = {
        1: msgspec.structs.replace(read(), trust=0.98),
        2: msgspec.structs.replace(read(), trust=0.62, doubts=("words_differ",)),
        3: msgspec.structs.replace(read(), doubts=("unreadable",)),
        4: msgspec.structs.replace(read(), blank=True),
        5: read(failed=True),
    }
    job = job.settled(ends, START).combining(START).end(START)
    assert job.trust == JobTrust(lowest=0.62, lowest_page=2, to_check=2, not_compared=1)
    again = job.retry([2], START)
    assert again.trust == JobTrust(lowest=0.98, lowest_page=1, to_check=1, not_compared=1)
