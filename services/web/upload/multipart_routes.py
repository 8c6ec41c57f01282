"""`POST /upload`: a document in one multipart request. Order: active, raw file, intake, record, task."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response

from libs.jobstate.active import announce
from libs.jobstate.intake import FileInfo, Intake
from libs.jobstate.job import Job
from libs.storage import layout
from libs.storage.session import SessionFiles
from services.serving.body import announced_bytes
from services.serving.problem import Problem
from services.web.auth import User, get_user_from_request
from services.web.render.filetype import HEAD_BYTES, file_type
from services.web.service import Web, web
from services.web.upload.admission import OPTIONS, empty, file_info, read_options, too_large, unsupported
from services.web.upload.completion import accepted
from services.web.upload.multipart import Form, Part
from services.web.upload.opening import deleted_on_failure, opened_session

#: Bytes of a field other than the file at most. Chosen: a selection of pages is the longest.
MAX_FIELD_BYTES = 20_000
#: Bytes that the body of an upload may have beside the file: boundaries, headers, fields. Chosen: far more
#: than a form of five fields needs.
MAX_OVERHEAD_BYTES = 1_000_000
#: Seconds after which a long upload announces itself again, so that the sweep does not take it for abandoned.
ANNOUNCE_SECONDS = 300.0


async def upload(request: Request) -> Response:
    """`POST /upload`: store the file, create the job, start it: 202 and the addresses to follow it by."""
    service = web(request)
    user = await get_user_from_request(request)
    form = Form(
        request,
        max_bytes=service.config.upload_max_bytes + MAX_OVERHEAD_BYTES,
        pace=service.config.upload_pace,
    )
    files, job = await _receive(service, user, form, size=announced_bytes(request) or 0)
    await service.completion.start(files, job)
    return accepted(job)


async def _receive(service: Web, user: User, form: Form, *, size: int) -> tuple[SessionFiles, Job]:
    """Store the form's file and create its job. When that fails, nothing of it stays."""
    async with opened_session(service, user, size=size) as files:
        intake = await _read(service, files, user, form)
    async with deleted_on_failure(files):
        return files, await service.completion.create_job(files, intake)


async def _read(service: Web, files: SessionFiles, user: User, form: Form) -> Intake:
    """The intake that the form describes; its file is streamed into storage on the way. Raises `Problem`."""
    stored: FileInfo | None = None
    fields: dict[str, str] = {}
    async for part in form.parts():
        if part.name == "file":
            if stored is not None:
                # Taking only one of them would lose a document silently.
                raise Problem(
                    400, "More than one file", "The form has two fields named file.", "Upload each file by itself."
                )
            stored = await _store(service, files, part)
        elif part.name in OPTIONS:
            if part.name in fields:
                raise Problem(
                    400, "Field repeated", f"The form has two fields named {part.name}.", "Send each field once."
                )
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
    """Stream the part into storage, once its first bytes show a supported type. Raises `Problem`."""
    chunks = part.chunks()
    head = b""
    async for chunk in chunks:
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    if not head:
        raise empty()
    kind = file_type(head)
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
            if clock() > announced + ANNOUNCE_SECONDS:
                await announce(files, run=1)
                announced = clock()
            yield chunk

    # Not create-only: no one else can write to this session yet, so after a lost answer the file found at a second
    # attempt is our own and must not be taken for a rival's.
    await service.store.write(files.path(layout.upload_name(part.filename)), counted())
    return file_info(part.filename, kind, size)


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
