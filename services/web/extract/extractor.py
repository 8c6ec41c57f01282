"""The handling of an extraction task: open the upload, plan the pages, render them, start OCR after the first batch."""

import asyncio
import contextlib
from datetime import timedelta

import msgspec
import structlog

from libs.jobstate import active, password
from libs.jobstate import plan as batches
from libs.jobstate.active import is_woken_since, newest_wake
from libs.jobstate.commit import Change, commit, committed_if_slow, load
from libs.jobstate.ending import settle
from libs.jobstate.job import Job
from libs.jobstate.lease import LeaseLost, is_held, renewed, take
from libs.jobstate.neighbours import Neighbours, Seat
from libs.jobstate.notice import retire
from libs.jobstate.page import unprepared
from libs.jobstate.recorder import Recorder
from libs.jobstate.selection import ALL_PAGES, parse_pages
from libs.jobstate.timeslice import TimeSlice
from libs.storage import layout
from libs.storage.errors import NotFound, StorageError
from libs.storage.session import SessionFiles
from libs.taskqueue.queue import EXTRACT_QUEUE, QueueUnavailable
from libs.taskqueue.task import OcrTask, next_name
from services.web.extract.extraction import ExtractContext, Extraction, OpenPages
from services.web.extract.pages import pages_to_render, save_failure, stored_outcomes
from services.web.extract.saves import Saves
from services.web.extract.scratch import local_copy
from services.web.extract.searchable import make_searchable
from services.web.outputs.searchable import made_since
from services.web.render.document import FailedPage, RenderedPage, Unreadable
from services.web.render.filetype import FileType
from services.web.tasks import start_chains, start_webhooks

log = structlog.get_logger()

#: The name of an extraction's lease.
EXTRACT = "extract"
#: Seconds until a call that finds another at work looks again. Chosen: small beside a lease's 60 s, so that one that
#: expires is noticed soon, and large beside the cost of a delivery.
RETRY_SECONDS = 5.0


class Extractor:
    """Handles extraction tasks. Each is resumable: pages that an earlier delivery rendered are kept."""

    # See `Stage`.
    faults = ()
    fatal = ()

    def __init__(self, context: ExtractContext) -> None:
        self._context = context
        settings = context.settings
        self._neighbours = Neighbours(
            context.store, self, extra_seats=settings.extra_children, look_seconds=settings.look_seconds
        )

    def drain(self) -> None:
        """Prepare for the end of the process: render no further page, release leases, enqueue successors."""
        self._context.draining.set()

    async def process(self, task: OcrTask, name: str) -> bool:
        """Extract the task's job, or continue to, or make its searchable PDF; whether this call did anything for it.

        `name` is the task's own name in the queue. Raises `StorageError` and `QueueUnavailable`: the queue then
        delivers the task again.
        """
        files = SessionFiles(
            store=self._context.store,
            user_hash=task.user_hash or layout.user_hash(task.user_email),
            session_id=task.session_id,
        )
        try:
            job = await load(files)
            if task.searchable:
                if not job.ended or job.run != task.run or await made_since(files, job) is not None:
                    return False
            elif job.ended or task.run < job.run:
                return False
            elif job.extraction_complete:
                # The call that recorded it may have died before it started the chains. Chains that were started have
                # the same names, so the queue does not take them twice. Nor may it have forgotten the password.
                await password.forget(files, job)
                await _start_chains(self._context, files, task, job)
                return False
            time_slice = TimeSlice(files, await files.store.now(), task.due_at)
            async with self._neighbours.host(files, time_slice.waited) as host:
                extraction = Extraction(
                    context=self._context,
                    task=task,
                    task_name=name,
                    files=files,
                    time_slice=time_slice,
                    seat=host.seat,
                    slots=self._context.render_slots,
                )
                if await host.gives_way():
                    await _enqueue_successor(extraction)
                    return False
                if task.searchable:
                    await make_searchable(extraction, job)
                    return True
                return await _extract_under_lease(extraction, job)
        except (NotFound, LeaseLost):
            # The job was deleted, another call has taken the extraction over, or the searchable PDF is outdated.
            return False

    async def find(self, files: SessionFiles) -> Job | None:
        """The job, if its document has pages to render and no process does it: see `Stage`."""
        job = await load(files)
        if self._context.draining.is_set() or job.ended or job.extraction_complete:
            return None
        return None if await is_held(files, EXTRACT, job.run) else job

    async def serve(self, files: SessionFiles, job: Job, seat: Seat) -> None:
        """Extract the job of a guest: see `Stage`."""
        now = await files.store.now()
        extraction = Extraction(
            context=self._context,
            task=OcrTask(session_id=files.session_id, user_hash=files.user_hash, run=job.run),
            task_name="",
            files=files,
            time_slice=TimeSlice(files, now, now - timedelta(seconds=seat.waited)),
            seat=seat,
            slots=asyncio.Semaphore(1) if seat.guest else self._context.render_slots,
        )
        await _extract_under_lease(extraction, job)


