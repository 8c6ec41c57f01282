"""Group commits: the record follows the evidence, at a pace that one object can take."""

import asyncio
import random
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import structlog

from libs.jobstate.commit import Change, StoredJob, commit_stored, load_stored
from libs.jobstate.evidence import Evidence, gather
from libs.jobstate.job import Job
from libs.jobstate.leases import Leases
from libs.jobstate.outcome import BriefOutcome
from libs.jobstate.plan import chains
from libs.storage.errors import NotFound, StorageError
from libs.storage.session import SessionFiles

log = structlog.get_logger()

# How long a call may go on without a look at the record, which would tell it of a cancellation.
LOOK_SECONDS = 15.0
# Somebody else keeps the record up to date: look again when they may have stopped.
FOLLOW_SECONDS = 5.0
# Seconds a chain by which those who might write next are spread, so that they do not all ask for the same evidence.
SPREAD_SECONDS = 0.15


def interval(elapsed: timedelta, pages: int) -> float:
    """Seconds between two commits of a job of `pages` pages that has run for `elapsed`.

    One a second at most, then ever fewer, and fewer of a long record than of a short one: the bytes written then grow
    no faster than the pages. Not for ever: a job that waited for days is young in its work.
    """
    return min(max(1.0, pages / 300, elapsed.total_seconds() / 50), max(30.0, pages / 50))


def due_at(job: Job) -> datetime:
    """When the record may be written again to say how far the job is."""
    return job.updated_at + timedelta(seconds=interval(job.updated_at - job.run_started_at, len(job.pages)))


def _unchanged(job: Job) -> Job:
    return job


class Recorder:
    """Commits what is noted, and whatever other workers have finished, in the background.

    Work never waits for it. `job` is the record as last seen: its status tells the worker of a cancellation;
    `gone` says that the job was deleted. Many recorders of one job together write no more often than one.

    `opening` is a change that the record does not have yet and that comes before all others: it is written with the
    first of them, and `job` has it from the start.
    """

    def __init__(self, files: SessionFiles, job: Job, opening: Change | None = None) -> None:
        self._files = files
        self._clock = asyncio.get_running_loop().time
        self._opening: Change = opening or _unchanged
        self._stored = StoredJob(job=self._opening(job), generation=0)
        self._read_at = self._clock()
        self.leases = Leases(files)
        self.gone = False
        self._images: dict[int, datetime] = {}
        self._outcomes: dict[int, BriefOutcome] = {}
        self._due = asyncio.Event()
        if opening is not None:
            self._due.set()
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @property
    def job(self) -> Job:
        """The record as last seen."""
        return self._stored.job

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._keep_up())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        async with self._lock:  # lets a write in flight end
            self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            pass
        except Exception:
            # What is already on its way says more: an engine that hangs has to end the process, whatever the record.
            if error is None:
                raise

    @property
    def stopped(self) -> bool:
        """Whether nobody wants the rest of the work: the job was cancelled, deleted, or has ended."""
        return self.gone or self.job.ended

    def note_image(self, page_no: int, at: datetime) -> None:
        """A page image was saved."""
        self._images[page_no] = at
        self._due.set()

    def note_outcome(self, page_no: int, outcome: BriefOutcome) -> None:
        """An outcome was saved."""
        self._outcomes[page_no] = outcome
        self._due.set()

    def note_claim(self) -> None:
        """A batch was claimed: show its pages as being read."""
        self._due.set()

    async def refresh(self) -> Job:
        """Read the record again if it was written since. Raises `NotFound` when the job was deleted."""
        async with self._lock:
            stat = await self._files.store.stat(self._files.record_path)
            if stat.generation != self._stored.generation:
                self._saw(await load_stored(self._files))
            return self.job

    async def flush(self, then: Change | None = None) -> Job:
        """Commit now all that is noted, and `then` after it. Raises `StorageError`; `NotFound` for a deleted job."""
        await self._commit(hurried=True, then=then or _unchanged)
        return self.job

    async def _commit(self, *, hurried: bool, then: Change = _unchanged) -> bool:
        """Whether the record has all that was noted; else somebody was faster, and it is not due any more."""
        async with self._lock:
            at = await self._files.store.now()
            evidence = await gather(self.leases, self.job, await self.leases.listed())
            images, outcomes = dict(self._images), dict(self._outcomes)
            written = False

            def change(job: Job) -> Job:
                nonlocal written
                # Somebody may have written since this recorder looked: then it is not its turn any more.
                written = hurried or due_at(job) <= at
                own = Evidence(started={}, outcomes=outcomes)
                noted = evidence.merged(self._opening(job).rendered(images, at), at)
                return then(own.merged(noted, at)) if written else job

            self._saw(await commit_stored(self._files, change))
            if written:
                for page_no in images:
                    self._images.pop(page_no, None)
                for page_no in outcomes:
                    self._outcomes.pop(page_no, None)
            else:
                self._due.set()
            return written

    async def _keep_up(self) -> None:
        wrote = False
        while True:
            await self._due.wait()
            try:
                wait = (due_at(self.job) - await self._files.store.now()).total_seconds()
                if not wrote:
                    wait = max(0.0, wait) + SPREAD_SECONDS * chains(self.job) * random.random()  # noqa: S311 - no secret
                await asyncio.sleep(min(wait, LOOK_SECONDS))
                if wait > LOOK_SECONDS:
                    await self._look()
                elif (wait := await self._look()) > 0:
                    wrote = False
                    await asyncio.sleep(max(FOLLOW_SECONDS, wait))
                else:
                    self._due.clear()
                    wrote = await self._commit(hurried=False)
            except NotFound:
                self.gone = True
                return
            except StorageError as error:
                # What was noted is kept; the evidence is safe whether or not the record follows now.
                log.warning("commit_postponed", job_id=self._files.session_id, error=type(error).__name__)
                self._due.set()
                await asyncio.sleep(1.0)

    async def _look(self) -> float:
        """Seconds until the record is due, whoever wrote it last; it is read again where that is long ago."""
        stat = await self._files.store.stat(self._files.record_path)
        if stat.generation != self._stored.generation and self._clock() - self._read_at > LOOK_SECONDS / 2:
            async with self._lock:
                self._saw(await load_stored(self._files))
        due = due_at(self.job)
        if stat.generation != self._stored.generation:
            elapsed = stat.updated_at - self.job.run_started_at
            due = stat.updated_at + timedelta(seconds=interval(elapsed, len(self.job.pages)))
        return (due - await self._files.store.now()).total_seconds()

    def _saw(self, stored: StoredJob) -> None:
        self._stored = StoredJob(job=self._opening(stored.job), generation=stored.generation)
        self._read_at = self._clock()
