"""The backstop: wakes active jobs that nobody works on, and removes what deleted jobs left behind."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from libs.jobstate import active, deletion
from libs.jobstate.job import Job
from libs.jobstate.lease import LeaseState
from libs.jobstate.leases import Leases
from libs.jobstate.rebuild import load_or_rebuild
from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed, StorageError
from libs.storage.session import SessionFiles, indexed_session
from libs.storage.store import ObjectStore, Stat
from libs.taskqueue.queue import QueueUnavailable, TaskQueue
from services.web.metrics import Survey, survey
from services.web.service import JobCreation
from services.web.tasks import start_chains, start_extraction

log = structlog.get_logger()

# A job whose record has not moved for this long may have lost its tasks.
STILL = timedelta(minutes=1)


class Sweeper:
    """Looks at every active job, at start and then at intervals.

    `queue_forgets`: the queue lives in this process, so what an earlier one enqueued died with it. Without this a web
    that is killed again and again would leave its jobs lying for as long as the pauses between wakings have grown.
    """

    def __init__(
        self,
        *,
        store: ObjectStore,
        queue: TaskQueue,
        completion: JobCreation,
        every_seconds: float,
        lease_seconds: float,
        queue_forgets: bool = False,
    ) -> None:
        self._store = store
        self._queue = queue
        self._completion = completion
        self._every = every_seconds
        self._lease = timedelta(seconds=lease_seconds)
        self.survey: Survey | None = None
        self._queue_forgets = queue_forgets
        self._queue_since: datetime | None = None

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                if self._queue_forgets and self._queue_since is None:
                    self._queue_since = await self._store.now()
                await self.sweep()
            except (StorageError, QueueUnavailable) as error:
                log.warning("sweep_postponed", error=type(error).__name__)
            except Exception:  # whatever it is: without the backstop a lost task is a lost job
                log.exception("sweep_failed")
            await asyncio.sleep(self._every)

    async def sweep(self) -> int:
        """One look at everything; how many jobs were woken."""
        woken = 0
        seen: list[Job] = []
        async for stat in self._store.list(layout.ACTIVE):
            try:
                with suppress(NotFound, PreconditionFailed):  # it ended, or another sweeper was faster
                    woken += await self._look(stat, seen)
            except ValueError as error:  # one job whose files make no sense must not hold up all others
                log.error("job_unreadable", path=stat.path, error=type(error).__name__)
        async for stat in self._store.list(layout.TOMBSTONES):
            try:
                await deletion.bury(self._store, stat)
            except ValueError:  # no tombstone of ours has such a name
                log.error("tombstone_unreadable", path=stat.path)
        self.survey = survey(seen, await self._store.now())
        return woken

    async def nudge(self, files: SessionFiles, job: Job) -> None:
        """Somebody asks for the job: look at it now, as a sweep would, if its record has stood still for long."""
        if job.ended or job.updated_at + STILL > await self._store.now():
            return
        # Whoever asks gets the record anyway.
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
            await active.remove(files, job)
            return False
        seen.append(job)
        stored = await self._store.read(stat.path)
        waking = active.decode(stored.data)
        if not waking.due(job.revision, now, self._queue_since) or await self._is_worked_on(files, job, now):
            return False
        waking = waking.again(job.revision, now)
        if job.extraction_complete:
            await start_chains(self._queue, job, wake=waking.wakes, at=now)
        else:
            await start_extraction(self._queue, job, wake=waking.wakes, at=now)
        # Afterwards: it ends the tasks of earlier wakings. The names are the same for whoever wakes it a second time.
        await self._store.write(stat.path, active.encode(waking), if_generation=stored.generation)
        log.info("job_woken", job_id=job.job_id, times=waking.times)
        return True

    async def _is_worked_on(self, files: SessionFiles, job: Job, now: datetime) -> bool:
        """Whether the record moved lately, or somebody holds a live lease of the stage that is missing.

        Where tasks wait long in the queue, the next one may take twice as long as the last.
        """
        if job.updated_at + timedelta(seconds=self._every) > now and job.revision:
            return True
        leases = Leases(files)
        standing = await leases.listed()
        last = max(standing, key=lambda name: standing[name].updated_at, default="")
        looked_at = {
            name: stat for name, stat in standing.items() if stat.updated_at + self._lease > now or name == last
        }
        found = {name: lease for name, lease in (await leases.read(looked_at)).items() if lease.run == job.run}
        # A queue that forgets has lost the tasks of before: there is nothing to wait for.
        waits = self._queue_since is None or (last in found and standing[last].updated_at > self._queue_since)
        if last in found and waits and found[last].waited:
            patience = timedelta(seconds=self._every + 2 * found[last].waited)
            if standing[last].updated_at + patience > now:
                return True
        return any(
            lease.state is LeaseState.HELD and standing[name].updated_at + self._lease > now
            for name, lease in found.items()
        )
