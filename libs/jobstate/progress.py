"""Percent and message of a job (R24), derived from its pages."""

from typing import TYPE_CHECKING

from libs.jobstate.page import PageStatus
from libs.jobstate.status import JobStatus, Step

if TYPE_CHECKING:
    from libs.jobstate.job import Job


def percent(job: "Job") -> int:
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


def message(job: "Job", before: str) -> str:
    """One line for a person; `before` is kept where the job has nothing new to say."""
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


def current_page(job: "Job") -> int:
    """The page being worked on: the first one in hand, else the number of pages done so far."""
    held = (n for n, page in job.pages.items() if page.status is PageStatus.PROCESSING)
    return next(held, _done(job))


def _reading(job: "Job") -> str:
    total = len(job.pages)
    for number, page in job.pages.items():
        if page.status is PageStatus.PROCESSING:
            return f"Processing page {number} of {total}..."
    last = max((n for n, page in job.pages.items() if page.ended), default=0)
    return f"Completed page {last} of {total}"


def _prepared(job: "Job") -> int:
    return sum(page.image is not None or page.ended for page in job.pages.values())


def _done(job: "Job") -> int:
    return sum(page.ended for page in job.pages.values())
