"""Group commits: the record follows the evidence, at a pace that one object can take."""

import asyncio
import random
from collections.abc import Mapping
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import structlog

from libs.jobstate.commit import Change, StoredJob, commit_stored, load_stored
from libs.jobstate.evidence import Evidence, Leases, read_evidence
from libs.jobstate.job import Job
from libs.jobstate.outcome import BriefOutcome
from libs.jobstate.plan import chains
from libs.storage.errors import NotFound, StorageError
from libs.storage.session import SessionFiles

log = structlog.get_logger()

#: Seconds that a call may go without reading the record, which shows a cancellation. Chosen: soon enough for
#: its owner, at one read in that time.
LOOK_SECONDS = 15.0
#: Seconds until a recorder looks again while another keeps the record up to date. Chosen: soon after that one may have
#: stopped.
FOLLOW_SECONDS = 5.0
#: Seconds for each chain over which the recorders that may write next are spread. Chosen: the first of them has mostly
#: written when the next would read the same evidence.
SPREAD_SECONDS = 0.15


def interval(elapsed: timedelta, pages: int) -> float:
    """Seconds between two commits of a job of `pages` pages that has run for `elapsed`.

    At most one a second, then fewer with time and with the length of the record: the bytes written then grow no faster
    than the pages. The interval is bounded, since a job that has waited for days may only have begun its work.
    """
    return min(max(1.0, pages / 300, elapsed.total_seconds() / 50), max(30.0, pages / 50))


def due_at(job: Job) -> datetime:
    """When the record may next be written to show the job's progress."""
    return job.updated_at + timedelta(seconds=interval(job.updated_at - job.run_started_at, len(job.pages)))


def _unchanged(job: Job) -> Job:
    return job


def _rendered(job: Job, images: Mapping[tuple[int, int | None], datetime], at: datetime) -> Job:
    for dpi in {dpi for _, dpi in images}:
        job = job.rendered({number: since for (number, of), since in images.items() if of == dpi}, at, dpi=dpi)
    return job


class Recorder:
    """Commits in the background what is noted here and what other workers have finished. Work never waits for it.

    The recorders of one job together write no more often than one recorder would.
    """

    def __init__(self, files: SessionFiles, job: Job, opening: Change | None = None) -> None:
        """`opening` is a change that the record does not have yet: it is written with the first other change, and
        `job` has it from the start.
        """
        self._files = files
        self._clock = asyncio.get_running_loop().time
        self._opening: Change = opening or _unchanged
        #: The record as last read or written; its status shows a cancellation.
        self.job = self._opening(job)
        self._generation = 0
        self._read_at = self._clock()
        #: The job's leases as this call has read them.
        self.leases = Leases(files)
        #: Whether the job was deleted.
        self.gone = False
        # By page and resolution.
        self._images: dict[tuple[int, int | None], datetime] = {}
        self._outcomes: dict[int, BriefOutcome] = {}
        self._due = asyncio.Event()
        if opening is not None:
            self._due.set()
        self._lock = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

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
            # An error of the body comes first: an engine that hangs has to end the process, whatever the record.
            if error is None:
                raise

    @property
    def stopped(self) -> bool:
        """Whether the rest of the work is not wanted: the job was cancelled or deleted, or has ended."""
        return self.gone or self.job.ended

    def note_image(self, page_no: int, at: datetime, dpi: int | None = None) -> None:
        """A page image was saved, at `dpi` (`None`: the job's)."""
        self._images[page_no, dpi] = at
        self._due.set()

    def note_outcome(self, page_no: int, outcome: BriefOutcome) -> None:
        """An outcome was saved."""
        self._outcomes[page_no] = outcome
        self._due.set()

    def note_claim(self) -> None:
        """A batch was claimed: its pages are being read."""
        self._due.set()

    async def refresh(self) -> Job:
        """Read the record again if it was written since. Raises `NotFound` when the job was deleted."""
        async with self._lock:
            stat = await self._files.store.stat(self._files.record_path)
            if stat.generation != self._generation:
                self._saw(await load_stored(self._files))
            return self.job

    async def flush(self, then: Change | None = None) -> Job:
        """Commit now all that is noted, and `then` after it. Raises `StorageError`, `NotFound` for a deleted job."""
        await self._commit(hurried=True, then=then or _unchanged)
        return self.job

    async def _commit(self, *, hurried: bool, then: Change = _unchanged) -> bool:
        """Whether the record has all that was noted; if not, another recorder was faster, and it is no longer due."""
        async with self._lock:
            at = await self._files.store.now()
            evidence = await read_evidence(self.leases, self.job, await self.leases.listed())
            images, outcomes = dict(self._images), dict(self._outcomes)
            written = False

            def change(job: Job) -> Job:
                nonlocal written
                # Another recorder may have written since this one looked: then the record is no longer due.
                written = hurried or due_at(job) <= at
                own = Evidence(started={}, outcomes=outcomes)
                noted = evidence.merged(_rendered(self._opening(job), images, at), at)
                return then(own.merged(noted, at)) if written else job

            self._saw(await commit_stored(self._files, change))
            if written:
                for image in images:
                    self._images.pop(image, None)
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
        """Seconds until the record is due, by whichever writer's last write; reads it if the last read is long ago."""
        stat = await self._files.store.stat(self._files.record_path)
        if stat.generation != self._generation and self._clock() - self._read_at > LOOK_SECONDS / 2:
            async with self._lock:
                self._saw(await load_stored(self._files))
        due = due_at(self.job)
        if stat.generation != self._generation:
            elapsed = stat.updated_at - self.job.run_started_at
            due = stat.updated_at + timedelta(seconds=interval(elapsed, len(self.job.pages)))
        return (due - await self._files.store.now()).total_seconds()

    def _saw(self, stored: StoredJob) -> None:
        self.job, self._generation = self._opening(stored.job), stored.generation
        self._read_at = self._clock()
