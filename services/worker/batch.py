"""One call of the worker: claim -> read -> commit -> continue."""

import asyncio
import os
import secrets
import socket
from datetime import timedelta
from enum import StrEnum

import msgspec

from libs.jobstate.active import is_woken_since
from libs.jobstate.commit import load
from libs.jobstate.ending import settle
from libs.jobstate.job import Job
from libs.jobstate.lease import HeldLease
from libs.jobstate.recorder import Recorder
from libs.jobstate.timeslice import TimeSlice
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from libs.storage.store import ObjectStore
from libs.taskqueue.queue import OCR_QUEUE, TaskQueue
from libs.taskqueue.task import OcrTask, next_name
from services.worker.claim import claim
from services.worker.engines.engine import Fallback
from services.worker.engines.occupancy import SharedEngine
from services.worker.engines.registry import EngineRegistry
from services.worker.inflight import InFlight
from services.worker.metrics import WorkerMetrics
from services.worker.quarantine import Quarantine
from services.worker.reader import BatchReader

# The delay of a successor that found nothing to do doubles between these (seconds).
IDLE_FROM, IDLE_TO = 2.0, 30.0


class CallStatus(StrEnum):
    """What a call came to (R33). All are final: the queue does not deliver the task again."""

    BATCH_PROCESSED = "batch_processed"
    NO_PENDING_PAGES = "no_pending_pages"
    UNKNOWN_SESSION = "unknown_session"


class CallResult(msgspec.Struct, frozen=True, kw_only=True):
    """The answer and how many pages this call gave an outcome."""

    status: CallStatus
    pages_processed: int = 0


class BatchWorker:
    """Works on jobs. Calls may run side by side and share an engine."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        queue: TaskQueue,
        engines: EngineRegistry,
        fallback: Fallback | None,
        lease_seconds: float,
        page_seconds: float,
        batch_seconds: float,
        metrics: WorkerMetrics,
    ) -> None:
        self._store = store
        self._queue = queue
        self._engines = engines
        self._fallback = fallback
        self._lease_seconds = lease_seconds
        self._page_seconds = page_seconds
        self._batch_seconds = batch_seconds
        self._metrics = metrics
        self._draining = asyncio.Event()
        self._quarantine = Quarantine()
        self.holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    def drain(self) -> None:
        """The process is about to end: take no more pages, give leases back, enqueue successors."""
        self._draining.set()

    async def process(self, task: OcrTask, name: str) -> CallResult:
        """Read what is free of the task's job, and see that the job goes on.

        `name` is the task's own name, from which its successor's follows. Raises `StorageError`, `QueueUnavailable`,
        `EngineBroke`, `EngineUnavailable`: the queue then delivers the task again. `EngineHangs` is for the caller, who
        ends the process.
        """
        files = SessionFiles(
            store=self._store,
            user_hash=task.user_hash or layout.user_hash(task.user_email),
            session_id=task.session_id,
        )
        try:
            job = await load(files)
            if job.ended or task.run < job.run:
                return CallResult(status=CallStatus.NO_PENDING_PAGES)
            recorder = Recorder(files, job)
            worked, pages = await self._work(files, recorder, task)
            job = await settle(
                files, holder=self.holder, lease_seconds=self._lease_seconds, leases=recorder.leases, hurried=worked
            )
        except NotFound:
            return CallResult(status=CallStatus.UNKNOWN_SESSION)
        if not job.ended and not await is_woken_since(files, task.wake):
            await self._continue(task, job, name, worked=worked)
        if not worked:
            return CallResult(status=CallStatus.NO_PENDING_PAGES)
        return CallResult(status=CallStatus.BATCH_PROCESSED, pages_processed=pages)

    async def _work(self, files: SessionFiles, recorder: Recorder, task: OcrTask) -> tuple[bool, int]:
        """Read free batches, as many at once as the engine has room for: whether there was any; pages read."""
        time_slice = TimeSlice(files, await self._store.now(), task.due_at)
        engine = await self._engines.engine(recorder.job.options.engine)
        async with recorder, InFlight(engine, self._metrics) as in_flight:
            while await self._goes_on(in_flight, recorder, engine, time_slice):
                if lease := await self._claim(files, recorder, task.chain, time_slice.waited):
                    recorder.note_claim()
                    in_flight.start(lease, self._reader(files, recorder, engine, time_slice, task, lease))
                elif not await in_flight.wait_for_one(IDLE_FROM):
                    break
        return in_flight.claimed > 0, in_flight.read

    async def _goes_on(
        self, in_flight: InFlight, recorder: Recorder, engine: SharedEngine, time_slice: TimeSlice
    ) -> bool:
        """Whether to claim a further batch, once there is room for it."""
        await in_flight.capacity()
        if not in_flight.claimed:
            return True
        if in_flight.over or recorder.stopped or time_slice.seconds > self._batch_seconds:
            return False
        if in_flight.claimed >= engine.slots and await time_slice.is_shared():
            return (
                False  # the engine was filled once, and another job is active: this one goes to the back of the queue
            )
        await recorder.refresh()
        return True

    def _reader(
        self,
        files: SessionFiles,
        recorder: Recorder,
        engine: SharedEngine,
        time_slice: TimeSlice,
        task: OcrTask,
        lease: HeldLease,
    ) -> BatchReader:
        return BatchReader(
            files,
            lease,
            recorder,
            engine.reserve(len(lease.lease.pages)),
            self._fallback,
            page_seconds=self._page_seconds,
            draining=self._draining,
            quarantine=self._quarantine,
            metrics=self._metrics,
            time_slice=time_slice,
            # One chain makes room for a newcomer at once: where no task has to wait, that is enough.
            yields=task.chain == 0 or time_slice.crowded,
        )

    async def _claim(self, files: SessionFiles, recorder: Recorder, chain: int, waited: float) -> HeldLease | None:
        if self._draining.is_set() or recorder.job.ended:
            return None
        return await claim(files, recorder, chain, holder=self.holder, seconds=self._lease_seconds, waited=waited)

    async def _continue(self, task: OcrTask, job: Job, name: str, *, worked: bool) -> None:
        """Enqueue the successor: the chain lives until the job has ended."""
        idle = 0 if worked else task.idle + 1
        delay = min(IDLE_TO, IDLE_FROM * 2 ** (idle - 1)) if idle else 0.0
        due_at = await self._store.now() + timedelta(seconds=delay)
        successor = msgspec.structs.replace(task, run=job.run, idle=idle, due_at=due_at)
        await self._queue.enqueue(OCR_QUEUE, successor, name=next_name(name), delay_seconds=delay)
