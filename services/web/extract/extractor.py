"""The extraction task: open the upload, plan the pages, render them, start the OCR behind the first slice."""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from pathlib import Path
from typing import Protocol

import msgspec
import structlog

from libs.jobstate import active
from libs.jobstate import plan as batches
from libs.jobstate.active import is_woken_since, newest_wake
from libs.jobstate.commit import Change, commit, load
from libs.jobstate.ending import settle
from libs.jobstate.job import Job
from libs.jobstate.lease import LeaseLost, take
from libs.jobstate.recorder import Recorder
from libs.jobstate.selection import ALL_PAGES, parse_pages
from libs.jobstate.timeslice import TimeSlice
from libs.storage import layout
from libs.storage.errors import NotFound, StorageError
from libs.storage.session import SessionFiles
from libs.storage.store import ObjectStore
from libs.taskqueue.queue import EXTRACT_QUEUE, QueueUnavailable, TaskQueue
from libs.taskqueue.task import OcrTask, next_name
from services.web.extract.background import renewed, said_if_long
from services.web.extract.pages import fail, known, missing
from services.web.extract.saves import Saves
from services.web.extract.scratch import scratch_folder
from services.web.metrics import WebMetrics
from services.web.render.document import FailedPage, RenderedPage, RenderLimits, Unreadable, open_document
from services.web.render.filetype import FileType
from services.web.tasks import start_chains

log = structlog.get_logger()

EXTRACT = "extract"
# What a document gets rendered before it makes room for a newcomer, since each call fetches and opens it anew.
LEAST_SECONDS = 2.0
# When a call that finds another at work looks again.
AGAIN_SECONDS = 5.0


class Pages(Protocol):
    """An open document as extraction needs it; `Document` is one."""

    @property
    def total_pages(self) -> int: ...

    def render(self, pages: Sequence[int]) -> AsyncIterator[RenderedPage | FailedPage]: ...


class Opener(Protocol):
    """How a document is opened; `open_document` is how."""

    def __call__(
        self, path: Path, file_type: FileType, *, dpi: int, limits: RenderLimits, slots: asyncio.Semaphore
    ) -> AbstractAsyncContextManager[Pages]: ...


