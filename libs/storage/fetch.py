"""One large object of a bucket into a file: ranges side by side, held against the object's checksum."""

import asyncio
import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

import google_crc32c

from libs.storage.errors import Unavailable
from libs.storage.store import Stat

RANGE_BYTES = 8 << 20  # what one request brings
RANGES_AT_ONCE = 16  # so at most 128 MiB are in memory
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
    """Write the object `found` into the new file `file`; `arrived` is told the bytes of each range.

    `run` runs a blocking call in a thread. Raises `Unavailable` when the object is replaced meanwhile or damaged on
    the way, `OSError` of the disk; what is left of the file then is the caller's to remove.
    """

    def bring(start: int) -> int:
        piece = source.piece(found, start, min(start + RANGE_BYTES, found.size))
        # Opened by name each time: a range that nobody waits for any more finds the file gone, where a descriptor
        # might be another file's by then.
        with file.open("r+b") as part:
            part.seek(start)
            part.write(piece)
        return len(piece)

    async def one(start: int) -> None:
        async with slots:
            arrived(await run(bring, start))

    await run(file.open("xb").close)
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
