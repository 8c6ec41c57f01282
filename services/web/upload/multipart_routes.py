"""`POST /upload`: a document in one multipart request. Order: active, raw file, intake, record, task."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from libs.jobstate import deletion
from libs.jobstate.active import announce
from libs.jobstate.intake import FileInfo, Intake
from libs.jobstate.job import Job
from libs.jobstate.status import JobStatus
from libs.storage import layout
from libs.storage.errors import StorageError
from libs.storage.session import SessionFiles
from services.serving.body import announced_bytes
from services.serving.problem import Problem
from services.web.auth import User, get_user_from_request
from services.web.idempotency import IdempotencyKey, KeyedUpload, KeyUsed, check_same, key_of
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
    size = announced_bytes(request) or 0
    if (text := key_of(request.headers)) is None:
        files, job = await _receive(service, user, form, size=size)
    else:
        with service.keys.received(user.email, text) as key:
            files, job = await _receive_once(service, user, form, key, size=size)
    if job.status is JobStatus.QUEUED:  # a job that an earlier request has made may have got on
        await service.completion.start(files, job)
    return accepted(job)


async def _receive(service: Web, user: User, form: Form, *, size: int) -> tuple[SessionFiles, Job]:
    """Store the form's file and create its job. When that fails, nothing of it stays."""
    async with opened_session(service, user, size=size) as files:
        intake, _ = await _read(service, files, user, form)
    async with deleted_on_failure(files):
        return files, await service.completion.create_job(files, intake)


async def _receive_once(
    service: Web, user: User, form: Form, key: IdempotencyKey, *, size: int
) -> tuple[SessionFiles, Job]:
    """The same with an idempotency key: the job of an earlier request with it, if there was one.

    Once the key names the session, that stays when something fails: another request may already make its job.
    Raises `Problem` 409 and 422.
    """
    if (earlier := await key.earlier()) is not None:
        return await _join(service, *earlier, *await _read(service, earlier[0], user, form, key, keep=False))
    async with opened_session(service, user, size=size) as files:
        intake, fingerprint = await _read(service, files, user, form, key)
    upload = KeyedUpload(session_id=files.session_id, fingerprint=fingerprint, raw_file=intake.file_info.raw_file)
    try:
        await key.use(upload)
    except KeyUsed as other:
        await _remove(service, files)
        return await _join(service, other.files, other.upload, intake, fingerprint)
    except Problem:
        await _remove(service, files)
        raise
    return files, await service.completion.create_job(files, intake)


async def _remove(service: Web, files: SessionFiles) -> None:
    """Remove a session that no key and no client knows of."""
    service.usage.deleted(files.user_hash)
    with suppress(StorageError):  # the sweep finds what is left
        await deletion.remove_files(files)


async def _join(
    service: Web, files: SessionFiles, earlier: KeyedUpload, intake: Intake, fingerprint: str
) -> tuple[SessionFiles, Job]:
    """The job of the earlier upload, made now where that request died before. Raises `Problem` 422 for another one."""
    check_same(earlier, fingerprint)
    own = msgspec.structs.replace(intake, session_id=files.session_id)
    return files, await service.completion.create_job(files, own)


async def _read(
    service: Web, files: SessionFiles, user: User, form: Form, key: IdempotencyKey | None = None, *, keep: bool = True
) -> tuple[Intake, str]:
    """The intake that the form describes, and with a key its fingerprint. Raises `Problem`.

    The file is streamed into storage on the way, unless `keep` is false: then it is only read.
    """
    digest = None if key is None else hashlib.sha256()
    filename: str | None = None
    stored: FileInfo | None = None
    fields: dict[str, str] = {}
    async for part in form.parts():
        if part.name == "file":
            if stored is not None:
                # Taking only one of them would lose a document silently.
                raise Problem(
                    400, "More than one file", "The form has two fields named file.", "Upload each file by itself."
                )
            stored, filename = await _store(service, files, part, digest, keep=keep), part.filename
        elif part.name in OPTIONS:
            if part.name in fields:
                raise Problem(
                    400, "Field repeated", f"The form has two fields named {part.name}.", "Send each field once."
                )
            fields[part.name] = await _text(part)
    if stored is None:
        raise Problem(400, "No file", "The form has no field named file.", "Try: curl -F file=@document.pdf")
    intake = Intake(
        session_id=files.session_id,
        user_email=user.email,
        file_info=stored,
        options=await read_options(service.store, fields),
        created_at=await service.store.now(),
    )
    return intake, "" if key is None or digest is None else key.fingerprint(digest.digest(), filename, fields)


async def _store(
    service: Web, files: SessionFiles, part: Part, digest: "hashlib._Hash | None", *, keep: bool
) -> FileInfo:
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
            if digest is not None:
                digest.update(chunk)
            if keep and clock() > announced + ANNOUNCE_SECONDS:
                await announce(files, run=1)
                announced = clock()
            yield chunk

    # Not create-only: no one else can write to this session yet, so after a lost answer the file found at a second
    # attempt is our own and must not be taken for a rival's.
    if keep:
        await service.store.write(files.path(layout.upload_name(part.filename)), counted())
    else:
        async for _ in counted():
            pass
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
