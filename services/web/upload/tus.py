"""`/api/uploads`: tus 1.0, uploads that continue after a lost connection or a restarted server (R44)."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from libs.jobstate import deletion, password
from libs.jobstate import upload as uploads
from libs.jobstate.upload import PendingUpload
from libs.storage.errors import PreconditionFailed
from libs.storage.session import exists
from services.serving import audit
from services.serving.authorization import check_single
from services.serving.body import announced_bytes
from services.serving.problem import Problem, handle
from services.web.auth import get_user_from_request
from services.web.receiving import deleted
from services.web.render.filetype import HEAD_BYTES, file_type
from services.web.service import Web, web
from services.web.upload import parts as chain
from services.web.upload.admission import empty, read_options, read_password, too_large, unsupported
from services.web.upload.lookup import OwnUpload, own_upload, refuse_job
from services.web.upload.opening import deleted_on_failure, opened_session
from services.web.upload.parts import Parts
from services.web.upload.tus_body import Body, too_long
from services.web.upload.tus_headers import (
    ALGORITHMS,
    BODY_TYPE,
    EXTENSIONS,
    VERSION,
    bad_header,
    http_date,
    read_checksum,
    read_metadata,
    read_number,
    without_key,
)

#: Every request lists the parts. Chosen: 10 GB in the smallest parts, five times the default of `UPLOAD_MAX_BYTES`.
MAX_PARTS = 10_000
#: Headers of which a request has one at most: of two, a proxy may have looked at the other.
SINGLE = (
    "Tus-Resumable",
    "Upload-Checksum",
    "Upload-Defer-Length",
    "Upload-Length",
    "Upload-Metadata",
    "Upload-Offset",
    "X-HTTP-Method-Override",
)


class TusUpload(OwnUpload, frozen=True, kw_only=True):
    """An upload of the user who asks, and how much of it is stored."""

    parts: Parts
    #: Bytes that are stored: the offset of the next one.
    offset: int


async def collection(request: Request) -> Response:
    """`/api/uploads`: POST creates an upload, OPTIONS returns the server's version and extensions."""
    return await _answer(request, {"POST": _create, "OPTIONS": _options})


async def single(request: Request) -> Response:
    """`/api/uploads/{upload_id}`: HEAD returns the offset, PATCH continues there, DELETE ends the upload."""
    return await _answer(request, {"HEAD": _head, "PATCH": _patch, "DELETE": _delete, "OPTIONS": _options})


async def _answer(request: Request, methods: dict[str, Callable[[Request], Awaitable[Response]]]) -> Response:
    """The method's answer, or its problem, with the header that the protocol demands on both."""
    # For clients behind a proxy that passes only GET and POST. Only of POST: an API key's scope is checked against the
    # request's own method, so that a key which may only read must not turn a GET into a PATCH.
    override = request.headers.get("X-HTTP-Method-Override") if request.method == "POST" else None
    method = audit.subject(request.scope).method = (override or request.method).upper()
    try:
        for name in SINGLE:
            check_single(request.headers, name)
        if method not in methods:
            raise HTTPException(405, headers={"Allow": ", ".join(methods)})
        if method != "OPTIONS" and request.headers.get("Tus-Resumable") != VERSION:
            raise Problem(
                412,
                "Protocol version",
                f"This is tus {VERSION}, and the request does not say that it is.",
                f"Send the header Tus-Resumable: {VERSION}.",
                headers={"Tus-Version": VERSION},
            )
        answer = await methods[method](request)
    except Exception as error:  # handled here as by the app's handlers, which do not add the header
        answer = await handle(request, error)
    answer.headers["Tus-Resumable"] = VERSION
    answer.headers.setdefault("Cache-Control", "no-store")
    return answer


async def _options(request: Request) -> Response:
    return Response(
        status_code=204,
        headers={
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(web(request).config.upload_max_bytes),
            "Tus-Checksum-Algorithm": ",".join(ALGORITHMS),
        },
    )


async def _create(request: Request) -> Response:
    service = web(request)
    user = await get_user_from_request(request)
    length = _length(request, service.config.upload_max_bytes)
    if length is None and request.headers.get("Upload-Defer-Length") != "1":
        raise bad_header("There is neither Upload-Length nor Upload-Defer-Length: 1.")
    metadata = request.headers.get("Upload-Metadata", "")
    fields = read_metadata(metadata)
    options = await read_options(service, fields)
    with_bytes = request.headers.get("Content-Type") == BODY_TYPE
    # Twice: the parts are put together before they are deleted.
    async with opened_session(service, user, size=length or 0, copies=2) as files:
        lifetime = timedelta(seconds=service.config.upload_expires_seconds)
        upload = PendingUpload(
            user_email=user.email,
            filename=fields.get("filename"),
            length=length,
            metadata=without_key(metadata, "password"),
            options=options,
            expires_at=await service.store.now() + lifetime,
        )
        if (secret := read_password(fields)) is not None:
            await password.keep(files, secret)
        await service.store.write(files.upload_path, uploads.encode(upload))
        created = TusUpload(files=files, upload=upload, parts=Parts(), offset=0, has_job=False)
        if with_bytes:
            created = await _append(request, service, created)
    headers = {"Location": f"/api/uploads/{files.session_id}", "Upload-Expires": http_date(upload.expires_at)}
    if with_bytes:
        async with deleted_on_failure(files):  # the client does not know the address yet, so it cannot try again
            headers = await _state(service, created) | headers
    return Response(status_code=201, headers=headers)


