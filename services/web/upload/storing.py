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
from services.web.render.filetype import HEAD_BYTES, FileType, file_type
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
    arriving = Arriving(chunks, most=service.config.upload_max_bytes)
    kind = await arriving.kind()
    clock = asyncio.get_running_loop().time
    announced = clock()

    async def watched() -> AsyncIterator[bytes]:
        nonlocal announced
        async for chunk in arriving.chunks():
            if digest is not None:
                digest.update(chunk)
            if keep and clock() > announced + ANNOUNCE_SECONDS:
                await announce(files, run=1)
                announced = clock()
            yield chunk

    # Not create-only: no one else can write to this session yet, so after a lost answer the file found at a second
    # attempt is our own and must not be taken for a rival's.
    if keep:
        await service.store.write(files.path(layout.upload_name(filename)), watched())
    else:
        async for _ in watched():
            pass
    return file_info(filename, kind, arriving.size)


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


class Arriving:
    """The bytes of a document, of which the first show the type."""

    def __init__(self, chunks: AsyncIterator[bytes], *, most: int) -> None:
        """`most`: bytes that it may have."""
        self._chunks = chunks
        self._most = most
        self._head = b""
        #: How many bytes have gone through `chunks`.
        self.size = 0

    async def kind(self) -> FileType:
        """The type by the first bytes. Raises `Problem` 400 where there are none, 415 for an unsupported type."""
        async for chunk in self._chunks:
            self._head += chunk
            if len(self._head) >= HEAD_BYTES:
                break
        if not self._head:
            raise empty()
        kind = file_type(self._head)
        if kind is None:
            raise unsupported()
        return kind

    async def chunks(self) -> AsyncIterator[bytes]:
        """All bytes, once. Raises `Problem` 413."""
        async for chunk in self._all():
            self.size += len(chunk)
            if self.size > self._most:
                raise too_large(self._most)
            yield chunk

    async def _all(self) -> AsyncIterator[bytes]:
        yield self._head
        async for chunk in self._chunks:
            yield chunk
