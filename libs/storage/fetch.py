"""Copying one large object of a bucket into a file: several ranges at once, verified by the object's checksum."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import google_crc32c

from libs.storage.errors import Unavailable
from libs.storage.store import Stat

#: Bytes that one request reads. Chosen: the request's latency is small beside their transfer.
RANGE_BYTES = 8 << 20
#: Requests at once. Chosen: at most 128 MiB are in memory.
RANGES_AT_ONCE = 16
#: Bytes read at a time for the checksum.
BLOCK_BYTES = 1 << 20

Arrived = Callable[[int], None]
InThread = Callable[..., Awaitable[Any]]


class Source(Protocol):
    """The blocking side of a bucket."""

    def piece(self, found: Stat, start: int, stop: int) -> bytes: ...

    def checksum(self, found: Stat) -> str: ...


async def fetch(
    source: Source, found: Stat, file: Path, *, slots: asyncio.Semaphore, run: InThread, arrived: Arrived
) -> None:
    """Write the object `found` into the new file `file`; `arrived` is called with the bytes of each range.

    `run` runs a blocking call in a thread. Raises `Unavailable` when the object is replaced during the copy or damaged
    in transit, and `OSError` of the disk; the caller then removes what is left of the file.
    """

    def bring(start: int) -> int:
        piece = source.piece(found, start, min(start + RANGE_BYTES, found.size))
        # Opened by name each time: a range that is no longer waited for finds the file removed, where a descriptor
        # could be another file's by then.
        with file.open("r+b") as part:
            part.seek(start)
            part.write(piece)
        return len(piece)

    async def one(start: int) -> None:
        async with slots:
            arrived(await run(bring, start))

    # In the thread as a whole: a file opened here would stay open where the wait for its closing is cancelled.
    await run(lambda: file.open("xb").close())
    try:
        async with asyncio.TaskGroup() as ranges:
            for start in range(0, found.size, RANGE_BYTES):
                ranges.create_task(one(start))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    expected, actual = await asyncio.gather(run(source.checksum, found), run(_checksum, file))
    if expected != actual:
        raise Unavailable(found.path, "what arrived does not match its checksum; ask again")


def _checksum(file: Path) -> str:
    """CRC-32C as Cloud Storage writes it."""
    checksum = google_crc32c.Checksum()
    with file.open("rb") as content:
        while block := content.read(BLOCK_BYTES):
            checksum.update(block)
    return base64.b64encode(checksum.digest()).decode()
