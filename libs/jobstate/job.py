"""The whole life of a job, pure: frozen values and transitions, no I/O.

Every transition is monotonic and may be applied again to a newer value of the same job, so `commit` can re-apply a
change after a conflict: no transition takes back what another has reached. An ended job ignores all but `retry`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from libs.jobstate.intake import FileInfo, Intake, Options, PageOptions
from libs.jobstate.outcome import BriefOutcome, OutcomeStatus
from libs.jobstate.page import JobTrust, Page, PageStatus, Tally, all_ended, all_prepared, job_trust, tally
from libs.jobstate.status import ENDED, JobStatus, Step
from libs.storage import layout

#: The warning on a job whose document is damaged.
REPAIRED = "The file is damaged and was repaired to read it; pages or parts of pages may be missing."
#: What a retry asks for that says nothing else than the job's own options.
AS_UPLOADED = PageOptions()


class RetryRefused(ValueError):
    """These pages cannot be retried now; the message has the reason."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """`processing.json`: the record of a job (R21)."""

    schema_version: int = 1
    #: The same as `session_id`.
    job_id: str
    session_id: str
    #: Counts the commits.
    revision: int = 0
    #: A random mark of the last commit, by which its writer recognises it.
    writer: str = ""
    #: Counts the retries, from 1.
    run: int = 1
    status: JobStatus = JobStatus.QUEUED
    error: str | None = None
    #: The same as a word, where the document itself is the reason: of `services.web.render.protocol.Fault`.
    error_code: str | None = None
    current_step: Step = Step.QUEUED
    #: One line for the job's owner.
    message: str = "Waiting to start..."
    #: What its owner should know although the job goes on: a sentence each.
    warnings: tuple[str, ...] = ()
    #: From 0 to 100; never falls within a run.
    percent: int = 0
    file_info: FileInfo
    options: Options
    user_email: str
    user_hash: str
    created_at: datetime
    run_started_at: datetime
    #: When the record was last changed.
    updated_at: datetime
    #: Pages of a batch; 0 until the pages are planned.
    batch_size: int = 0
    #: How many OCR chains may work on the job.
    parallelism: int = 1
    #: Whether every planned page has an image or an outcome.
    extraction_complete: bool = False
    #: Webhooks tell the end of each run: see `libs.jobstate.notice`.
    notify: bool = False
    #: The record was lost: planning looks for outcomes of earlier runs.
    rebuilt: bool = False
    #: Derived from the pages.
    trust: JobTrust = JobTrust()
    #: The planned pages by number; empty until the document has been opened.
    pages: dict[int, Page] = {}

    @classmethod
    def opened(cls, intake: Intake) -> "Job":
        """A new job, queued."""
        return cls(
            job_id=intake.session_id,
            session_id=intake.session_id,
            file_info=intake.file_info,
            options=intake.options,
            user_email=intake.user_email,
            user_hash=layout.user_hash(intake.user_email),
            created_at=intake.created_at,
            run_started_at=intake.created_at,
            updated_at=intake.created_at,
            notify=intake.notify,
        )

    @property
    def ended(self) -> bool:
        """Whether only a retry can change the job."""
        return self.status in ENDED

    @property
    def planned(self) -> bool:
        """Whether the page plan is known."""
        return bool(self.pages)

    @property
    def fulfilled(self) -> bool:
        """Whether extraction is complete and every planned page has its outcome."""
        return self.extraction_complete and all_ended(self.pages.values())

    @property
    def current_page(self) -> int:
        """The first page that is being read; where there is none, the number of pages that have ended."""
        done = tally(self.pages)
        return done.ended if done.first_held is None else done.first_held

    def count(self, status: PageStatus) -> int:
        """How many pages have this status."""
        return sum(page.status is status for page in self.pages.values())

    def options_of(self, page_no: int) -> Options:
        """The options with which the page is read in its run: the job's own, and those of the retry that asked."""
        asked = self.pages[page_no].options
        return msgspec.structs.replace(
            self.options,
            engine=asked.engine or self.options.engine,
            ocr=asked.ocr or self.options.ocr,
            dpi=asked.dpi or self.options.dpi,
        )

    def load(self, at: datetime) -> "Job":
        """The document is being opened."""
        if self.status is not JobStatus.QUEUED:
            return self
        return self._moved(
            at,
            status=JobStatus.EXTRACTING,
            current_step=Step.EXTRACTING_IMAGES,
            message="Loading the document...",
        )

    def plan(
        self,
        pages: Iterable[int],
        *,
        total_pages: int,
        batch_size: int,
        parallelism: int,
        at: datetime,
        found: Mapping[int, BriefOutcome] | None = None,
        repaired: bool = False,
    ) -> "Job":
        """The document is open: these pages will be read, `batch_size` at a time. A plan never changes within a job.

        `repaired`: the document is damaged, which becomes a warning. `found` are outcomes that a rebuilt record takes
        over, each in the run that gave it; those that a retry has marked are read again.
        """
        if self.ended or self.planned:
            return self
        found = found or {}
        return self._moved(
            at,
            status=JobStatus.EXTRACTING,
            current_step=Step.EXTRACTING_IMAGES,
            file_info=msgspec.structs.replace(self.file_info, total_pages=total_pages, repaired=repaired),
            warnings=(REPAIRED,) if repaired else (),
            batch_size=batch_size,
            parallelism=parallelism,
            pages={number: self._planned(number, found.get(number)) for number in sorted(set(pages))},
        )

    def rendered(self, images: Mapping[int, datetime], at: datetime, *, dpi: int | None = None) -> "Job":
        """Images of these pages exist at `dpi` (`None`: the job's), each since the given time.

        A page that is now to be read from an image of another resolution is left as it is.
        """
        changed = {
            number: self.pages[number].rendered(layout.page_image(number, dpi), when)
            for number, when in images.items()
            if number in self.pages and self.pages[number].options.dpi == dpi and not self.pages[number].drawn
        }
        return self.load(at)._with_pages(changed, at) if changed else self

    def extracted(self, at: datetime) -> "Job":
        """Extraction is complete, if every planned page has an image or an outcome.

        The caller may be mistaken: one that stopped for a cancelled job may report it late, when a retry has begun.
        """
        if self.ended or self.extraction_complete or not self.planned:
            return self
        if not all_prepared(self.pages.values()):
            return self
        return self._moved(at, status=JobStatus.PROCESSING, extraction_complete=True)

    def extraction_failed(self, reason: str, at: datetime, *, code: str | None = None) -> "Job":
        """The document yields no page: the job ends. `code` is the reason as a word."""
        if self.ended or self.planned:
            return self
        return self._moved(
            at,
            status=JobStatus.FAILED,
            current_step=Step.EXTRACTION_FAILED,
            error=reason,
            error_code=code,
            message=reason,
        )

    def started(self, pages: Mapping[int, datetime], at: datetime) -> "Job":
        """Workers hold these pages, each since the given time."""
        changed = {n: self.pages[n].started(when) for n, when in pages.items() if n in self.pages}
        return self._with_pages(changed, at)

    def settled(self, outcomes: Mapping[int, BriefOutcome], at: datetime) -> "Job":
        """These pages have their outcomes."""
        return self._with_pages(self._with_outcomes(outcomes), at)

    def combining(self, at: datetime) -> "Job":
        """The plan is fulfilled: the combined result is next."""
        if self.ended or not self.fulfilled or self.current_step is Step.COMBINING:
            return self
        return self._moved(at, status=JobStatus.PROCESSING, current_step=Step.COMBINING)

    def end(self, at: datetime) -> "Job":
        """The combined result is written: the job ends, in a state that follows from its pages."""
        if self.ended or self.current_step is not Step.COMBINING:
            return self
        failed = self.count(PageStatus.FAILED)
        error, status, step = None, JobStatus.COMPLETED, Step.COMPLETED
        if failed == len(self.pages):
            first = next(page.error for page in self.pages.values())
            error, status = f"No page could be read. {first}", JobStatus.FAILED
            if all(page.image is None for page in self.pages.values()):
                step = Step.EXTRACTION_FAILED
        elif failed:
            error, status = f"{failed} of {len(self.pages)} pages could not be read.", JobStatus.PARTIAL
        return self._moved(at, status=status, current_step=step, error=error)

    def cancel(self, at: datetime) -> "Job":
        """Its owner stops the job. Pages already read stay readable."""
        if self.ended:
            return self
        return self._moved(at, status=JobStatus.CANCELLED, message="Cancelled.")

    def retry(
        self,
        numbers: Iterable[int] | None,
        at: datetime,
        *,
        options: PageOptions = AS_UPLOADED,
        found: Mapping[int, BriefOutcome] | None = None,
    ) -> "Job":
        """Start the next run. It reads these pages again (`None`: those that failed), and all that were never read.

        `options` are for the pages named; without names for all that the run reads. What an earlier retry has asked of
        a page that is not named, and was not read before a cancellation, holds. `found` are outcomes that the record
        may lack, because the job was cancelled before a commit merged them. Raises `RetryRefused` while the job runs,
        for a page outside the plan, for options before there is a plan, and when there is nothing to retry.
        """
        if not self.ended:
            raise RetryRefused("The job is still running. Wait until it has ended, or cancel it first.")
        if not self.planned and options != AS_UPLOADED:
            raise RetryRefused(
                "The document has not been opened yet, so its pages cannot have options of their own. Retry without "
                "engine, ocr and dpi, or upload the document again with them."
            )
        pages = {**self.pages, **self._with_outcomes(found or {})}
        failed = (n for n, page in pages.items() if page.status is PageStatus.FAILED)
        chosen = set(failed if numbers is None else numbers)
        if unknown := sorted(chosen - pages.keys()):
            raise RetryRefused(f"Page {unknown[0]} is not one of this job's pages. Name pages of this job.")
        # Pages left open by a cancellation belong to the new run too: a worker that still holds them is then late.
        left = {n for n, page in pages.items() if not page.ended} - (set() if numbers is None else chosen)
        asked = dict.fromkeys(chosen, options) | {
            n: pages[n].options if numbers is not None or options == AS_UPLOADED else options for n in left
        }
        if not asked and self.planned and self.status is not JobStatus.CANCELLED:
            raise RetryRefused("No page failed, so there is nothing to retry. Name the pages to read again.")
        run = self.run + 1
        pages = {n: self._again(n, page, run, asked[n]) if n in asked else page for n, page in pages.items()}
        complete = self.planned and all_prepared(pages.values())
        fresh = msgspec.structs.replace(
            self,
            run=run,
            run_started_at=at,
            pages=pages,
            percent=0,
            error=None,
            error_code=None,
            extraction_complete=complete,
        )
        return fresh._moved(
            at,
            status=JobStatus.PROCESSING if complete else JobStatus.QUEUED,
            current_step=Step.EXTRACTION_COMPLETE if complete else Step.QUEUED,
            message=None if complete else "Waiting to start...",
        )

    def _planned(self, number: int, found: BriefOutcome | None) -> Page:
        if found is None or (found.status is OutcomeStatus.PENDING and found.again is None):
            return Page(run=self.run)
        page = Page(run=found.run).settled(found, layout.PAGE_RESULT.format(number))
        return page if found.again is None else self._again(number, page, self.run, found.again.options)

    def _again(self, number: int, page: Page, run: int, asked: PageOptions) -> Page:
        """The page to be read again; where it is rendered as it is anyway, it asks for no resolution of its own."""
        if self.file_info.file_type != "pdf" or asked.dpi == self.options.dpi:
            asked = PageOptions(engine=asked.engine, ocr=asked.ocr)
        return page.again(run, asked, layout.page_image(number, asked.dpi))

    def _with_outcomes(self, outcomes: Mapping[int, BriefOutcome]) -> dict[int, Page]:
        return {
            n: self.pages[n].settled(outcome, layout.PAGE_RESULT.format(n))
            for n, outcome in outcomes.items()
            if n in self.pages
        }

    def _with_pages(self, changed: Mapping[int, Page], at: datetime) -> "Job":
        changed = {n: page for n, page in changed.items() if page is not self.pages[n]}
        if self.ended or not changed:
            return self
        return self._moved(at, pages={**self.pages, **changed})

    def _moved(self, at: datetime, *, message: str | None = None, **changes: object) -> "Job":
        """Apply changes, then derive trust, and step, percent and message, which never go back within a run (R24)."""
        job = msgspec.structs.replace(self, updated_at=max(at, self.updated_at), **changes)
        if job.current_step in (Step.EXTRACTING_IMAGES, Step.EXTRACTION_COMPLETE) and job.extraction_complete:
            read = any(page.status is not PageStatus.PENDING for page in job.pages.values())
            step = Step.OCR_PROCESSING if read else Step.EXTRACTION_COMPLETE
            job = msgspec.structs.replace(job, current_step=step)
        done = tally(job.pages)
        percent = max(job.percent, _percent(job, done))
        message = message or _message(job, done)
        return msgspec.structs.replace(job, percent=percent, message=message, trust=job_trust(job.pages))


