"""The end of a job: the combined result and the final state. Idempotent, and done by one at a time."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from itertools import islice

from libs.jobstate.active import retire
from libs.jobstate.commit import commit
from libs.jobstate.evidence import PARALLEL_READS, gather, read_outcomes
from libs.jobstate.job import Job
from libs.jobstate.lease import HeldLease, LeaseLost, take
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.storage.session import SessionFiles

COMBINE = "combine"


class RunChanged(Exception):
    """A retry began a new run meanwhile: its own end will follow."""


async def settle(files: SessionFiles, *, holder: str, lease_seconds: float) -> Job:
    """Bring the record up to date; when the plan is fulfilled, combine and end the job.

    Returns the record; it has not ended when pages are missing or somebody else is combining. Raises `NotFound` when
    the job was deleted.
    """
    now = await files.store.now()
    evidence = await gather(files, await commit(files, lambda job: job))
    job = await commit(files, lambda job: evidence.merged(job, now).combining(now))
    if job.ended:
        await retire(files, job)
        return job
    if not job.fulfilled:
        return job
    lease = await take(files, COMBINE, run=job.run, holder=holder, seconds=lease_seconds)
    if lease is None:
        return job
    try:
        await files.save_combined(_sections(files, job, lease))
        run = job.run
        at = await files.store.now()
        job = await commit(files, lambda job: _ended(job, run, at))
        await lease.finish({})
    except (LeaseLost, RunChanged):
        return await commit(files, lambda job: job)
    await retire(files, job)
    return job


def section(page_no: int, outcome: PageOutcome | None) -> str:
    """A page as it stands in `combined_output.md`: its marker line, then its Markdown."""
    if outcome is None or outcome.status is not OutcomeStatus.COMPLETED:
        # `--` would end the comment early.
        reason = " ".join(((outcome and outcome.error) or "not read").split()).replace("--", "- -")
        return f"<!-- page {page_no} failed: {reason} -->\n"
    if outcome.blank:
        return f"<!-- page {page_no} blank -->\n"
    return f"<!-- page {page_no} -->\n{outcome.text.rstrip()}\n"


def _ended(job: Job, run: int, at: datetime) -> Job:
    if job.run != run:
        raise RunChanged
    return job.end(at)


async def _sections(files: SessionFiles, job: Job, lease: HeldLease) -> AsyncIterator[bytes]:
    numbers = iter(job.pages)
    clock = asyncio.get_running_loop().time
    renewed = clock()
    first = True
    while chunk := list(islice(numbers, PARALLEL_READS)):
        found = await read_outcomes(files, chunk)
        for page_no in chunk:
            text = section(page_no, found.get(page_no))
            yield (text if first else f"\n{text}").encode()
            first = False
        if clock() - renewed > lease.lease.seconds / 4:
            await lease.renew()
            renewed = clock()
