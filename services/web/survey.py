"""What a sweep saw: how many jobs are active and how long they have waited. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec

from libs.jobstate.job import Job
from libs.jobstate.status import ENDED, JobStatus


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """The active jobs at a moment, by status.

    `waiting_seconds` is the longest that a job has waited for the first page of its run, `quiet_seconds` the longest
    that one has gone without any progress.
    """

    at: datetime
    jobs: Mapping[JobStatus, int]
    waiting_seconds: float
    quiet_seconds: float


def survey(active: Iterable[Job], at: datetime) -> Survey:
    """Look over the jobs that have not ended."""
    jobs = [job for job in active if not job.ended]
    counts = Counter(job.status for job in jobs)
    waits = [(at - job.run_started_at).total_seconds() for job in jobs if not _begun(job)]
    return Survey(
        at=at,
        jobs={status: counts[status] for status in JobStatus if status not in ENDED},
        waiting_seconds=max([0.0, *waits]),
        quiet_seconds=max([0.0, *((at - job.updated_at).total_seconds() for job in jobs)]),
    )


def _begun(job: Job) -> bool:
    return any(page.ended and page.run == job.run for page in job.pages.values())