async def _extract_under_lease(extraction: Extraction, job: Job) -> bool:
    """Extract while holding the job's extraction lease; whether this call got it."""
    context = extraction.context
    lease = await take(
        extraction.files,
        EXTRACT,
        run=job.run,
        holder=context.holder,
        seconds=context.settings.lease_seconds,
        waited=extraction.time_slice.waited,
    )
    if lease is None:
        # The holder does not enqueue its successor if the sweep has woken the job since: then this task continues.
        await _enqueue_successor(extraction, delay_seconds=RETRY_SECONDS)
        return False
    try:
        async with renewed(lease):
            finished = await _extract(extraction, job)
    except (StorageError, QueueUnavailable):
        # The queue delivers the task again in a moment. A lease still held would make that delivery do nothing, and the
        # job would wait for a sweep after the lease has expired.
        with contextlib.suppress(LeaseLost, StorageError):
            await lease.release()
        raise
    if finished:
        await lease.finish({})
    else:
        await lease.release()
        await _enqueue_successor(extraction)
    return True


async def _enqueue_successor(extraction: Extraction, *, delay_seconds: float = 0.0) -> None:
    """Enqueue the task's successor, unless the sweep has woken the job since: then the sweep's task continues."""
    context, files = extraction.context, extraction.files
    if not extraction.task_name or await is_woken_since(files, extraction.task.wake):
        return
    due_at = await context.store.now() + timedelta(seconds=delay_seconds)
    successor = msgspec.structs.replace(extraction.task, due_at=due_at)
    name = next_name(extraction.task_name)
    await context.queue.enqueue(EXTRACT_QUEUE, successor, name=name, delay_seconds=delay_seconds)


async def _extract(extraction: Extraction, job: Job) -> bool:
    """Open the document and render what is missing; whether extraction is over."""
    context, files = extraction.context, extraction.files
    plan: Change | None = None
    dpi = _next_dpi(job)
    try:
        async with contextlib.AsyncExitStack() as stack:
            async with committed_if_slow(lambda: _show_loading(files)):
                raw = await stack.enter_async_context(local_copy(files, job.file_info.raw_file))
                document = await stack.enter_async_context(
                    context.open_document(
                        raw,
                        FileType(job.file_info.file_type),
                        dpi=dpi or job.options.dpi,
                        limits=context.settings.limits,
                        slots=extraction.slots,
                        password=await password.read(files, job),
                    )
                )
            plan = await _plan(extraction, job, document)
            finished = await _render(extraction, job, plan, document, dpi)
    except Unreadable as fault:
        if plan is not None:
            job = await commit(files, plan)
        await _refuse(extraction, job, fault)
        return True
    if finished:
        await _complete(extraction)
    return finished


def _next_dpi(job: Job) -> int | None:
    """The resolution of the first page without its image, where a retry asked for another than the job's."""
    return next((job.pages[number].options.dpi for number in unprepared(job.pages)), None)


async def _show_loading(files: SessionFiles) -> None:
    at = await files.store.now()
    await commit(files, lambda job: job.load(at))


async def _plan(extraction: Extraction, job: Job, document: OpenPages) -> Change | None:
    """The change that plans the pages; `None` where the record has a plan. Raises `Unreadable`.

    It is not committed here but together with the first pages, since a bucket takes one write a second of an object.
    """
    if job.planned:
        return None
    selection = parse_pages(job.options.pages) if job.options.pages else ALL_PAGES
    try:
        pages = selection.resolve(document.total_pages)
    except ValueError as error:
        raise Unreadable(str(error)) from error
    settings = extraction.context.settings
    size = batches.size(len(pages), most=settings.batch_size, parallelism=settings.parallelism)
    found = await stored_outcomes(extraction.files, pages) if job.rebuilt else {}
    at = await extraction.files.store.now()
    total_pages, repaired, run = document.total_pages, document.repaired, job.run

    def change(job: Job) -> Job:
        if job.run != run:
            return job  # rebuilt while this call was suspended: the next run plans with the outcomes that it finds
        return job.plan(
            pages,
            total_pages=total_pages,
            batch_size=size,
            parallelism=settings.parallelism,
            at=at,
            found=found,
            repaired=repaired,
        )

    return change


