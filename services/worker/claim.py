"""Claiming a batch: the first free one, found with as few questions as can be."""

from datetime import datetime, timedelta
from itertools import takewhile

import structlog

from libs.jobstate import plan as batches
from libs.jobstate.job import Job
from libs.jobstate.lease import HeldLease, Lease, is_free, take
from libs.jobstate.plan import Batch
from libs.jobstate.recorder import Recorder
from libs.storage.session import SessionFiles
from libs.storage.store import Stat

log = structlog.get_logger()

# A lease written so lately is held, or was just finished.
FRESH = timedelta(seconds=1)


async def claim(
    files: SessionFiles, recorder: Recorder, chain: int, *, holder: str, seconds: float, waited: float
) -> HeldLease | None:
    """Claim the first batch that is free in the order of `chain`, or return `None`.

    One listing tells which batches nobody has begun; of the others, only those before the first such are looked at.
    """
    job = recorder.job
    standing = await recorder.leases.listed()
    now = await files.store.now()
    waiting = batches.striped(job, chain)
    begun = takewhile(lambda batch: batch.name in standing, waiting)
    doubtful = [batch.name for batch in begun if _is_doubtful(job, batch, chain, standing[batch.name], now, seconds)]
    known = await recorder.leases.read({name: standing[name] for name in doubtful})
    for batch in waiting:
        stat = standing.get(batch.name)
        if stat and (batch.name not in doubtful or not _may_be_free(known.get(batch.name), stat, job.run, now)):
            continue
        lease = await take(
            files,
            batch.name,
            run=job.run,
            holder=holder,
            seconds=seconds,
            pages=batch.pages,
            waited=waited,
            absent=stat is None,
        )
        if lease is not None:
            log.info("batch_claimed", job_id=job.job_id, batch=batch.name, attempt=lease.lease.attempt)
            return lease
    return None


def _may_be_free(lease: Lease | None, stat: Stat, run: int, now: datetime) -> bool:
    return lease is None or is_free(lease, stat, run, now)  # a torn one is judged by `take`


def _is_doubtful(job: Job, batch: Batch, chain: int, stat: Stat, now: datetime, seconds: float) -> bool:
    """Whether the lease may be free: a young one is another chain's, which comes back to what it has given back."""
    if stat.updated_at < job.run_started_at:
        return True  # of an earlier run
    young = timedelta(seconds=seconds) if not batches.is_own(job, batch, chain) else FRESH
    return stat.updated_at + young <= now
