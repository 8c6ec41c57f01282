"""Group commits: the record follows the evidence, at a pace that one object can take."""

import asyncio
import contextlib
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

import structlog

from libs.jobstate.commit import commit, load
from libs.jobstate.evidence import Evidence, gather
from libs.jobstate.job import Job
from libs.jobstate.outcome import BriefOutcome
from libs.storage.errors import NotFound, StorageError
from libs.storage.session import SessionFiles

log = structlog.get_logger()


def interval(elapsed: timedelta) -> float:
    """Seconds between two commits of a job that has run for `elapsed`.

    One a second at most, then ever fewer, so that the bytes written grow linearly with pages.
    """
    return max(1.0, elapsed.total_seconds() / 100)


class Recorder:
    """Commits what is noted, and whatever other workers have finished, in the background.

    Work never waits for it. `job` is the record as last seen: its status tells the worker of a cancellation;
    `gone` says that the job was deleted.
    """

    def __init__(self, files: SessionFiles, job: Job) -> None:
        self._files = files
        self.job = job
        self.gone = False
        self._images: dict[int, datetime] = {}
        self._outcomes: dict[int, BriefOutcome] = {}
        self._due = asyncio.Event()
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
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

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
        """Read the record again. Raises `NotFound` when the job was deleted."""
        async with self._lock:
            self.job = await load(self._files)
            return self.job

    async def flush(self) -> Job:
        """Commit now all that is noted. Raises `StorageError`; `NotFound` when the job was deleted."""
        async with self._lock:
            at = await self._files.store.now()
            evidence = await gather(self._files, self.job)
            images, outcomes = dict(self._images), dict(self._outcomes)

            def change(job: Job) -> Job:
                own = Evidence(started={}, outcomes=outcomes)
                return own.merged(evidence.merged(job.rendered(images, at), at), at)

            self.job = await commit(self._files, change)
            for page_no in images:
                self._images.pop(page_no, None)
            for page_no in outcomes:
                self._outcomes.pop(page_no, None)
            return self.job

    async def _keep_up(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                job = await self.flush()
            except NotFound:
                self.gone = True
                return
            except StorageError as error:
                # What was noted is kept; the evidence is safe whether or not the record follows now.
                log.warning("commit_postponed", job_id=self._files.session_id, error=type(error).__name__)
                self._due.set()
                job = self.job
            await asyncio.sleep(interval(job.updated_at - job.run_started_at))
