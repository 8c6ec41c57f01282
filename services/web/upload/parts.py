"""A resumable upload as it lies in storage: what was asked, and the parts that have arrived.

A part is named by the offset at which it begins and is written create-only. So the parts form one chain, whoever
writes: of two requests that go on from the same offset one creates the next part, and the other is refused. No lock
is needed, and none can be left behind by a process that dies.
"""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime

import msgspec

from libs.codec import Codec, TornObject
from libs.fanout import fan_out
from libs.jobstate.intake import Options
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from services.web.upload.tus_body import Body, bounded, verified
from services.web.upload.tus_headers import Checksum

PART_BYTES = 8 << 20
"""What the death of a process loses at most; no more than the store sends to Cloud Storage in one request."""
PARALLEL_DELETES = 16


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """`upload.json`: what was asked. `length` in bytes is `None` while the client has not said it.

    `session` is of uploads that go to the bucket directly: the address they are sent to, a secret, or nothing once it
    is of no use any more. Those that come through us have `None`.
    """

    user_email: str
    filename: str | None
    length: int | None
    metadata: str
    options: Options
    expires_at: datetime
    session: str | None = None


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The chain of parts: where each begins, where the last ends, and when it was written."""

    starts: tuple[int, ...] = ()
    end: int = 0
    changed_at: datetime | None = None


class TornUpload(TornObject):
    """The stored upload cannot be decoded."""


_codec = Codec(Upload, TornUpload)
encode, decode = _codec.encode, _codec.decode


async def list_parts(files: SessionFiles) -> Parts:
    """The chain as it is stored now."""
    starts: list[int] = []
    end, changed_at = 0, None
    async for stat in files.store.list(files.path(layout.PARTS)):
        if stat.path != files.path(layout.part_name(end)):
            break  # the chain is being deleted from its beginning
        starts.append(end)
        end += stat.size
        changed_at = stat.updated_at
    return Parts(starts=tuple(starts), end=end, changed_at=changed_at)


async def append(files: SessionFiles, offset: int, body: Body, checksum: Checksum | None = None) -> int:
    """Store the body from `offset` on, and return where it ends.

    A body with a checksum becomes one part, whole or not at all. Raises `PreconditionFailed` when somebody else has
    written at the same place, and what the body raises.
    """
    while await body.head(1):
        part = bounded(body, PART_BYTES) if checksum is None else verified(body, checksum)
        counted = _Counted(part)
        await files.store.write(files.path(layout.part_name(offset)), counted.chunks(), if_generation=0)
        offset += counted.size
    return offset


async def read_parts(files: SessionFiles, parts: Parts) -> AsyncIterator[bytes]:
    """The bytes of the chain. Raises `NotFound` when a part is gone."""
    for start in parts.starts:
        async with files.store.open_read(files.path(layout.part_name(start))) as part:
            async for chunk in part.chunks:
                yield chunk


async def read_head(files: SessionFiles, parts: Parts, size: int) -> bytes:
    """The first `size` bytes of the chain, or all it has."""
    head = b""
    async for chunk in read_parts(files, parts):
        head += chunk
        if len(head) >= size:
            break
    return head[:size]


async def delete_parts(files: SessionFiles) -> None:
    """Remove all parts, the first one first: what is left after a crash is then no chain any more."""

    async def delete(path: str) -> None:
        with suppress(NotFound):
            await files.store.delete(path)

    paths = [stat.path async for stat in files.store.list(files.path(layout.PARTS))]
    for path in paths[:1]:
        await delete(path)
    await fan_out(delete, paths[1:], at_once=PARALLEL_DELETES)


class _Counted:
    """A stream that says how much has passed through it."""

    def __init__(self, stream: AsyncIterator[bytes]) -> None:
        self._stream = stream
        self.size = 0

    async def chunks(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self.size += len(chunk)
            yield chunk
