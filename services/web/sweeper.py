"""The backstop: wakes active jobs that nothing works on, has ends told, removes late writes to deleted jobs."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from libs.jobstate import active, deletion
from libs.jobstate.evidence import Leases
from libs.jobstate.job import Job
from libs.jobstate.lease import LeaseState
from libs.jobstate.notice import retire
from libs.jobstate.rebuild import load_or_rebuild
from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed, StorageError
from libs.storage.session import SessionFiles, indexed_session
from libs.storage.store import ObjectStore, Stat
from libs.taskqueue.queue import QueueUnavailable, TaskQueue
from services.serving import audit
from services.serving.audit import Outcome
from services.web.idempotency import forget_old_keys
from services.web.metrics import Survey, survey
from services.web.service import JobCreation
from services.web.tasks import start_stage
from services.web.userfiles import delete_old_files
from services.web.webhooks.delivery import Webhooks

log = structlog.get_logger()

#: A job whose record has not changed for this long may have lost its tasks. Chosen: as long as a lease by default.
STILL = timedelta(minutes=1)
#: How often expired jobs are looked for. Chosen: small beside a day, the unit of `RETENTION_DAYS`.
EXPIRY_EVERY = timedelta(hours=1)


class Sweeper:
    """Looks at every active job, at the start and then at intervals.

    `queue_forgets`: the queue is in this process, so the tasks that an earlier process enqueued are lost, and wakings
    from before this one's start do not count. Otherwise the jobs of a web that is killed repeatedly would wait as long
    as the pauses between wakings have grown.
    """

    def __init__(
        self,
        *,
        store: ObjectStore,
        queue: TaskQueue,
        completion: JobCreation,
        webhooks: Webhooks,
        every_seconds: float,
        lease_seconds: float,
        queue_forgets: bool = False,
        retention: timedelta | None = None,
    ) -> None:
        """`retention`: jobs that ended so long ago are deleted; `None`: none are."""
        self._store = store
        self._queue = queue
        self._completion = completion
        self._webhooks = webhooks
        self._every = every_seconds
        self._lease = timedelta(seconds=lease_seconds)
        #: The active jobs as the last sweep saw them; `None` before the first.
        self.survey: Survey | None = None
        self._queue_forgets = queue_forgets
        self._queue_since: datetime | None = None
        self._retention = retention
        self._expired_at: datetime | None = None
        self._forgot_at: datetime | None = None

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                if self._queue_forgets and self._queue_since is None:
                    self._queue_since = await self._store.now()
                await self.sweep()
            except (StorageError, QueueUnavailable) as error:
                log.warning("sweep_postponed", error=type(error).__name__)
            except Exception:  # any bug: without the backstop a lost task is a lost job
                log.exception("sweep_failed")
            await asyncio.sleep(self._every)

    async def sweep(self) -> int:
        """Look at every active job and tombstone once; how many jobs were woken."""
        woken = 0
        seen: list[Job] = []
        async for stat in self._store.list(layout.ACTIVE):
            try:
                with suppress(NotFound, PreconditionFailed):  # the job ended, or another sweeper was faster
                    woken += await self._look(stat, seen)
            except ValueError as error:  # one job with damaged files must not keep the others from being woken
                log.error("job_unreadable", path=stat.path, error=type(error).__name__)
        async for stat in self._store.list(layout.TOMBSTONES):
            try:
                await deletion.bury(self._store, stat)
            except ValueError:  # an object whose name is not a tombstone's
                log.error("tombstone_unreadable", path=stat.path)
        # After the jobs: of those that have ended, notices may have been stored just now.
        await self._webhooks.sweep(self._queue_since)
        await self._forget_keys()
        await self._expire()
        self.survey = survey(seen, await self._store.now())
        return woken

    async def _forget_keys(self) -> None:
        """Delete the idempotency keys that no longer count, and the files that nobody has read, hourly."""
        now = await self._store.now()
        if self._forgot_at is None or now >= self._forgot_at + EXPIRY_EVERY:
            self._forgot_at = now
            await forget_old_keys(self._store)
            await delete_old_files(self._store)

    async def _expire(self) -> None:
        """Delete the jobs that have been kept long enough; hourly, since it lists every user's sessions."""
        now = await self._store.now()
        if self._retention is None or (self._expired_at is not None and now < self._expired_at + EXPIRY_EVERY):
            return
        self._expired_at = now
        for files in await deletion.delete_expired(self._store, self._retention):
            audit.write("job.expire", Outcome.ALLOWED, user_hash=files.user_hash, job_id=files.session_id)
            log.info("job_expired", job_id=files.session_id)

    async def nudge(self, files: SessionFiles, job: Job) -> None:
        """Look at this job now, as a sweep would, if its record has not changed for `STILL`: a client asks for it."""
        if job.ended or job.updated_at + STILL > await self._store.now():
            return
        # The client gets the record in any case.
        with suppress(StorageError, QueueUnavailable, ValueError):
            await self._look(await self._store.stat(files.active_path), [])

    async def _look(self, stat: Stat, seen: list[Job]) -> bool:
        files = indexed_session(self._store, stat.path)
        now = await self._store.now()
        if await files.is_deleted():
            await deletion.remove_files(files)
            return False
        try:
            job = await load_or_rebuild(files)
        except NotFound:
            if await self._completion.is_abandoned(files, stat.updated_at, now):
                await deletion.delete(files)
            return False
        if job.ended:
            await retire(files, job)
            return False
        seen.append(job)
        stored = await self._store.read(stat.path)
        waking = active.decode(stored.data)
        if not waking.due(job.revision, now, self._queue_since) or await self._is_worked_on(files, job, now):
            return False
        waking = waking.again(job.revision, now)
        await start_stage(self._queue, job, wake=waking.wakes, at=now)
        # Only now, since it ends the tasks of earlier wakings. A sweeper that repeats this waking enqueues the same
        # names, which the queue drops.
        await self._store.write(stat.path, active.encode(waking), if_generation=stored.generation)
        log.info("job_woken", job_id=job.job_id, times=waking.times)
        return True

    async def _is_worked_on(self, files: SessionFiles, job: Job, now: datetime) -> bool:
        """Whether the record changed lately, a lease of its run is held, or its next task may still be in the queue."""
        # What an earlier process enqueued is lost with it: a job whose record has not changed since has no task.
        forgotten = self._queue_since is not None and job.updated_at <= self._queue_since
        if job.updated_at + timedelta(seconds=self._every) > now and job.revision and not forgotten:
            return True
        leases = Leases(files)
        stats = await leases.listed()
        newest = max(stats, key=lambda name: stats[name].updated_at, default="")
        live = {name for name, stat in stats.items() if stat.updated_at + self._lease > now}
        read = await leases.read({name: stat for name, stat in stats.items() if name in live or name == newest})
        found = {name: lease for name, lease in read.items() if lease.run == job.run}
        if any(lease.state is LeaseState.HELD and name in live for name, lease in found.items()):
            return True
        if newest not in found or not (waited := found[newest].waited):
            return False
        written_at = stats[newest].updated_at
        if self._queue_since is not None and written_at <= self._queue_since:
            return False  # the queue has lost the tasks from before: there is nothing to wait for
        # Where tasks wait long in the queue, the next one may take twice as long as the last.
        return written_at + timedelta(seconds=self._every + 2 * waited) > now
