"""The parts of a resumable upload that have arrived, as they are stored.

A part is named by the offset at which it begins and is written create-only. So the parts form one chain, however many
write: of two requests that continue from the same offset one creates the next part, and the other is refused. No lock
is needed, and none can be left behind by a process that dies.

A small last part is not followed by another: the next bytes replace it, at its generation, by one that has both. So a
client that sends a byte at a time makes few parts, and its last request costs what its first did. A part grows only
while it is the last and small, so of two requests at one offset still only one can succeed: both replace the part at
the same generation, or both create the same next one.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime

import msgspec

from libs.fanout import fan_out
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.session import SessionFiles
from libs.storage.store import Stat
from services.web.upload.tus_body import Body, bounded, verified
from services.web.upload.tus_headers import Checksum

#: Bytes of a part at most: as much as a process that dies loses, and no more than the store sends to Cloud Storage in
#: one request.
PART_BYTES = 8 << 20
#: A last part is small, and grows, below this share of `PART_BYTES`. Chosen: replacing it reads and writes at most
#: 1 MiB, and 2 GB in small pieces are 2,000 parts at most.
SMALL = 1 / 8
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
    #: The last part, while it is small and grows.
    growing: Stat | None = None


async def list_parts(files: SessionFiles) -> Parts:
    """The chain as it is stored now."""
    starts: list[int] = []
    end, last = 0, None
    async for stat in files.store.list(files.parts_prefix):
        if stat.path != files.part_path(end):
            break  # the chain is being deleted from its beginning
        starts.append(end)
        end += stat.size
        last = stat
    if last is None:
        return Parts()
    growing = last if last.size < PART_BYTES * SMALL else None
    return Parts(starts=tuple(starts), end=end, changed_at=last.updated_at, growing=growing)


async def append(
    files: SessionFiles, offset: int, body: Body, *, growing: Stat | None = None, checksum: Checksum | None = None
) -> int:
    """Store the body from `offset`, the end of the chain, on, and return where it ends then.

    `growing` is the last part, where that is small.
    A body with a checksum goes into one part, whole or not at all. Raises `PreconditionFailed` when another request has
    written at the same offset, and what the body raises.
    """
    while await body.head(1):
        # At most one part is replaced: the body fills it up, or ends within it.
        path, generation, known = files.part_path(offset), 0, b""
        if growing is not None:
            path, generation, known = growing.path, growing.generation, await _content(files, growing)
            growing = None
        piece = _Counted(bounded(body, PART_BYTES - len(known)) if checksum is None else verified(body, checksum))
        await files.store.write(path, piece.chunks(after=known), if_generation=generation)
        offset += piece.size
    return offset


async def _content(files: SessionFiles, part: Stat) -> bytes:
    """The bytes of the part. Raises `PreconditionFailed` where it was replaced or deleted since."""
    try:
        stored = await files.store.read(part.path)
    except NotFound as error:
        raise PreconditionFailed(part.path) from error
    if stored.generation != part.generation:
        raise PreconditionFailed(part.path)
    return stored.data


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

    async def chunks(self, *, after: bytes) -> AsyncIterator[bytes]:
        """`after`, which does not count, and then the stream."""
        if after:
            yield after
        async for chunk in self._stream:
            self.size += len(chunk)
            yield chunk
