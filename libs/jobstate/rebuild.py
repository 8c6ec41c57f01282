"""Rebuilding a lost or torn record from what does not depend on it: the intake, the leases, the outcomes."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec
import structlog

from libs.fanout import fan_out
from libs.jobstate import intake, lease, outcome, record
from libs.jobstate.active import announce
from libs.jobstate.cancellation import cancelled_run
from libs.jobstate.commit import load
from libs.jobstate.job import Job
from libs.jobstate.lease import TornLease
from libs.jobstate.outcome import TornOutcome
from libs.jobstate.record import TornRecord
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles

log = structlog.get_logger()

#: An intake without a record is younger than this while its upload is still being completed. Chosen: the record is
#: written right after the intake.
UPLOADING = timedelta(minutes=1)


def rebuilt(asked: intake.Intake, last_run: int, at: datetime) -> Job:
    """The record of a new run, not yet planned: extraction opens the document again and finds what exists.

    The run is new, so that no lease of an earlier run blocks it and no late writer of an earlier run can end it.
    """
    job = Job.opened(asked)
    return msgspec.structs.replace(job, run=last_run + 1, rebuilt=last_run > 0, run_started_at=at, updated_at=at)


async def load_or_rebuild(files: SessionFiles) -> Job:
    """The record; a lost or torn one is rebuilt. Raises `NotFound` without an intake, and for a deleted job."""
    path = files.record_path
    generation = 0
    with suppress(NotFound, TornRecord):
        stored = await files.store.read(path)
        generation = stored.generation
        return record.decode(stored.data)
    # In this order: a deletion writes its tombstone before it removes the record.
    if await files.is_deleted():
        raise NotFound(path, "deleted")
    stored = await files.store.read(files.intake_path)
    at = await files.store.now()
    if not generation and stored.updated_at + UPLOADING > at:
        raise NotFound(path, "still being uploaded")
    last_run, cancelled = await asyncio.gather(_last_run(files), cancelled_run(files))
    job = rebuilt(intake.decode(stored.data), max(last_run, cancelled), at)
    if cancelled and cancelled >= last_run:
        job = job.cancel(at)
    await announce(files, job.run)
    try:
        await write_paced(files.store, path, record.encode(job), if_generation=generation)
    except PreconditionFailed:
        return await load(files)
    log.warning("record_rebuilt", job_id=files.session_id, run=job.run)
    return job


async def _last_run(files: SessionFiles) -> int:
    """The latest run that has left a lease or an outcome; 0 where there is neither."""

    async def run_of(path: str) -> int:
        try:
            data = (await files.store.read(path)).data
            return lease.decode(data).run if path.startswith(leases) else outcome.decode(data).due_run
        except (NotFound, TornLease, TornOutcome):
            return 0

    leases = files.leases_prefix
    listed = [stat.path async for stat in files.store.list(files.prefix)]
    paths = [path for path in listed if path.startswith(leases) or path.endswith("_result.json")]
    return max(await fan_out(run_of, paths), default=0)
