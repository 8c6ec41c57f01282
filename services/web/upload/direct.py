"""`/api/direct-uploads`: the client sends the bytes to the bucket itself; only the checks are made here (R44)."""

from datetime import timedelta

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.codec import BadMessage, Codec
from libs.jobstate import deletion, password
from libs.jobstate import upload as uploads
from libs.jobstate.rebuild import load_or_rebuild
from libs.jobstate.upload import PendingUpload
from libs.storage import layout
from libs.storage.session import exists
from libs.storage.store import DirectStore
from services.serving.body import read_body
from services.serving.problem import Problem
from services.web.auth import User, get_user_from_request
from services.web.service import Web, web
from services.web.upload.admission import OPTIONS, empty, read_options, read_password, too_large
from services.web.upload.completion import accepted
from services.web.upload.lookup import OwnUpload, own_upload, refuse_job
from services.web.upload.opening import opened_session

#: The longest time for a direct upload: Cloud Storage ends a resumable session after a week.
LONGEST = timedelta(days=6)


class DirectUploadRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /api/direct-uploads`."""

    #: Bytes of the file.
    size: int
    filename: str | None = None
    pages: str | None = None
    dpi: int | str | None = None
    engine: str | None = None
    ocr: str | None = None
    languages: str | None = None
    password: str | None = None
    webhook: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """The options by the names of the form of `POST /upload`."""
        named = {name: getattr(self, name) for name in OPTIONS}
        return {name: str(value) for name, value in named.items() if value is not None}


_requests = Codec(DirectUploadRequest, BadMessage)


async def create(request: Request) -> Response:
    """`POST /api/direct-uploads`: the bucket's address for the bytes, and the address to call once they are there."""
    service = web(request)
    user = await get_user_from_request(request)
    asked = await _read(request)
    if service.direct is None:
        raise Problem(
            404,
            "No direct uploads here",
            "This installation keeps its files in a folder, which only the service itself can write to.",
            "Use POST /upload, or tus at /api/uploads for large files.",
        )
    if asked.size < 1:
        raise empty()
    if asked.size > service.config.upload_max_bytes:
        raise too_large(service.config.upload_max_bytes)
    opened = await _open(service, service.direct, user, asked, request.headers.get("Origin"))
    upload_id = opened.files.session_id
    address = f"/api/direct-uploads/{upload_id}"
    body = {
        "upload_id": upload_id,
        "upload_url": opened.upload.session,
        "expires_at": msgspec.to_builtins(opened.upload.expires_at),
        "complete": f"{address}/complete",
    }
    return JSONResponse(body, status_code=201, headers={"Location": address, "Cache-Control": "no-store"})


async def complete(request: Request) -> Response:
    """`POST /api/direct-uploads/{upload_id}/complete`: check the file in the bucket and make its job."""
    service = web(request)
    found = await own_upload(request, direct=True)
    if found.has_job:
        return accepted(await load_or_rebuild(found.files))
    if not await exists(service.store, found.files.path(found.upload.raw_file)):
        raise Problem(
            409,
            "Upload incomplete",
            f"The bucket does not have all {found.upload.length:,} bytes yet.",
            "Ask upload_url how many it has (PUT with Content-Range: bytes */SIZE), send the rest, and call again.",
        )
    return accepted(await service.completion.finish(found.files, found.upload))


async def give_up(request: Request) -> Response:
    """`DELETE /api/direct-uploads/{upload_id}`: close the bucket's session and delete what it has."""
    found = await own_upload(request, direct=True)
    refuse_job(found)
    await web(request).completion.close(found.files, found.upload)
    await deletion.delete(found.files)
    web(request).usage.deleted(found.files.user_hash)
    return Response(status_code=204)


async def _open(
    service: Web, direct: DirectStore, user: User, asked: DirectUploadRequest, origin: str | None
) -> OwnUpload:
    """Open an upload and the bucket's session for its bytes, which a page of `origin` may send where it is given."""
    options = await read_options(service, asked.fields)
    async with opened_session(service, user, size=asked.size) as files:
        lifetime = min(timedelta(seconds=service.config.upload_expires_seconds), LONGEST)
        path = files.path(layout.upload_name(asked.filename))
        upload = PendingUpload(
            user_email=user.email,
            filename=asked.filename,
            length=asked.size,
            metadata="",
            options=options,
            expires_at=await service.store.now() + lifetime,
            session=await direct.create_resumable_upload_session(path, origin=origin, size=asked.size),
        )
        if (secret := read_password(asked.fields)) is not None:
            await password.keep(files, secret)
        # Stored so that the sweep can close the bucket's session; one that is lost before this is known to no one.
        await service.store.write(files.upload_path, uploads.encode(upload))
    return OwnUpload(files=files, upload=upload, has_job=False)


async def _read(request: Request) -> DirectUploadRequest:
    body = await read_body(request, hint="Describe the file; do not send it here.")
    try:
        return _requests.decode(body)
    except BadMessage as error:
        raise Problem(
            422,
            "Bad body",
            str(error),
            'Send {"filename": "scan.pdf", "size": BYTES}, with pages, dpi, engine, ocr, languages, password, webhook '
            "if any.",
        ) from error