async def _head(request: Request) -> Response:
    found = await _find(request)
    upload = found.upload
    headers = {"Upload-Offset": str(found.offset)}
    headers |= {"Upload-Defer-Length": "1"} if upload.length is None else {"Upload-Length": str(upload.length)}
    if upload.metadata:
        headers["Upload-Metadata"] = upload.metadata
    return Response(headers=headers | await _state(web(request), found))


async def _patch(request: Request) -> Response:
    service = web(request)
    found = await _find(request)
    if request.headers.get("Content-Type") != BODY_TYPE:
        raise Problem(415, "Wrong body", f"The body of a PATCH is {BODY_TYPE}.", "Send that as Content-Type.")
    offset = read_number("Upload-Offset", request.headers.get("Upload-Offset", ""))
    if offset != found.offset:
        raise Problem(
            409,
            "Offset conflict",
            f"{found.offset} bytes are stored, and the request begins at {offset}.",
            "Ask for the offset with HEAD, and go on from there.",
            headers={"Upload-Offset": str(found.offset)},
        )
    found = await _with_length(request, service, found)
    found = await _append(request, service, found)
    return Response(status_code=204, headers=await _state(service, found))


async def _delete(request: Request) -> Response:
    found = await _find(request)
    refuse_job(found)
    await deletion.mark(found.files)  # from now on no request begins to receive
    await web(request).receiving.end(found.files.session_id)
    await deletion.remove_files(found.files)
    web(request).usage.deleted(found.files.user_hash)
    return Response(status_code=204)


async def _append(request: Request, service: Web, found: TusUpload) -> TusUpload:
    """Store the bytes of the request, and return the upload with its new offset. Raises `Problem`."""
    config, files = service.config, found.files
    most = (config.upload_max_bytes if found.upload.length is None else found.upload.length) - found.offset
    if (announced_bytes(request) or 0) > most:
        raise too_long()
    if len(found.parts.starts) >= MAX_PARTS:
        raise Problem(
            413,
            "Too many parts",
            f"The upload came in {MAX_PARTS:,} pieces and is not complete.",
            "Upload the file anew in larger pieces: 8 MB suit most connections.",
        )
    checksum = request.headers.get("Upload-Checksum")
    expected = read_checksum(checksum) if checksum is not None else None

    async def look() -> None:
        if await files.is_deleted():
            raise deleted()

    body = Body(request, most=most, pace=config.upload_pace, look=look)
    async with service.receiving.of(files.session_id):
        await look()  # a deletion that did not see this request yet
        await _check_type(found, body)
        try:
            offset = await chain.append(files, found.offset, body, growing=found.parts.growing, checksum=expected)
        except PreconditionFailed as error:
            await look()
            raise Problem(
                409,
                "Offset conflict",
                "Another request has written to this upload.",
                "Send one request at a time: ask for the offset with HEAD, and go on from there.",
            ) from error
        await look()
    if body.fault is not None:
        raise body.fault
    return msgspec.structs.replace(found, offset=offset)


async def _check_type(found: TusUpload, body: Body) -> None:
    """As soon as the first bytes show an unsupported file, delete the upload and raise `Problem` 415."""
    if found.offset >= HEAD_BYTES:
        return
    known = await chain.read_head(found.files, found.parts, HEAD_BYTES)
    head = known + await body.head(HEAD_BYTES - len(known))
    decided = len(head) == HEAD_BYTES or len(head) == found.upload.length
    if decided and file_type(head) is None:
        await deletion.delete(found.files)
        raise unsupported()


async def _state(service: Web, found: TusUpload) -> dict[str, str]:
    """The headers of an answer: offset, and expiry or job. Makes the job when all bytes are stored."""
    headers = {"Upload-Offset": str(found.offset)}
    if found.offset != found.upload.length:
        return headers | {"Upload-Expires": http_date(found.upload.expires_at)}
    if not found.has_job:
        await service.completion.finish(found.files, found.upload)
    job_id = found.files.session_id
    return headers | {"Location": f"/api/jobs/{job_id}", "Gnosis-Job-Id": job_id}


async def _with_length(request: Request, service: Web, found: TusUpload) -> TusUpload:
    """The upload, with the length from this request if it had none. Raises `Problem`."""
    length = _length(request, service.config.upload_max_bytes)
    if length is None or length == found.upload.length:
        return found
    if found.upload.length is not None or length < found.offset:
        raise bad_header("Upload-Length contradicts what is known of the upload.")
    path = found.files.upload_path
    stored = await service.store.read(path)
    upload = msgspec.structs.replace(uploads.decode(stored.data), length=length)
    try:
        await service.store.write(path, uploads.encode(upload), if_generation=stored.generation)
    except PreconditionFailed as error:
        raise Problem(
            409, "Offset conflict", "Another request has written to this upload.", "Ask for the offset with HEAD."
        ) from error
    return msgspec.structs.replace(found, upload=upload)


async def _find(request: Request) -> TusUpload:
    """The user's own upload that the address names, and how much of it is stored. Raises as `own_upload` does."""
    own = await own_upload(request, direct=False)
    files, upload = own.files, own.upload
    if own.has_job:
        return TusUpload(files=files, upload=upload, parts=Parts(), offset=upload.length or 0, has_job=True)
    parts = await chain.list_parts(files)
    offset = parts.end
    # Without its first part the upload is new, or its parts were put together before.
    if not parts.starts and await exists(web(request).store, files.path(upload.raw_file)):
        offset = upload.length or 0
    return TusUpload(files=files, upload=upload, parts=parts, offset=offset, has_job=False)


def _length(request: Request, most: int) -> int | None:
    text = request.headers.get("Upload-Length")
    if text is None:
        return None
    length = read_number("Upload-Length", text)
    if length == 0:
        raise empty()
    if length > most:
        raise too_large(most)
    return length
