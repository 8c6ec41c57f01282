"""The handling of a task of the OCR queue: decode, claim, read, save, commit, continue."""

from contextlib import suppress
from datetime import timedelta

import msgspec

from libs.jobstate.active import is_woken_since
from libs.jobstate.commit import load
from libs.jobstate.ending import settle
from libs.jobstate.evidence import Leases
from libs.jobstate.job import Job
from libs.jobstate.neighbours import Neighbours, Seat
from libs.jobstate.recorder import Recorder
from libs.jobstate.timeslice import TimeSlice
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from libs.taskqueue.queue import OCR_QUEUE, WEBHOOK_QUEUE, QueueUnavailable
from libs.taskqueue.task import OcrTask, next_name, webhook_task
from services.worker.call import Call, CallResult, CallStatus, EngineBroke, EngineHangs, WorkerContext
from services.worker.claim import claim, free_batches
from services.worker.engines.engine import EngineUnavailable
from services.worker.inflight import InFlight

# Seconds by which the successor of a call without a free batch is delayed: doubled each time from the first to the
# second. Chosen: short enough for a lease that expires, long enough that waiting chains do not fill the queue.
IDLE_FROM, IDLE_TO = 2.0, 30.0
#: Users whose pages a process reads beside those of its calls. Chosen: the engine is shared, so each of them makes a
#: page of the others take one page's time longer.
EXTRA_SEATS = 2


