"""The end of a job: the combined result and the final state. Idempotent, and done by one worker at a time."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime

from libs.jobstate.commit import Change, commit, committed_if_slow, load
from libs.jobstate.evidence import Evidence, Leases, read_evidence, read_in_order
from libs.jobstate.job import Job
from libs.jobstate.lease import HeldLease, LeaseLost, take
from libs.jobstate.notice import retire
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.jobstate.plan import open_batches
from libs.jobstate.recorder import due_at
from libs.storage.session import SessionFiles

#: The name of the lease on the combining.
COMBINE = "combine"


class RunChanged(Exception):
    """A retry has begun a new run: that run will end the job."""


async def settle(
    files: SessionFiles, *, holder: str, lease_seconds: float, leases: Leases | None = None, hurried: bool = True
) -> Job:
    """Combine and end the job, if its plan is fulfilled.

    A caller that has read no page itself passes `hurried=False`: the evidence is then read only when the record is due.
    Returns the record; it has not ended when pages are missing or another worker is combining. Raises `NotFound` when
    the job was deleted.
    """
    job, concluded = await _concluded(files, leases or Leases(files), hurried=hurried)
    if job.ended:
        await retire(files, job)
        return job
    if not job.fulfilled:
        return job
    lease = await take(files, COMBINE, run=job.run, holder=holder, seconds=lease_seconds)
    if lease is None:
        return job
    try:
        async with committed_if_slow(lambda: commit(files, concluded)):
            await files.save_combined(_sections(files, job, lease))
        run = job.run
        at = await files.store.now()
        job = await commit(files, lambda job: _ended(job, run, concluded, at))
        await lease.finish({})
    except (LeaseLost, RunChanged):
        return await commit(files, lambda job: job)
    await retire(files, job)
    return job


async def _concluded(files: SessionFiles, leases: Leases, *, hurried: bool) -> tuple[Job, Change]:
    """The record with the evidence merged, and the change that merges it; committed only where it is due.

    While a batch was never begun the plan cannot be fulfilled, and the evidence is not read.
    """
    job = await load(files)
    now = await files.store.now()
    evidence = Evidence(started={}, outcomes={})

    def change(job: Job) -> Job:
        return evidence.merged(job, now).combining(now)

    if job.ended or not job.extraction_complete:
        return job, change
    if job.fulfilled:
        return change(job), change
    if not hurried and now < due_at(job):
        return job, change
    listed = await leases.listed()
    if any(batch.name not in listed for batch in open_batches(job)):
        return job, change
    evidence = await read_evidence(leases, job, listed)
    if (merged := change(job)).fulfilled:
        return merged, change
    return await commit(files, lambda job: change(job) if due_at(job) <= now else job), change


def failure_of(outcome: PageOutcome | None) -> str | None:
    """Why a page of an ended job has no text, on one line; None where it was read."""
    if outcome is not None and outcome.status is OutcomeStatus.COMPLETED:
        return None
    return " ".join(((outcome and outcome.error) or "not read").split())


def failed_marker(page_no: int, reason: str) -> str:
    """The comment that stands in Markdown for the text of a page that could not be read."""
    # `--` would end the comment early.
    return f"<!-- page {page_no} failed: {reason.replace('--', '- -')} -->"


def section(page_no: int, outcome: PageOutcome | None, markdown: str | None = None) -> str:
    """A page of `combined_output.md`: its marker line, then its Markdown, or another rendering of it."""
    if outcome is not None and outcome.status is OutcomeStatus.PENDING:
        return f"<!-- page {page_no} pending -->\n"
    reason = failure_of(outcome)
    if outcome is None or reason is not None:
        return f"{failed_marker(page_no, reason or '')}\n"
    if outcome.blank:
        return f"<!-- page {page_no} blank -->\n"
    return f"<!-- page {page_no} -->\n{(outcome.text if markdown is None else markdown).rstrip()}\n"


def _ended(job: Job, run: int, concluded: Change, at: datetime) -> Job:
    if job.run != run:
        raise RunChanged
    return concluded(job).end(at)


async def _sections(files: SessionFiles, job: Job, lease: HeldLease) -> AsyncIterator[bytes]:
    separator = ""
    async with aclosing(read_in_order(files, job.pages)) as outcomes:
        async for page_no, outcome in outcomes:
            yield f"{separator}{section(page_no, outcome)}".encode()
            separator = "\n"
            await lease.renew_if_due()
