"""From an upload that has all its bytes, however they came, to a job. Order: raw file, intake, record, task."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec
import structlog

from libs.jobstate import active
from libs.jobstate import intake as intakes
from libs.jobstate.commit import create
from libs.jobstate.intake import FileInfo, Intake
from libs.jobstate.job import Job
from libs.jobstate.rebuild import load_or_rebuild
from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed, StorageError
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles, exists
from libs.storage.store import DirectStore, ObjectStore
from libs.taskqueue.queue import QueueUnavailable, TaskQueue
from services.serving.problem import Problem
from services.web.metrics import WebMetrics
from services.web.render.filetype import HEAD_BYTES, file_type
from services.web.tasks import start_extraction
from services.web.upload import parts as uploads
from services.web.upload.admission import shown, unsupported
from services.web.upload.parts import Upload

log = structlog.get_logger()

# A one-shot upload that has said nothing for this long has lost its server. Until then it counts as active.
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
    ) -> None:
        self._store = store
        self._direct = direct
        self._queue = queue
        self._metrics = metrics
        # Longer than a process needs from the last byte to the next step of its own.
        self._patience = timedelta(seconds=lease_seconds)
        self._running: dict[str, asyncio.Task[Job]] = {}

    async def finish(self, files: SessionFiles, upload: Upload) -> Job:
        """The job, once it is started. Raises `Problem` 415 or 422, `StorageError`; what has arrived then stays.

        Goes on when the caller is cancelled, and a second caller joins it: the bytes are copied once.
        """
        task = self._running.get(files.session_id)
        if task is None:
            task = self._running[files.session_id] = asyncio.create_task(self._finish(files, upload))
            task.add_done_callback(lambda ended: self._forget(files.session_id, ended))
        return await asyncio.shield(task)

    async def is_abandoned(self, files: SessionFiles, announced_at: datetime, now: datetime) -> bool:
        """For the sweep: whether a session without a job may go. Finishes one whose last byte came before a crash."""
        try:
            upload = uploads.decode((await self._store.read(files.path(layout.UPLOAD))).data)
        except NotFound:
            return announced_at + ABANDONED < now
        arrived = await uploads.list_parts(files)
        expired = upload.expires_at + self._patience < now
        stored = not arrived.starts and await exists(self._store, files.path(raw_file(upload)))
        if not stored and arrived.end != upload.length:
            return expired and await self._is_closed(files, upload)
        if stored or (arrived.changed_at is not None and arrived.changed_at + self._patience < now):
            try:
                await self.finish(files, upload)
            except (StorageError, Problem) as error:
                log.warning("upload_not_finished", job_id=files.session_id, error=type(error).__name__)
                return expired
        return False

    async def close(self, files: SessionFiles, upload: Upload) -> None:
        """The bucket takes no more bytes of this upload. Raises `StorageError`.

        Before it is given up: its address outlives any tombstone, and what it brings later nobody would look for.
        """
        if upload.session and self._direct is not None:
            await self._direct.end_upload_session(files.path(raw_file(upload)), upload.session)

    async def _is_closed(self, files: SessionFiles, upload: Upload) -> bool:
        try:
            await self.close(files, upload)
        except StorageError as error:
            log.warning("upload_not_closed", job_id=files.session_id, error=type(error).__name__)
            return False
        return True

    async def _finish(self, files: SessionFiles, upload: Upload) -> Job:
        await self._store_raw(files, upload)
        await uploads.delete_parts(files)
        job = await self._open(files, upload)
        await active.request_slice(files)
        with suppress(QueueUnavailable):  # the sweep starts the job later
            await start_extraction(self._queue, job, user_hash=files.user_hash)
        if upload.session:
            forgotten = msgspec.structs.replace(upload, session="")
            with suppress(StorageError):  # it opens nothing any more: the object is there
                await self._store.write(files.path(layout.UPLOAD), uploads.encode(forgotten))
        return job

    async def _store_raw(self, files: SessionFiles, upload: Upload) -> None:
        arrived = await uploads.list_parts(files)
        path = files.path(raw_file(upload))
        if await exists(self._store, path):
            return
        if arrived.end != upload.length:
            raise NotFound(path, "parts of the upload are missing")
        try:
            await self._store.write(path, uploads.read_parts(files, arrived), if_generation=0)
        except PreconditionFailed:
            return  # a rival stored the same bytes
        except NotFound:
            # A rival deletes the parts, because it has stored them.
            if not await exists(self._store, path):
                raise

    async def _open(self, files: SessionFiles, upload: Upload) -> Job:
        path = files.path(layout.INTAKE)
        intake = await self._intake(files, upload)
        try:
            await write_paced(self._store, path, intakes.encode(intake), if_generation=0)
        except PreconditionFailed:
            with suppress(NotFound):  # then the record is about to be written
                return await load_or_rebuild(files)
            intake = intakes.decode((await self._store.read(path)).data)
        info = intake.file_info
        self._metrics.upload(info.file_type, info.file_size)
        log.info("job_created", job_id=files.session_id, file_type=info.file_type, size=info.file_size)
        return await create(files, Job.opened(intake))

    async def _intake(self, files: SessionFiles, upload: Upload) -> Intake:
        name = raw_file(upload)
        async with files.store.open_read(files.path(name), end=HEAD_BYTES) as opened:
            head = b"".join([chunk async for chunk in opened.chunks])
            size = opened.stat.size
        if size != upload.length:  # the bucket was told the length, too; this is for the day it does not mind
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
            file_info=FileInfo(
                filename=name if upload.filename is None else shown(upload.filename),
                file_type=kind,
                raw_file=name,
                file_size=size,
            ),
            options=upload.options,
            created_at=await self._store.now(),
        )

    def _forget(self, session_id: str, ended: "asyncio.Task[Job]") -> None:
        del self._running[session_id]
        if not ended.cancelled() and (error := ended.exception()) is not None:
            # Whoever waits gets it too; the client may have left.
            log.info("upload_finish_failed", job_id=session_id, error=type(error).__name__)


def raw_file(upload: Upload) -> str:
    """The name under which the whole file is stored."""
    return layout.upload_name(upload.filename)