def _percent(job: Job, done: Tally) -> int:
    """0 queued, 5 loading, 10 to 40 rendering, 40 to 90 reading, 90 to 100 combining and done."""
    if job.status in (JobStatus.COMPLETED, JobStatus.PARTIAL):
        return 100
    if job.current_step is Step.COMBINING:
        return 95
    if not job.pages:
        return 0 if job.status is JobStatus.QUEUED else 5
    total = len(job.pages)
    if not job.extraction_complete:
        return 10 + 30 * done.prepared // total
    return 40 + 50 * done.ended // total


def _message(job: Job, done: Tally) -> str:
    """One line for the job's owner (R24): the message that it has, where its state gives no other."""
    total = len(job.pages)
    match job.current_step:
        case Step.EXTRACTING_IMAGES if job.pages:
            return f"Saving page {min(done.prepared + 1, total)} of {total}..."
        case Step.EXTRACTION_COMPLETE:
            return f"Extracted {total} {'page' if total == 1 else 'pages'}, ready for OCR"
        case Step.OCR_PROCESSING if done.first_held is not None:
            return f"Processing page {done.first_held} of {total}..."
        case Step.OCR_PROCESSING:
            return f"Completed page {done.last_ended} of {total}"
        case Step.COMBINING:
            return "Combining the pages..."
        case Step.COMPLETED if job.status is not JobStatus.CANCELLED:
            return job.error or f"Read {total} {'page' if total == 1 else 'pages'}.{_kept(job)}"
        case Step.EXTRACTION_FAILED:
            return job.error or job.message
        case _:
            return job.message


def _kept(job: Job) -> str:
    """How many pages this run could not read again, where there are any."""
    kept = sum(
        page.run == job.run and page.reread is not None and page.reread.error is not None for page in job.pages.values()
    )
    if not kept:
        return ""
    pages = "1 page" if kept == 1 else f"{kept} pages"
    return f" {pages} could not be read again: the earlier reading is kept."