class Extractor:
    """Runs extraction tasks, each resumable: what an earlier delivery rendered is kept."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        queue: TaskQueue,
        limits: RenderLimits,
        children: int,
        batch_size: int,
        parallelism: int,
        slice_seconds: float,
        lease_seconds: float,
        metrics: WebMetrics,
        opener: Opener = open_document,
    ) -> None:
        self._store = store
        self._queue = queue
        self._limits = limits
        self._slots = asyncio.Semaphore(children)
        self._batch_size = batch_size
        self._parallelism = parallelism
        self._slice_seconds = slice_seconds
        self._lease_seconds = lease_seconds
        self._metrics = metrics
        self._open_document = opener
        self._draining = asyncio.Event()
        self._holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

    def drain(self) -> None:
        """The process is about to end: render no more pages, give leases back, enqueue successors."""
        self._draining.set()

    async def process(self, task: OcrTask, name: str) -> bool:
        """Extract the task's job, or go on with it. Whether this call did anything.

        Raises `StorageError` and `QueueUnavailable`: the queue then delivers the task again.
        """
        user_hash = task.user_hash or layout.user_hash(task.user_email)
        files = SessionFiles(store=self._store, user_hash=user_hash, session_id=task.session_id)
        try:
            job = await load(files)
            if job.ended or task.run < job.run:
                return False
            if job.extraction_complete:
                # Whoever said so may have died before it started them. Those that are there have the same names.
                await self._start_chains(files, job, task.wake)
                return False
            turn = TimeSlice(files, await self._store.now(), task.due_at)
            lease = await take(
                files, EXTRACT, run=job.run, holder=self._holder, seconds=self._lease_seconds, waited=turn.waited
            )
            if lease is None:
                # Its holder may be one that ends after this call, because the sweep has woken the job since.
                await self._go_on(files, task, name, delay_seconds=AGAIN_SECONDS)
                return False
            try:
                async with renewed(lease):
                    finished = await self._extract(files, job, turn, task.wake)
            except (StorageError, QueueUnavailable):
                # The queue delivers again in a moment, and our own lease must not be in its way: it would find
                # nothing to do, and the job would lie until a sweep after the lease has expired.
                with contextlib.suppress(LeaseLost, StorageError):
                    await lease.release()
                raise
            if finished:
                await lease.finish({})
            else:
                await lease.release()
                await self._go_on(files, task, name)
        except (NotFound, LeaseLost):
            # The job was deleted, or another call has taken the extraction over.
            return False
        return True

    async def _go_on(self, files: SessionFiles, task: OcrTask, name: str, *, delay_seconds: float = 0.0) -> None:
        """Enqueue the successor, unless the sweep has woken the job: then that waking's task goes on."""
        if await is_woken_since(files, task.wake):
            return
        due_at = await self._store.now() + timedelta(seconds=delay_seconds)
        task = msgspec.structs.replace(task, due_at=due_at)
        await self._queue.enqueue(EXTRACT_QUEUE, task, name=next_name(name), delay_seconds=delay_seconds)

    async def _extract(self, files: SessionFiles, job: Job, turn: TimeSlice, wake: int) -> bool:
        """Render what is missing; whether extraction is over."""
        plan: Change | None = None
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with said_if_long(lambda: self._say_loading(files)):
                    raw = await stack.enter_async_context(self._local_copy(files, job))
                    document = await stack.enter_async_context(
                        self._open_document(
                            raw,
                            FileType(job.file_info.file_type),
                            dpi=job.options.dpi,
                            limits=self._limits,
                            slots=self._slots,
                        )
                    )
                plan = await self._plan(files, job, document.total_pages)
                finished = await self._render(files, job, plan, document, turn, wake)
        except Unreadable as fault:
            if plan is not None:
                job = await commit(files, plan)
            await self._refuse(files, job, fault.reason)
            return True
        if finished:
            at = await self._store.now()
            job = await commit(files, lambda job: job.extracted(at))
            if not job.extraction_complete:
                return True  # stopped: the job was cancelled, and may be in its next run by now
            log.info("extraction_complete", job_id=files.session_id, pages=len(job.pages))
            if job.fulfilled:
                await settle(files, holder=self._holder, lease_seconds=self._lease_seconds)
            else:
                await self._start_chains(files, job, wake)
        return finished

    async def _start_chains(self, files: SessionFiles, job: Job, wake: int) -> None:
        await start_chains(self._queue, job, user_hash=files.user_hash, wake=await newest_wake(files, wake))

    async def _say_loading(self, files: SessionFiles) -> None:
        at = await self._store.now()
        await commit(files, lambda job: job.load(at))

    async def _plan(self, files: SessionFiles, job: Job, total: int) -> Change | None:
        """The plan, if the record has none: written with the first pages, since one object takes a write a second."""
        if job.planned:
            return None
        selection = parse_pages(job.options.pages) if job.options.pages else ALL_PAGES
        try:
            pages = selection.resolve(total)
        except ValueError as error:
            raise Unreadable(str(error)) from error
        size = batches.size(len(pages), most=self._batch_size, parallelism=self._parallelism)
        found = await known(files, pages) if job.rebuilt else {}
        at = await self._store.now()
        return lambda job: job.plan(
            pages, total_pages=total, batch_size=size, parallelism=self._parallelism, at=at, found=found
        )

    async def _render(
        self, files: SessionFiles, job: Job, plan: Change | None, document: Pages, turn: TimeSlice, wake: int
    ) -> bool:
        """Render the pages that have no image yet, as long as the slice lasts; whether none is left."""
        async with Recorder(files, job, opening=plan) as recorder, Saves() as saves:
            job = recorder.job
            open_pages = await missing(files, job, recorder)
            started = job.run > 1
            first = next((batch.pages for batch in batches.batches(job)), ())
            async for page in document.render(open_pages):
                await saves.add(self._save(files, recorder, page))
                if not started and page.page_no >= first[-1]:
                    await saves.done()
                    if page.page_no in first:  # else an earlier call has asked
                        await active.request_slice(files)
                    if page.page_no != open_pages[-1]:  # else this is the end, which starts them
                        await self._start_chains(files, await recorder.flush(), wake)
                    started = True
                if recorder.stopped or page.page_no == open_pages[-1]:
                    break
                if self._draining.is_set() or await self._is_over(turn):
                    await saves.done()
                    await recorder.flush()
                    return False
            await saves.done()
            at = await self._store.now()
            await recorder.flush(lambda job: job.extracted(at))
        return True

    async def _is_over(self, turn: TimeSlice) -> bool:
        """Whether the rest is left to a later call."""
        return turn.seconds > self._slice_seconds or (turn.seconds > LEAST_SECONDS and await turn.has_newcomer())

    async def _save(self, files: SessionFiles, recorder: Recorder, page: RenderedPage | FailedPage) -> None:
        at = await self._store.now()
        self._metrics.rendered(failed=isinstance(page, FailedPage))
        if isinstance(page, RenderedPage):
            await files.save_page_image(page.page_no, page.png)
            recorder.note_image(page.page_no, at)
            return
        await fail(files, recorder, page.page_no, page.reason, at)

    async def _refuse(self, files: SessionFiles, job: Job, reason: str) -> None:
        """The document cannot be opened: the job ends, or the pages that an earlier slice left do."""
        at = await self._store.now()
        log.info("document_refused", job_id=files.session_id)
        if not job.planned:
            job = await commit(files, lambda job: job.extraction_failed(reason, at))
            await active.remove(files, job)
            return
        async with Recorder(files, job) as recorder:
            for page_no in await missing(files, job, recorder):
                await fail(files, recorder, page_no, reason, at)
            await recorder.flush()
        job = await commit(files, lambda job: job.extracted(at))
        await settle(files, holder=self._holder, lease_seconds=self._lease_seconds)

    @contextlib.asynccontextmanager
    async def _local_copy(self, files: SessionFiles, job: Job) -> AsyncIterator[Path]:
        """The upload as a local file: fetched once per call, not per page."""
        with scratch_folder() as folder:
            raw = folder / "upload"
            try:
                async with self._store.open_read(files.path(job.file_info.raw_file)) as source:
                    with raw.open("wb") as target:
                        async for chunk in source.chunks:
                            await asyncio.to_thread(target.write, chunk)
            except NotFound as error:
                raise Unreadable("The uploaded file is missing from the storage. Upload it again.") from error
            yield raw
