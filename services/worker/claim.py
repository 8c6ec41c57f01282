"""Claiming a batch: the first free one, found with as few requests to the storage as possible."""

from datetime import datetime, timedelta
from itertools import takewhile

import structlog

from libs.jobstate import plan as batches
from libs.jobstate.evidence import Leases
from libs.jobstate.job import Job
from libs.jobstate.lease import HeldLease, Lease, is_free, take
from libs.jobstate.plan import Batch
from libs.storage.session import SessionFiles
from libs.storage.store import Stat
from services.worker.call import Call

log = structlog.get_logger()

# A lease of the chain's own batches that was written less than this ago is held, or was just finished. Chosen: less
# would read leases in vain, more would leave a batch that the chain has released waiting.
FRESH = timedelta(seconds=1)


async def claim(call: Call) -> HeldLease | None:
    """Claim the first free batch in the order of the task's chain, or return `None`."""
    job = call.recorder.job
    if call.worker.draining.is_set() or job.ended:
        return None
    seconds = call.worker.limits.lease_seconds
    for batch, absent in await free_batches(call.files, call.recorder.leases, job, call.task.chain, seconds):
        lease = await take(
            call.files,
            batch.name,
            run=job.run,
            holder=call.worker.holder,
            seconds=seconds,
            pages=batch.pages,
            waited=call.time_slice.waited,
            absent=absent,
        )
        if lease is not None:
            log.info("batch_claimed", job_id=job.job_id, batch=batch.name, attempt=lease.lease.attempt)
            return lease
    return None


async def free_batches(
    files: SessionFiles, leases: Leases, job: Job, chain: int, lease_seconds: float
) -> list[tuple[Batch, bool]]:
    """The batches that seem free, in the order in which `chain` tries them, and whether each has no lease at all.

    One listing shows which batches were never begun. Of the others, only those before the first of these are read.
    """
    listed = await leases.listed()
    now = await files.store.now()
    waiting = batches.striped(job, chain)
    begun = takewhile(lambda batch: batch.name in listed, waiting)
    doubtful = [
        batch.name for batch in begun if _is_doubtful(job, batch, chain, listed[batch.name], now, lease_seconds)
    ]
    known = await leases.read({name: listed[name] for name in doubtful})
    found: list[tuple[Batch, bool]] = []
    for batch in waiting:
        stat = listed.get(batch.name)
        if stat and (batch.name not in doubtful or not _may_be_free(known.get(batch.name), stat, job.run, now)):
            continue
        found.append((batch, stat is None))
    return found


def _may_be_free(lease: Lease | None, stat: Stat, run: int, now: datetime) -> bool:
    return lease is None or is_free(lease, stat, run, now)  # `take` decides on a lease that cannot be decoded


def _is_doubtful(job: Job, batch: Batch, chain: int, stat: Stat, now: datetime, seconds: float) -> bool:
    """Whether the lease may be free, by its age alone.

    A young lease of another chain's batch is not: that chain itself returns to a batch that it released.
    """
    if stat.updated_at < job.run_started_at:
        return True  # of an earlier run
    young = timedelta(seconds=seconds) if not batches.is_own(job, batch, chain) else FRESH
    return stat.updated_at + young <= now
