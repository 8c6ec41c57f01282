"""`POST /upload`: bytes in, a job out. Order: active, raw file, intake, record, task."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.jobstate import active, deletion
from libs.jobstate import intake as intakes
from libs.jobstate.active import announce
from libs.jobstate.commit import create
from libs.jobstate.intake import FileInfo, Intake
from libs.jobstate.job import Job
from libs.storage import layout
from libs.storage.errors import StorageError
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles, create_session
from libs.taskqueue.queue import QueueUnavailable
from services.serving.body import drain
from services.serving.problem import Problem
from services.web.auth import User, get_user_from_request
from services.web.render.filetype import HEAD_BYTES, FileType, file_type
from services.web.service import Web, web
from services.web.tasks import start_extraction
from services.web.upload.admission import check_room, empty, read_options, shown, too_large, unsupported
from services.web.upload.multipart import Form, Part

log = structlog.get_logger()

MAX_FIELD_BYTES = 20_000
MAX_OVERHEAD_BYTES = 1_000_000
"""What the body of an upload may have beside the file: boundaries, headers, fields."""
STILL_HERE_SECONDS = 300.0
"""How often a long upload tells the sweep that it goes on."""


async def upload(request: Request) -> Response:
    """Store the file, create the job, start it: 202 and where to look."""
    service = web(request)
    try:
        user = await get_user_from_request(request)
        form = Form(
            request,
            max_bytes=service.config.upload_max_bytes + MAX_OVERHEAD_BYTES,
            stall_seconds=service.config.upload_stall_seconds,
        )
        job = await _receive(service, user, form)
    except Problem as problem:
        if problem.status != 408:  # nobody sends, so there is nothing to wait for
            await drain(request, service.config.upload_max_bytes, service.config.upload_stall_seconds)
        raise
    await active.request_slice(SessionFiles(store=service.store, user_hash=user.user_hash, session_id=job.session_id))
    with suppress(QueueUnavailable):  # the sweep starts the job later
        await start_extraction(service.queue, job, user_hash=user.user_hash)
    service.metrics.upload(job.file_info.file_type, job.file_info.file_size)
    log.info("job_created", job_id=job.job_id, file_type=job.file_info.file_type, size=job.file_info.file_size)
    return accepted(job)


def accepted(job: Job) -> Response:
    """202: the job, and where to look."""
    address = f"/api/jobs/{job.job_id}"
    body = {
        "job_id": job.job_id,
        "session_id": job.session_id,
        "status": job.status,
        "links": {
            "status": f"{address}/status",
            "result": f"{address}/result",
            "pages": f"{address}/pages/{{n}}",
        },
    }
    return JSONResponse(body, status_code=202, headers={"Location": address})


async def _receive(service: Web, user: User, form: Form) -> Job:
    """Store what the form brings and open the job. When that fails, for whatever reason, nothing stays behind."""
    files = await create_session(service.store, user.email)
    await announce(files, run=1)
    try:
        await check_room(files, service.config.active_jobs_per_user)
        intake = await _read(service, files, user, form)
    except BaseException:  # a client that hangs up cancels
        with suppress(StorageError):  # then the sweep finds it by `active/`
            await deletion.remove_files(files)
        raise
    try:
        await write_paced(service.store, files.path(layout.INTAKE), intakes.encode(intake))
        return await create(files, Job.opened(intake))
    except BaseException:
        # What was reported as failed may have been written, and may be at work already: only a tombstone ends that.
        with suppress(StorageError):
            await deletion.delete(files)
        raise


async def _read(service: Web, files: SessionFiles, user: User, form: Form) -> Intake:
    """The form's fields, the file streamed into storage. Raises `Problem`."""
    stored: FileInfo | None = None
    fields: dict[str, str] = {}
    async for part in form.parts():
        if part.name == "file":
            if stored is not None:
                # Dropping the second without a word would lose a document.
                raise Problem(
                    400, "More than one file", "The form has two fields named file.", "Upload each file by itself."
                )
            stored = await _store(service, files, part)
        elif part.name in ("pages", "dpi", "engine"):
            fields[part.name] = await _text(part)
    if stored is None:
        raise Problem(400, "No file", "The form has no field named file.", "Try: curl -F file=@document.pdf")
    return Intake(
        session_id=files.session_id,
        user_email=user.email,
        file_info=stored,
        options=await read_options(service.store, fields),
        created_at=await service.store.now(),
    )


async def _store(service: Web, files: SessionFiles, part: Part) -> FileInfo:
    """Stream the part into storage, knowing from its first bytes what it is."""
    chunks = part.chunks()
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    if not head:
        raise empty()
    kind: FileType | None = file_type(head)
    if kind is None:
        raise unsupported()
    size = 0
    clock = asyncio.get_running_loop().time
    announced = clock()

    async def counted() -> AsyncIterator[bytes]:
        nonlocal size, announced
        async for chunk in _after(head, chunks):
            size += len(chunk)
            if size > service.config.upload_max_bytes:
                raise too_large(service.config.upload_max_bytes)
            if clock() > announced + STILL_HERE_SECONDS:
                await announce(files, run=1)
                announced = clock()
            yield chunk

    raw_file = layout.upload_name(part.filename)
    # Nobody else knows this session yet, so a lost answer and a second try must not look like a rival's file.
    await service.store.write(files.path(raw_file), counted())
    return FileInfo(
        filename=raw_file if part.filename is None else shown(part.filename),
        file_type=kind,
        raw_file=raw_file,
        file_size=size,
    )


async def _after(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in rest:
        yield chunk


async def _text(part: Part) -> str:
    text = b""
    async for chunk in part.chunks():
        text += chunk
        if len(text) > MAX_FIELD_BYTES:
            raise Problem(422, "Bad field", "The field is too long.", "Shorten it.")
    return text.decode("utf-8", "replace")
