"""The parts of a resumable upload that have arrived, as they are stored.

A part is named by the offset at which it begins and is written create-only. So the parts form one chain, however many
write: of two requests that continue from the same offset one creates the next part, and the other is refused. No lock
is needed, and none can be left behind by a process that dies.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime

import msgspec

from libs.fanout import fan_out
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from services.web.upload.tus_body import Body, bounded, verified
from services.web.upload.tus_headers import Checksum

#: Bytes of a part at most: as much as a process that dies loses, and no more than the store sends to Cloud Storage in
#: one request.
PART_BYTES = 8 << 20
#: Chosen: few enough for the store's pool of connections.
PARALLEL_DELETES = 16


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The chain of parts."""

    #: The offset at which each part begins, ascending.
    starts: tuple[int, ...] = ()
    #: The offset at which the chain ends: the bytes that are stored.
    end: int = 0
    #: When the last part was written, by the storage's clock.
    changed_at: datetime | None = None


async def list_parts(files: SessionFiles) -> Parts:
    """The chain as it is stored now."""
    starts: list[int] = []
    end, changed_at = 0, None
    async for stat in files.store.list(files.parts_prefix):
        if stat.path != files.part_path(end):
            break  # the chain is being deleted from its beginning
        starts.append(end)
        end += stat.size
        changed_at = stat.updated_at
    return Parts(starts=tuple(starts), end=end, changed_at=changed_at)


async def append(files: SessionFiles, offset: int, body: Body, checksum: Checksum | None = None) -> int:
    """Store the body from `offset` on, and return where it ends.

    A body with a checksum becomes one part, whole or not at all. Raises `PreconditionFailed` when another request has
    written at the same offset, and what the body raises.
    """
    while await body.head(1):
        part = bounded(body, PART_BYTES) if checksum is None else verified(body, checksum)
        counted = _Counted(part)
        await files.store.write(files.part_path(offset), counted.chunks(), if_generation=0)
        offset += counted.size
    return offset


async def read_parts(files: SessionFiles, parts: Parts) -> AsyncIterator[bytes]:
    """The bytes of the chain. Raises `NotFound` when a part was deleted."""
    for start in parts.starts:
        async with files.store.open_read(files.part_path(start)) as part:
            async for chunk in part.chunks:
                yield chunk


async def read_head(files: SessionFiles, parts: Parts, size: int) -> bytes:
    """The first `size` bytes of the chain, or all when it has fewer."""
    head = b""
    async for chunk in read_parts(files, parts):
        head += chunk
        if len(head) >= size:
            break
    return head[:size]


async def delete_parts(files: SessionFiles) -> None:
    """Delete all parts, the first one first, so that what a crash leaves is not a chain any more."""

    async def delete(path: str) -> None:
        with suppress(NotFound):
            await files.store.delete(path)

    paths = [stat.path async for stat in files.store.list(files.parts_prefix)]
    for path in paths[:1]:
        await delete(path)
    await fan_out(delete, paths[1:], at_once=PARALLEL_DELETES)


class _Counted:
    """A stream that counts the bytes that have passed through it."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self.size = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self.size += len(chunk)
            yield chunk
