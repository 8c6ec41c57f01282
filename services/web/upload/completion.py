"""From a file that is stored whole, however its bytes came, to a job. Order: raw file, intake, record, task."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec
import structlog
from starlette.responses import JSONResponse, Response

from libs.jobstate import active, deletion
from libs.jobstate import intake as intakes
from libs.jobstate import upload as uploads
from libs.jobstate.commit import create
from libs.jobstate.intake import Intake
from libs.jobstate.job import Job
from libs.jobstate.rebuild import load_or_rebuild
from libs.jobstate.upload import PendingUpload
from libs.storage.errors import NotFound, PreconditionFailed, StorageError
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles, exists
from libs.storage.store import DirectStore, ObjectStore
from libs.taskqueue.queue import QueueUnavailable, TaskQueue
from services.serving.problem import Problem
from services.web.metrics import WebMetrics
from services.web.render.filetype import HEAD_BYTES, file_type
from services.web.tasks import start_extraction
from services.web.upload import parts
from services.web.upload.admission import file_info, unsupported

log = structlog.get_logger()

#: An upload in one request announces itself every `ANNOUNCE_SECONDS` (300); one that has not for this long has lost its
#: server. Chosen: several times that interval. Until then it counts as active.
ABANDONED = timedelta(minutes=30)


class Completion:
    """Makes jobs of uploads. Every step may be done twice: by a rival, or again after a crash."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        queue: TaskQueue,
        metrics: WebMetrics,
        lease_seconds: float,
        direct: DirectStore | None = None,
        notify_all: bool = False,
    ) -> None:
        """`notify_all`: the end of every job is told, and not only of those with a webhook of their own."""
        self._store = store
        self._direct = direct
        self._queue = queue
        self._metrics = metrics
        self._notify_all = notify_all
        # Longer than a process needs from the last byte to the next step of its own.
        self._patience = timedelta(seconds=lease_seconds)
        self._running: dict[str, asyncio.Task[Job]] = {}

    async def finish(self, files: SessionFiles, upload: PendingUpload) -> Job:
        """Make and start the job of an upload that has all its bytes. Raises `Problem` 415 or 422, `StorageError`.

        After a `Problem` the upload is deleted, after a `StorageError` what has arrived stays. Goes on when the caller
        is cancelled, and a second caller joins it: the bytes are copied once.
        """
        try:
            return await self._finish_once(files, upload)
        except Problem:
            await deletion.delete(files)
            raise

    async def create_job(self, files: SessionFiles, intake: Intake) -> Job:
        """Write the intake, then the record. The intake is create-only: whichever is first makes the job, once.

        Raises `StorageError`; the job may then exist all the same.
        """
        path = files.intake_path
        notify = self._notify_all or intake.options.webhook is not None
        intake = msgspec.structs.replace(intake, notify=notify)
        try:
            await write_paced(self._store, path, intakes.encode(intake), if_generation=0)
        except PreconditionFailed:  # by a rival, or by ourselves in an attempt whose answer was lost
            with suppress(NotFound):  # then its record is missing as yet
                return await load_or_rebuild(files)
            intake = intakes.decode((await self._store.read(path)).data)
        job = await create(files, Job.opened(intake))
        info = intake.file_info
        self._metrics.upload(info.file_type, info.file_size)
        log.info("job_created", job_id=files.session_id, file_type=info.file_type, size=info.file_size)
        return job

    async def start(self, files: SessionFiles, job: Job) -> None:
        """Enqueue the job's extraction. Where storage or queue do not answer, the sweep does it later."""
        await active.request_slice(files)
        with suppress(QueueUnavailable):
            await start_extraction(self._queue, job)

    async def is_abandoned(self, files: SessionFiles, announced_at: datetime, now: datetime) -> bool:
        """For the sweep: whether to delete a session without a job. Finishes one that has all bytes since a crash."""
        try:
            upload = uploads.decode((await self._store.read(files.upload_path)).data)
        except NotFound:
            return announced_at + ABANDONED < now
        arrived = await parts.list_parts(files)
        expired = upload.expires_at + self._patience < now
        stored = not arrived.starts and await exists(self._store, files.path(upload.raw_file))
        if not stored and arrived.end != upload.length:
            return expired and await self._is_closed(files, upload)
        if stored or (arrived.changed_at is not None and arrived.changed_at + self._patience < now):
            try:
                await self._finish_once(files, upload)
            except (StorageError, Problem) as error:
                log.warning("upload_not_finished", job_id=files.session_id, error=type(error).__name__)
                return expired
        return False

    async def close(self, files: SessionFiles, upload: PendingUpload) -> None:
        """Make the bucket refuse more bytes of this upload. Raises `StorageError`.

        Call it before the upload is deleted: the bucket's address outlives the tombstone, and a file that arrived
        later would never be removed.
        """
        if upload.session and self._direct is not None:
            await self._direct.end_upload_session(files.path(upload.raw_file), upload.session)

    async def _is_closed(self, files: SessionFiles, upload: PendingUpload) -> bool:
        try:
            await self.close(files, upload)
        except StorageError as error:
            log.warning("upload_not_closed", job_id=files.session_id, error=type(error).__name__)
            return False
        return True

    async def _finish_once(self, files: SessionFiles, upload: PendingUpload) -> Job:
        task = self._running.get(files.session_id)
        if task is None:
            task = self._running[files.session_id] = asyncio.create_task(self._finish(files, upload))
            task.add_done_callback(lambda ended: self._forget(files.session_id, ended))
        return await asyncio.shield(task)

    async def _finish(self, files: SessionFiles, upload: PendingUpload) -> Job:
        await self._store_raw(files, upload)
        await parts.delete_parts(files)
        job = await self.create_job(files, await self._intake(files, upload))
        await self.start(files, job)
        if upload.session:
            closed = msgspec.structs.replace(upload, session="")
            with suppress(StorageError):  # the address is of no use any more: the object exists
                await self._store.write(files.upload_path, uploads.encode(closed))
        return job

    async def _store_raw(self, files: SessionFiles, upload: PendingUpload) -> None:
        """Put the parts together, unless the whole file is stored."""
        arrived = await parts.list_parts(files)
        path = files.path(upload.raw_file)
        if await exists(self._store, path):
            return
        if arrived.end != upload.length:
            raise NotFound(path, "parts of the upload are missing")
        try:
            await self._store.write(path, parts.read_parts(files, arrived), if_generation=0)
        except PreconditionFailed:
            return  # a rival stored the same bytes
        except NotFound:
            # A rival deletes the parts once it has stored the file.
            if not await exists(self._store, path):
                raise

    async def _intake(self, files: SessionFiles, upload: PendingUpload) -> Intake:
        async with files.store.open_read(files.path(upload.raw_file), end=HEAD_BYTES) as opened:
            head = b"".join([chunk async for chunk in opened.chunks])
            size = opened.stat.size
        if size != upload.length:  # the bucket checks the length too; this holds without it
            raise Problem(
                422,
                "Wrong size",
                f"The file has {size:,} bytes, and {upload.length:,} were announced; it was not kept.",
                "Begin a new upload with the size that the file has.",
            )
        kind = file_type(head)
        if kind is None:
            raise unsupported()
        return Intake(
            session_id=files.session_id,
            user_email=upload.user_email,
            file_info=file_info(upload.filename, kind, size),
            options=upload.options,
            created_at=await self._store.now(),
        )

    def _forget(self, session_id: str, ended: "asyncio.Task[Job]") -> None:
        del self._running[session_id]
        if not ended.cancelled() and (error := ended.exception()) is not None:
            # Retrieved here too, since every caller may have been cancelled.
            log.info("upload_finish_failed", job_id=session_id, error=type(error).__name__)


def accepted(job: Job) -> Response:
    """202: the job, and the addresses to follow it by."""
    address = f"/api/jobs/{job.job_id}"
    body = {
        "job_id": job.job_id,
        "session_id": job.session_id,
        "status": job.status,
        "links": {
            "status": f"{address}/status",
            "events": f"{address}/events",
            "result": f"{address}/result",
            "pages": f"{address}/pages/{{n}}",
        },
    }
    return JSONResponse(body, status_code=202, headers={"Location": address})
