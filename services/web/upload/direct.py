"""`/api/direct-uploads`: the client sends the bytes to the bucket itself, and only the checks are left to us (R44)."""

from contextlib import suppress
from datetime import timedelta

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.codec import BadMessage, Codec
from libs.jobstate import deletion
from libs.jobstate.active import announce
from libs.jobstate.rebuild import load_or_rebuild
from libs.storage import layout
from libs.storage.errors import StorageError
from libs.storage.session import SessionFiles, create_session, exists
from libs.storage.store import DirectStore
from services.serving.body import read_body
from services.serving.problem import Problem
from services.web.auth import User, get_user_from_request
from services.web.service import Web, web
from services.web.upload import parts as uploads
from services.web.upload.admission import check_room, empty, read_options, too_large
from services.web.upload.completion import raw_file
from services.web.upload.lookup import own_upload, refuse_job
from services.web.upload.multipart_routes import accepted
from services.web.upload.parts import Upload

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


_orders = Codec(Order, BadMessage)


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
    found = await own_upload(request, direct=True)
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
        await deletion.delete(found.files)
        raise
    return accepted(job)


async def give_up(request: Request) -> Response:
    """`DELETE /api/direct-uploads/{upload_id}`: the bucket takes no more, and what it has goes."""
    found = await own_upload(request, direct=True)
    refuse_job(found)
    await web(request).completion.close(found.files, found.upload)
    await deletion.delete(found.files)
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
            await deletion.remove_files(files)
        raise
    return files, upload


async def _order(request: Request) -> Order:
    body = await read_body(request, hint="Describe the file; do not send it here.")
    try:
        return _orders.decode(body)
    except BadMessage as error:
        raise Problem(
            422, "Bad body", str(error), 'Send {"filename": "scan.pdf", "size": BYTES}, with pages, dpi, engine if any.'
        ) from error