class BatchWorker:
    """Works on jobs. Calls may run side by side and share an engine."""

    # See `Stage`.
    faults = (EngineBroke, EngineUnavailable)
    fatal = (EngineHangs,)

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._neighbours = Neighbours(
            context.store, self, extra_seats=EXTRA_SEATS, look_seconds=context.limits.look_seconds
        )

    def drain(self) -> None:
        """Prepare for the end of the process: begin no further page, release leases, enqueue successors."""
        self._context.draining.set()

    async def process(self, task: OcrTask, name: str) -> CallResult:
        """Read free batches of the task's job, and enqueue the task's successor until the job has ended.

        `name` is the task's own name, from which its successor's name is derived. Raises `StorageError`,
        `QueueUnavailable`, `EngineBroke`, `EngineUnavailable`: the queue then delivers the task again. After
        `EngineHangs` the caller has to end the process.
        """
        files = SessionFiles(
            store=self._context.store,
            user_hash=task.user_hash or layout.user_hash(task.user_email),
            session_id=task.session_id,
        )
        try:
            job = await load(files)
        except NotFound:
            return CallResult(status=CallStatus.UNKNOWN_SESSION)
        if job.ended or task.run < job.run:
            return CallResult(status=CallStatus.NO_PENDING_PAGES)
        time_slice = TimeSlice(files, await files.store.now(), task.due_at)
        async with self._neighbours.host(files, time_slice.waited) as host:
            if await host.gives_way():
                await self._continue(files, task, job, name, worked=True)
                return CallResult(status=CallStatus.NO_PENDING_PAGES)
            return await self._work(task, name, files, job, time_slice, host.seat)

    async def find(self, files: SessionFiles) -> Job | None:
        """The job, if a batch of it can be read and no process holds it: see `Stage`."""
        context = self._context
        if context.draining.is_set() or context.quarantine.is_closed:
            return None
        job = await load(files)
        if job.ended or not job.planned:
            return None
        return job if await free_batches(files, Leases(files), job, 0, context.limits.lease_seconds) else None

    async def serve(self, files: SessionFiles, job: Job, seat: Seat) -> None:
        """Read batches of a guest's job: see `Stage`."""
        task = OcrTask(session_id=files.session_id, user_hash=files.user_hash, run=job.run)
        now = await files.store.now()
        time_slice = TimeSlice(files, now, now - timedelta(seconds=seat.waited))
        call = await self._open(task, files, job, time_slice, seat)
        in_flight = await _read(call)
        await self._commit(call, worked=in_flight.claimed > 0)

    async def _work(
        self, task: OcrTask, name: str, files: SessionFiles, job: Job, time_slice: TimeSlice, seat: Seat
    ) -> CallResult:
        try:
            call = await self._open(task, files, job, time_slice, seat)
            in_flight = await _read(call)
            worked = in_flight.claimed > 0
            job = await self._commit(call, worked=worked)
        except NotFound:
            return CallResult(status=CallStatus.UNKNOWN_SESSION)
        if not job.ended:
            await self._continue(files, task, job, name, worked=worked)
        if not worked:
            return CallResult(status=CallStatus.NO_PENDING_PAGES)
        return CallResult(status=CallStatus.BATCH_PROCESSED, pages_processed=in_flight.read)

    async def _open(self, task: OcrTask, files: SessionFiles, job: Job, time_slice: TimeSlice, seat: Seat) -> Call:
        engine_name = _engine_of(job)
        return Call(
            worker=self._context,
            task=task,
            files=files,
            recorder=Recorder(files, job),
            time_slice=time_slice,
            engine=await self._context.engines.engine(engine_name),
            engine_name=engine_name,
            seat=seat,
        )

    async def _commit(self, call: Call, *, worked: bool) -> Job:
        """Bring the record up to date and end the job where its plan is fulfilled."""
        job = await settle(
            call.files,
            holder=self._context.holder,
            lease_seconds=self._context.limits.lease_seconds,
            leases=call.recorder.leases,
            hurried=worked,
        )
        await self._tell(job)
        return job

    async def _tell(self, job: Job) -> None:
        """Enqueue the webhooks of a job that has ended; where that fails, the sweep does it."""
        if job.ended and job.notify:
            task, name = webhook_task(session_id=job.session_id, user_hash=job.user_hash, run=job.run)
            with suppress(QueueUnavailable, KeyError):  # in the cloud a worker without EXTRACT_URL has no such queue
                await self._context.queue.enqueue(WEBHOOK_QUEUE, task, name=name)

    async def _continue(self, files: SessionFiles, task: OcrTask, job: Job, name: str, *, worked: bool) -> None:
        """Enqueue the successor: a chain of tasks lives until the job has ended or the sweep has woken it since."""
        if await is_woken_since(files, task.wake):
            return
        idle = 0 if worked else task.idle + 1
        delay = min(IDLE_TO, IDLE_FROM * 2 ** (idle - 1)) if idle else 0.0
        due_at = await self._context.store.now() + timedelta(seconds=delay)
        successor = msgspec.structs.replace(task, run=job.run, idle=idle, due_at=due_at)
        await self._context.queue.enqueue(OCR_QUEUE, successor, name=next_name(name), delay_seconds=delay)


def _engine_of(job: Job) -> str | None:
    """The engine of the first page that is still to be read; a retry may ask for one of its own."""
    open_pages = (number for number, page in job.pages.items() if not page.ended)
    return next((job.options_of(number).engine for number in open_pages), job.options.engine)


async def _read(call: Call) -> InFlight:
    """Claim free batches and read them, as many at once as the engine has room for."""
    async with call.recorder, InFlight(call) as in_flight:
        while await _may_claim(call, in_flight):
            if lease := await claim(call):
                call.recorder.note_claim()
                in_flight.start(lease)
            elif not await in_flight.wait_for_one(IDLE_FROM):
                break
    return in_flight


async def _may_claim(call: Call, in_flight: InFlight) -> bool:
    """Wait for room in the engine; whether to claim a further batch then."""
    await in_flight.capacity()
    if not in_flight.claimed:
        return True
    if in_flight.over or call.recorder.stopped or call.time_slice.seconds > call.worker.limits.batch_seconds:
        return False
    if call.seat.must_yield:
        return False
    # The engine was filled once, and another job of this user is active: this one goes to the back of the queue.
    if in_flight.claimed >= call.engine.slots and await call.time_slice.is_shared():
        return False
    await call.recorder.refresh()
    return True