async def _render(extraction: Extraction, job: Job, plan: Change | None, document: OpenPages, dpi: int | None) -> bool:
    """Render the pages that have no image yet, for as long as the slice lasts; whether none is left.

    The document is open at `dpi` (`None`: the job's): pages of another resolution are left to the call's successor.
    """
    files = extraction.files
    async with Recorder(files, job, opening=plan) as recorder, Saves() as saves:
        job = recorder.job
        without_image = await pages_to_render(files, recorder)
        open_pages = [number for number in without_image if job.pages[number].options.dpi == dpi]
        chains_started = job.run > 1
        first_batch = next((batch.pages for batch in batches.batches(job)), ())
        clock = asyncio.get_running_loop().time
        charged = clock()
        async for page in document.render(open_pages):
            extraction.seat.charge(clock() - charged)
            charged = clock()
            await saves.add(_save(extraction, recorder, page, dpi))
            if not chains_started and page.page_no >= first_batch[-1]:
                await saves.done()
                if page.page_no in first_batch:  # else an earlier call has requested it
                    await active.request_slice(files)
                if page.page_no != open_pages[-1]:  # else this is the end, and `_complete` starts them
                    await _start_chains(extraction.context, files, extraction.task, await recorder.flush())
                chains_started = True
            if recorder.stopped or page.page_no == open_pages[-1]:
                break
            if await extraction.must_yield():
                await saves.done()
                await recorder.flush()
                return False
        await saves.done()
        at = await files.store.now()
        await recorder.flush(lambda job: job.extracted(at))
    return len(open_pages) == len(without_image) or recorder.stopped


async def _save(extraction: Extraction, recorder: Recorder, page: RenderedPage | FailedPage, dpi: int | None) -> None:
    files = extraction.files
    at = await files.store.now()
    extraction.context.metrics.rendered(failed=isinstance(page, FailedPage))
    if isinstance(page, FailedPage):
        await save_failure(files, recorder, page, at)
        return
    await files.save_page_image(page.page_no, page.png, dpi)
    recorder.note_image(page.page_no, at, dpi)


async def _complete(extraction: Extraction) -> None:
    """Record that extraction is over, and start OCR, or end a job that needs none."""
    files = extraction.files
    at = await files.store.now()
    job = await commit(files, lambda job: job.extracted(at))
    if not job.extraction_complete:
        return  # the job was cancelled, and may be in its next run by now
    log.info("extraction_complete", job_id=files.session_id, pages=len(job.pages))
    await password.forget(files, job)
    if job.fulfilled:
        await _settle(extraction)
    else:
        await _start_chains(extraction.context, files, extraction.task, job)


async def _refuse(extraction: Extraction, job: Job, fault: Unreadable) -> None:
    """The document cannot be opened: the job fails, or those of its pages that no earlier slice has rendered."""
    files = extraction.files
    at = await files.store.now()
    code = fault.fault and fault.fault.code
    log.info("document_refused", job_id=files.session_id, code=code)
    if not job.planned:
        job = await commit(files, lambda job: job.extraction_failed(fault.reason, at, code=code))
        await retire(files, job)
        await start_webhooks(extraction.context.queue, job)
        return
    async with Recorder(files, job) as recorder:
        for page_no in await pages_to_render(files, recorder):
            await save_failure(files, recorder, FailedPage(page_no=page_no, reason=fault.reason), at)
        await recorder.flush()
    await password.forget(files, job)
    # Pages that have their images are read all the same.
    await _complete(extraction)


async def _settle(extraction: Extraction) -> None:
    context = extraction.context
    job = await settle(extraction.files, holder=context.holder, lease_seconds=context.settings.lease_seconds)
    await start_webhooks(context.queue, job)


async def _start_chains(context: ExtractContext, files: SessionFiles, task: OcrTask, job: Job) -> None:
    wake = await newest_wake(files, task.wake)
    await start_chains(context.queue, job, wake=wake)
