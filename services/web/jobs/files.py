"""`GET /storage/{user_hash}/{session_id}/{filename}`: stored files, whole or in ranges, for their owner (R14)."""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from libs.storage import layout
from libs.storage.session import SessionFiles, validate_session
from services.serving.problem import Problem
from services.web.auth import get_user_from_request
from services.web.render.filetype import HEAD_BYTES, file_type
from services.web.service import web

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
# The types of the files that the service writes itself, by extension.
_MEDIA_TYPES = {
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".pdf": "application/pdf",
}


async def stored_file(request: Request) -> Response:
    """The file, or the requested range of it. Raises `Problem` 416, 503, and `Forbidden` and `NotFound`."""
    user_hash, session_id, name = (request.path_params[key] for key in ("user_hash", "session_id", "filename"))
    user = await get_user_from_request(request)
    files = await validate_session(web(request).store, user.email, session_id, user_hash=user_hash)
    path = files.path(name)
    stat = await files.store.stat(path)
    headers = {
        "ETag": f'"{stat.generation}"',
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        # A page image never changes; every other file may be written again.
        "Cache-Control": "private, max-age=86400" if name.endswith(".png") else "private, no-cache",
        # An upload opened in the browser must not be able to run scripts on our origin.
        "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
    }
    if request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    start, end = _range(request, stat.size, headers["ETag"])
    partial = (start, end) != (0, stat.size)
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{stat.size}"
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(files.store.open_read(path, start=start, end=end))
        if opened.stat.generation != stat.generation:
            # Replaced between the two calls: size and range do not fit any more.
            raise Problem(503, "File changed", "The file was replaced just now.", "Ask again.")
        headers["Content-Type"] = await _media_type(files, name)
        if _is_upload(name) or name == layout.SEARCHABLE:
            headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
        headers["Content-Length"] = str(end - start)
        if request.method == "HEAD":
            return Response(status_code=206 if partial else 200, headers=headers)
        closing = stack.pop_all()
    return StreamingResponse(_chunks(opened.chunks, closing), status_code=206 if partial else 200, headers=headers)


async def _chunks(chunks: AsyncIterator[bytes], closing: AsyncExitStack) -> AsyncIterator[bytes]:
    async with closing:
        async for chunk in chunks:
            yield chunk


def _range(request: Request, size: int, etag: str) -> tuple[int, int]:
    """First byte and the byte after the last. For several ranges or an outdated `If-Range` it is the whole file.

    Raises `Problem` 416.
    """
    given = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    if given is None or request.headers.get("If-Range", etag) != etag:
        return 0, size
    first, last = given.groups()
    if not first and not last:
        return 0, size
    if not first:
        start, end = max(0, size - _number(last)), size
    else:
        start, end = _number(first), min(size, _number(last) + 1) if last else size
    if start >= end:
        raise Problem(
            416,
            "Range not satisfiable",
            f"The file has {size} bytes.",
            "Ask for a range within it.",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end


def _number(digits: str) -> int:
    """The number; one of very many digits, which Python refuses to read, becomes another beyond any file's size."""
    return int(digits.lstrip("0")[:19] or "0")


def _is_upload(name: str) -> bool:
    return layout.upload_name(name) == name


async def _media_type(files: SessionFiles, name: str) -> str:
    if not _is_upload(name):
        ending = name[name.rfind(".") :]
        return "text/markdown; charset=utf-8" if name == layout.COMBINED else _MEDIA_TYPES.get(ending, "text/plain")
    async with files.store.open_read(files.path(name), end=HEAD_BYTES) as opened:
        head = b"".join([chunk async for chunk in opened.chunks])
    kind = file_type(head)
    return kind.media_type if kind else "application/octet-stream"
