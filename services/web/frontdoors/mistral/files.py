"""`/v1/files`: documents that are stored now and read by a later `POST /v1/ocr`."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from libs.fanout import fan_out
from libs.storage import layout
from libs.storage.errors import NotFound
from services.serving.body import announced_bytes
from services.serving.problem import Problem
from services.web.auth import User
from services.web.auth.identity import get_user_of_client
from services.web.frontdoors.door import public_base
from services.web.service import web
from services.web.upload.multipart import Form
from services.web.upload.multipart_routes import MAX_OVERHEAD_BYTES, text_of
from services.web.upload.opening import check_disk
from services.web.upload.storing import Arriving
from services.web.userfiles import KEPT, TornFile, UserFile, UserFiles

#: Files on a page of the list, at most.
MAX_LISTED = 100
_DEFAULT_NAME = "document"
# Of every file's content: the SDK takes any other type for an error.
_CONTENT_TYPE = "application/octet-stream"


async def upload(request: Request) -> Response:
    """`POST /v1/files`: store the field `file`. Raises `Problem`."""
    service, user = web(request), await get_user_of_client(request)
    config, size = service.config, announced_bytes(request) or 0
    await check_disk(service, size)
    await service.usage.admit(user.user_hash, size)
    form = Form(request, max_bytes=config.upload_max_bytes + MAX_OVERHEAD_BYTES, pace=config.upload_pace)
    files, file = UserFiles(service.store), None
    try:
        async for part in form.parts():
            if part.name == "file":
                if file is not None:
                    raise Problem(
                        400, "More than one file", "The form has two fields named file.", "Send one a request."
                    )
                arriving = Arriving(part.chunks(), most=config.upload_max_bytes)
                kind = await arriving.kind()
                file = await files.save(user, arriving.chunks(), filename=part.filename, media_type=kind.media_type)
            elif part.name == "purpose" and (purpose := await text_of(part)) != "ocr":
                raise Problem(422, "Bad purpose", f"purpose is {purpose[:40]!r}, and files are read here.", "Send ocr.")
    except BaseException:
        service.usage.deleted(user.user_hash)
        if file is not None:
            await files.delete(file)
        raise
    if file is None:
        raise Problem(400, "No file", "The form has no field named file.", "Send the document in the field file.")
    return JSONResponse(_described(file))


async def listing(request: Request) -> Response:
    """`GET /v1/files`: newest first. Raises `Problem` 422."""
    user = await get_user_of_client(request)
    page, size = _number(request, "page", 0, 10**6), _number(request, "page_size", MAX_LISTED, MAX_LISTED)
    files = UserFiles(web(request).store)
    ids = await files.ids(user)

    async def described(file_id: str) -> dict[str, Any] | None:
        try:
            file = await files.find(user, file_id)
        except TornFile:
            return None
        return None if file is None else _described(file)

    found = await fan_out(described, ids[page * size : (page + 1) * size])
    data = [file for file in found if file is not None]
    return JSONResponse({"object": "list", "data": data, "total": len(ids)})


async def described(request: Request) -> Response:
    """`GET /v1/files/{file_id}`. Raises `Problem` 404."""
    file = await _own_file(request)
    return JSONResponse({**_described(file), "deleted": False})


async def address(request: Request) -> Response:
    """`GET /v1/files/{file_id}/url`: the address by which its owner can have the file read.

    It opens nothing by itself: a request with it needs the owner's key. So there is nothing to sign, and it is valid as
    long as the file is kept.
    """
    file = await _own_file(request)
    return JSONResponse({"url": f"{public_base(request)}/v1/files/{file.file_id}/content"})


async def content(request: Request) -> Response:
    """`GET /v1/files/{file_id}/content`: its bytes. Raises `Problem` 404."""
    file = await _own_file(request)
    headers = {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(layout.upload_name(file.filename), safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        "Content-Length": str(file.size),
    }
    if request.method == "HEAD":
        return Response(media_type=_CONTENT_TYPE, headers=headers)
    async with AsyncExitStack() as stack:
        try:
            opened = await stack.enter_async_context(web(request).store.open_read(file.path))
        except NotFound as error:
            raise _unknown() from error
        closing = stack.pop_all()

    async def chunks() -> AsyncIterator[bytes]:
        async with closing:
            async for chunk in opened.chunks:
                yield chunk

    return StreamingResponse(chunks(), media_type=_CONTENT_TYPE, headers=headers)


async def delete(request: Request) -> Response:
    """`DELETE /v1/files/{file_id}`: the file goes; what was read of it stays a job of its own. Raises `Problem` 404."""
    file = await _own_file(request)
    await UserFiles(web(request).store).delete(file)
    web(request).usage.deleted(layout.user_hash(file.user_email))
    return JSONResponse({"id": file.file_id, "object": "file", "deleted": True})


async def found_file(request: Request, user: User, file_id: str) -> UserFile:
    """The user's file. Raises `Problem` 404, `TornFile`, `StorageError`."""
    file = await UserFiles(web(request).store).find(user, file_id)
    if file is None:
        raise _unknown()
    return file


async def _own_file(request: Request) -> UserFile:
    user = await get_user_of_client(request)
    return await found_file(request, user, request.path_params["file_id"])


def _unknown() -> Problem:
    return Problem(404, "File not found", "No such file.", "Upload the document again: POST /v1/files.")


def _described(file: UserFile) -> dict[str, Any]:
    return {
        "id": file.file_id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created_at.timestamp()),
        "filename": file.filename or _DEFAULT_NAME,
        "purpose": "ocr",
        "sample_type": "ocr_input",
        "source": "upload",
        "mimetype": file.media_type,
        "expires_at": int((file.created_at + KEPT).timestamp()),
        "visibility": "user",
    }


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > most:
        raise Problem(422, f"Bad {name}", f"{name} is a whole number up to {most:,}.", "Leave it out.")
    return int(text)
