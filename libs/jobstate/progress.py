"""Percent and message of a job (R24), derived from its pages."""

from collections.abc import Mapping
from typing import Protocol

from libs.jobstate.page import Page, PageStatus
from libs.jobstate.status import JobStatus, Step


class Progressing(Protocol):
    """The part of a job that its progress follows from; `Job` is one."""

    @property
    def status(self) -> JobStatus: ...

    @property
    def current_step(self) -> Step: ...

    @property
    def error(self) -> str | None: ...

    @property
    def extraction_complete(self) -> bool: ...

    @property
    def pages(self) -> Mapping[int, Page]: ...


def percent(job: Progressing) -> int:
    """0 queued, 5 loading, 10 to 40 rendering, 40 to 90 reading, 90 to 100 combining and done."""
    if job.status in (JobStatus.COMPLETED, JobStatus.PARTIAL):
        return 100
    if job.current_step is Step.COMBINING:
        return 95
    if not job.pages:
        return 0 if job.status is JobStatus.QUEUED else 5
    total = len(job.pages)
    if not job.extraction_complete:
        return 10 + 30 * _prepared(job) // total
    return 40 + 50 * _done(job) // total


def message(job: Progressing, before: str) -> str:
    """One line for the job's owner: `before`, where the job's state gives no other."""
    total = len(job.pages)
    match job.current_step:
        case Step.EXTRACTING_IMAGES if job.pages:
            return f"Saving page {min(_prepared(job) + 1, total)} of {total}..."
        case Step.EXTRACTION_COMPLETE:
            return f"Extracted {total} {'page' if total == 1 else 'pages'}, ready for OCR"
        case Step.OCR_PROCESSING:
            return _reading(job)
        case Step.COMBINING:
            return "Combining the pages..."
        case Step.COMPLETED if job.status is not JobStatus.CANCELLED:
            return job.error or f"Read {total} {'page' if total == 1 else 'pages'}."
        case Step.EXTRACTION_FAILED:
            return job.error or before
        case _:
            return before


def current_page(job: Progressing) -> int:
    """The first page that is being read; where there is none, the number of pages that have ended."""
    held = (n for n, page in job.pages.items() if page.status is PageStatus.PROCESSING)
    return next(held, _done(job))


def _reading(job: Progressing) -> str:
    total = len(job.pages)
    for number, page in job.pages.items():
        if page.status is PageStatus.PROCESSING:
            return f"Processing page {number} of {total}..."
    last = max((n for n, page in job.pages.items() if page.ended), default=0)
    return f"Completed page {last} of {total}"


def _prepared(job: Progressing) -> int:
    return sum(page.image is not None or page.ended for page in job.pages.values())


def _done(job: Progressing) -> int:
    return sum(page.ended for page in job.pages.values())
