"""`/api/direct-uploads`: the client sends the bytes to the bucket itself, and only the checks are left to us (R44)."""

from contextlib import suppress
from datetime import timedelta

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.jobstate.active import announce
from libs.jobstate.rebuild import load_or_rebuild
from libs.storage import layout
from libs.storage.errors import NotFound, StorageError
from libs.storage.session import SessionFiles, create_session, exists
from libs.storage.store import DirectStore
from services.json_body import read_body
from services.problem import Problem
from services.web.auth import User, get_user_from_request
from services.web.service import Web, web
from services.web.tus import parts as uploads
from services.web.tus.completion import raw_file
from services.web.tus.parts import Upload
from services.web.upload_rules import check_room, empty, read_options, too_large
from services.web.uploads import accepted

# The bucket forgets a session after a week.
LONGEST = timedelta(days=6)


class Order(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What `POST /api/direct-uploads` takes."""

    size: int
    filename: str | None = None
    pages: str | None = None
    dpi: int | str | None = None
    engine: str | None = None

    @property
    def fields(self) -> dict[str, str]:
        """The options as a form names them."""
        named = {"pages": self.pages, "dpi": self.dpi, "engine": self.engine}
        return {name: str(value) for name, value in named.items() if value is not None}


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A direct upload of the asker's, and whether it has become a job."""

    files: SessionFiles
    upload: Upload
    has_job: bool


async def create(request: Request) -> Response:
    """`POST /api/direct-uploads`: an address for the bytes, and what to call once they are there."""
    service = web(request)
    user = await get_user_from_request(request)
    order = await _order(request)
    if service.direct is None:
        raise Problem(
            404,
            "No direct uploads here",
            "This installation keeps its files in a folder, which only the service itself can write to.",
            "Use POST /upload, or tus at /api/uploads for large files.",
        )
    if order.size < 1:
        raise empty()
    if order.size > service.config.upload_max_bytes:
        raise too_large(service.config.upload_max_bytes)
    files, upload = await _begin(service, service.direct, user, order, request.headers.get("Origin"))
    address = f"/api/direct-uploads/{files.session_id}"
    body = {
        "upload_id": files.session_id,
        "upload_url": upload.session,
        "expires_at": msgspec.to_builtins(upload.expires_at),
        "complete": f"{address}/complete",
    }
    return JSONResponse(body, status_code=201, headers={"Location": address, "Cache-Control": "no-store"})


async def complete(request: Request) -> Response:
    """`POST /api/direct-uploads/{upload_id}/complete`: the bytes are there; check them and make the job."""
    service = web(request)
    found = await _find(request)
    if found.has_job:
        return accepted(await load_or_rebuild(found.files))
    if not await exists(service.store, found.files.path(raw_file(found.upload))):
        raise Problem(
            409,
            "Upload incomplete",
            f"The bucket does not have all {found.upload.length:,} bytes yet.",
            "Ask upload_url how many it has (PUT with Content-Range: bytes */SIZE), send the rest, and call again.",
        )
    try:
        job = await service.completion.finish(found.files, found.upload)
    except Problem:  # it is nothing we read
        await service.sweeper.discard(found.files)
        raise
    return accepted(job)


async def give_up(request: Request) -> Response:
    """`DELETE /api/direct-uploads/{upload_id}`: the bucket takes no more, and what it has goes."""
    service = web(request)
    found = await _find(request)
    if found.has_job:
        raise Problem(
            409,
            "Upload complete",
            "The upload has become a job.",
            f"DELETE /api/jobs/{found.files.session_id} deletes the job and its files.",
        )
    await service.completion.close(found.files, found.upload)
    await service.sweeper.discard(found.files)
    return Response(status_code=204)


async def _begin(
    service: Web, direct: DirectStore, user: User, order: Order, origin: str | None
) -> tuple[SessionFiles, Upload]:
    options = await read_options(service.store, order.fields)
    files = await create_session(service.store, user.email)
    await announce(files, run=1)
    try:
        await check_room(files, service.config.active_jobs_per_user)
        lifetime = min(timedelta(seconds=service.config.upload_expires_seconds), LONGEST)
        path = files.path(layout.upload_name(order.filename))
        upload = Upload(
            user_email=user.email,
            filename=order.filename,
            length=order.size,
            metadata="",
            options=options,
            expires_at=await service.store.now() + lifetime,
            session=await direct.create_resumable_upload_session(path, origin=origin, size=order.size),
        )
        # Kept so that the sweep can close it. A session that is lost before is known to nobody.
        await service.store.write(files.path(layout.UPLOAD), uploads.encode(upload))
    except BaseException:  # the client does not know the address yet, so it cannot go on
        with suppress(StorageError):
            await service.sweeper.remove_files(files)
        raise
    return files, upload


async def _find(request: Request) -> Found:
    """The asker's upload that the address names. Raises `Problem` 404, and 410 when its time is over."""
    service = web(request)
    user = await get_user_from_request(request)
    upload_id = request.path_params["upload_id"]
    if not layout.is_session_id(upload_id):
        raise _unknown()
    files = SessionFiles(store=service.store, user_hash=user.user_hash, session_id=upload_id)
    try:
        upload = uploads.decode((await service.store.read(files.path(layout.UPLOAD))).data)
    except NotFound as error:
        raise _unknown() from error
    if upload.session is None or await exists(service.store, layout.tombstone_path(user.user_hash, upload_id)):
        raise _unknown()
    if await exists(service.store, files.path(layout.DOCUMENT)):
        return Found(files=files, upload=upload, has_job=True)
    if await service.store.now() > upload.expires_at:
        raise Problem(410, "Upload expired", "The time for this upload is over.", "Begin a new upload of the file.")
    return Found(files=files, upload=upload, has_job=False)


async def _order(request: Request) -> Order:
    body = await read_body(request, hint="Describe the file; do not send it here.")
    try:
        return msgspec.json.decode(body, type=Order)
    except (ValueError, RecursionError) as error:
        raise Problem(
            422, "Bad body", str(error), 'Send {"filename": "scan.pdf", "size": BYTES}, with pages, dpi, engine if any.'
        ) from error


def _unknown() -> Problem:
    return Problem(404, "Upload not found", "No such upload.", "Begin a new upload: POST /api/direct-uploads.")
