"""`POST /upload`: a document in one multipart request. Order: active, raw file, password, intake, record,
task.
"""

import hashlib

from starlette.requests import Request
from starlette.responses import Response

from libs.jobstate import password
from libs.jobstate.intake import FileInfo, Intake
from libs.jobstate.job import Job
from libs.jobstate.status import JobStatus
from libs.storage.session import SessionFiles
from services.serving.body import announced_bytes
from services.serving.problem import Problem
from services.web.auth import User, get_user_from_request
from services.web.idempotency import IdempotencyKey, KeyedUpload, key_of
from services.web.service import Web, web
from services.web.upload.admission import OPTIONS, read_options, read_password
from services.web.upload.completion import accepted
from services.web.upload.keyed import join, keyed_job
from services.web.upload.multipart import Form, Part
from services.web.upload.opening import deleted_on_failure, opened_session
from services.web.upload.storing import store_document, stored_document

#: Bytes of a field other than the file at most. Chosen: a selection of pages is the longest.
MAX_FIELD_BYTES = 20_000
#: Bytes that the body of an upload may have beside the file: boundaries, headers, fields. Chosen: far more
#: than a form of five fields needs.
MAX_OVERHEAD_BYTES = 1_000_000


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
        return await join(service, *earlier, *await _read(service, earlier[0], user, form, key, earlier[1]))
    async with opened_session(service, user, size=size) as files:
        intake, fingerprint = await _read(service, files, user, form, key)
    return await keyed_job(service, files, intake, key, fingerprint)


async def _read(
    service: Web,
    files: SessionFiles,
    user: User,
    form: Form,
    key: IdempotencyKey | None = None,
    earlier: KeyedUpload | None = None,
) -> tuple[Intake, str]:
    """The intake that the form describes, and with a key its fingerprint. Raises `Problem`.

    The file is streamed into storage on the way; where the session has that of an `earlier` request, it is only read.
    """
    digest = None if key is None else hashlib.sha256()
    filename: str | None = None
    stored: FileInfo | None = None
    url: str | None = None
    fields: dict[str, str] = {}
    async for part in form.parts():
        if part.name == "file":
            if stored is not None:
                # Taking only one of them would lose a document silently.
                raise Problem(
                    400, "More than one file", "The form has two fields named file.", "Upload each file by itself."
                )
            stored = await store_document(service, files, part.chunks(), part.filename, digest, keep=earlier is None)
            filename = part.filename
        elif part.name in OPTIONS or part.name == "url":
            if part.name in fields or (part.name == "url" and url is not None):
                raise Problem(
                    400, "Field repeated", f"The form has two fields named {part.name}.", "Send each field once."
                )
            if part.name == "url":
                url = (await text_of(part)).strip()
            else:
                fields[part.name] = await text_of(part)
    if url and stored is not None:
        raise Problem(400, "File and address", "The form has a file and a url.", "Send one of them.")
    if url:
        stored = await _fetch(service, files, url, digest, earlier)
    if stored is None:
        raise Problem(400, "No file", "The form has no field named file.", "Try: curl -F file=@document.pdf")
    options = await read_options(service, fields)
    if earlier is None and (secret := read_password(fields)) is not None:
        await password.keep(files, secret)
    intake = Intake(
        session_id=files.session_id,
        user_email=user.email,
        file_info=stored,
        options=options,
        created_at=await service.store.now(),
    )
    return intake, "" if key is None or digest is None else key.fingerprint(digest.digest(), filename, fields)


async def _fetch(
    service: Web, files: SessionFiles, url: str, digest: "hashlib._Hash | None", earlier: KeyedUpload | None
) -> FileInfo:
    """Store the document at this address. Raises `Problem`.

    `digest` is fed with the address: what is there may change. The document of an `earlier` request is not fetched
    again: an address may be valid once.
    """
    if digest is not None:
        digest.update(url.encode())
    if earlier is not None:
        return await stored_document(files, earlier.raw_file)
    async with service.fetching.fetched(url) as document:
        return await store_document(service, files, document.chunks(), document.filename)


async def text_of(part: Part) -> str:
    """The text of a field. Raises `Problem` 422 for a long one."""
    text = b""
    async for chunk in part.chunks():
        text += chunk
        if len(text) > MAX_FIELD_BYTES:
            raise Problem(422, "Bad field", "The field is too long.", "Shorten it.")
    return text.decode("utf-8", "replace")
