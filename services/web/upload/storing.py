"""The bytes of a document into storage, whichever way they arrive in one request."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress

from libs.jobstate import intake as intakes
from libs.jobstate.active import announce
from libs.jobstate.intake import FileInfo
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from services.web.render.filetype import HEAD_BYTES, file_type
from services.web.service import Web
from services.web.upload.admission import empty, file_info, too_large, unsupported

#: Seconds after which a long upload announces itself again, so that the sweep does not take it for abandoned.
ANNOUNCE_SECONDS = 300.0


async def store_document(
    service: Web,
    files: SessionFiles,
    chunks: AsyncIterator[bytes],
    filename: str | None,
    digest: "hashlib._Hash | None" = None,
    *,
    keep: bool = True,
) -> FileInfo:
    """Stream the document into its session, once its first bytes show a supported type. Raises `Problem`.

    `digest` is fed with the bytes. Without `keep` they are only read.
    """
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
        await service.store.write(files.path(layout.upload_name(filename)), counted())
    else:
        async for _ in counted():
            pass
    return file_info(filename, kind, size)


async def stored_document(files: SessionFiles, raw_file: str) -> FileInfo:
    """The document that an earlier request has stored under this name, whether or not its job was made.

    Raises `StorageError`.
    """
    with suppress(NotFound):
        return intakes.decode((await files.store.read(files.intake_path)).data).file_info
    async with files.store.open_read(files.path(raw_file), end=HEAD_BYTES) as opened:
        head = b"".join([chunk async for chunk in opened.chunks])
        size = opened.stat.size
    kind = file_type(head)
    if kind is None:  # only a document of a supported type is stored
        raise unsupported()
    return file_info(raw_file, kind, size)


async def _after(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for chunk in rest:
        yield chunk
