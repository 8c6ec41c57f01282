"""A store in a bucket of Google Cloud Storage."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from libs.storage.bucket import Bucket
from libs.storage.errors import PreconditionFailed
from libs.storage.fetch import RANGES_AT_ONCE, Arrived, fetch
from libs.storage.layout import check_folder, check_path, check_prefix
from libs.storage.resumable import Upload
from libs.storage.retries import paced, patient
from libs.storage.store import OpenObject, Stat, Stored

#: Requests at once, each in a thread with a connection. Chosen: enough to hide a request's latency.
THREADS = 32
#: Bytes that a reader gets at a time. Chosen: as from the other stores.
CHUNK_BYTES = 1 << 20
#: Bytes that one request reads; the next are fetched while these are used. Chosen: two such pieces are in memory.
PIECE_BYTES = 4 << 20
#: Bytes that one request writes at most. Chosen: a stream has one such block in memory.
BLOCK_BYTES = 8 << 20

_Arguments = TypeVarTuple("_Arguments")
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class GcsStore:
    """Objects under their own paths in one bucket.

    The client blocks, so each call runs in one of `threads` threads, which have as many connections. A cancelled call
    returns at once; a request that was sent already still takes effect. Small writes raise `TooFast` on 429; a stream,
    which cannot be sent twice, is retried by the client, and so is a deletion. A write whose answer was lost and that a
    rival has replaced since raises `PreconditionFailed` although it took place; without a condition it may then take
    place twice.
    """

    def __init__(self, bucket: str, *, threads: int = THREADS) -> None:
        """Use the credentials of the environment, or `STORAGE_EMULATOR_HOST`. No request is made."""
        self._bucket = Bucket(bucket, connections=threads)
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="gcs")
        self._ranges = asyncio.Semaphore(RANGES_AT_ONCE)

    def close(self) -> None:
        """Close threads and connections. Requests under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._bucket.close()

    async def read(self, path: str) -> Stored:
        check_path(path)
        while True:
            # Both at once: the content comes with its generation, but only `stat` has the object's exact time.
            # Until both have ended: one that is not waited for could use a store that was closed since.
            found, content = await asyncio.gather(
                self._in_thread(self._bucket.stat, path),
                self._in_thread(self._bucket.read, path),
                return_exceptions=True,
            )
            if isinstance(found, BaseException):
                raise found
            if isinstance(content, BaseException):
                raise content
            data, generation = content
            if found.generation == generation:
                return Stored(data=data, generation=generation, updated_at=found.updated_at)

    @asynccontextmanager
    async def open_read(self, path: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[OpenObject]:
        check_path(path)
        found = await self.stat(path)
        chunks = self._chunks(found, start, found.size if end is None else min(end, found.size))
        try:
            yield OpenObject(stat=found, chunks=chunks)
        finally:
            await chunks.aclose()

    async def fetch(self, found: Stat, file: Path, *, arrived: Arrived) -> None:
        """Copy a large object into `file`: see `libs.storage.fetch`."""
        check_path(found.path)
        await fetch(self._bucket, found, file, slots=self._ranges, run=self._in_thread, arrived=arrived)

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        check_path(path)
        if isinstance(data, bytes) and len(data) <= BLOCK_BYTES:
            return await self._in_thread(self._bucket.write, path, data, if_generation, paced)
        blocks = _blocks(data)
        block, last = await anext(blocks)
        if last:
            return await self._in_thread(self._bucket.write, path, block, if_generation, patient)
        upload = await self._in_thread(self._bucket.begin, path, if_generation, undo=Upload.abandon)
        try:
            generation = await self._in_thread(upload.send, block, last)
            async for block, last in blocks:
                generation = await self._in_thread(upload.send, block, last)
        except BaseException as error:
            if not isinstance(error, PreconditionFailed):
                # Not awaited: the block being sent may take long, and a cancelled caller must not wait for it. In a
                # store that was closed the upload is left to expire.
                with suppress(RuntimeError):
                    self._threads.submit(upload.abandon)
            raise
        return generation

    async def delete(self, path: str, *, if_generation: int | None = None) -> None:
        check_path(path)
        await self._in_thread(self._bucket.delete, path, if_generation)

    async def stat(self, path: str) -> Stat:
        check_path(path)
        return await self._in_thread(self._bucket.stat, path)

    async def list(self, prefix: str) -> AsyncIterator[Stat]:
        check_prefix(prefix)
        async for found in self._each(self._bucket.objects(prefix)):
            yield found

    async def children(self, prefix: str) -> AsyncIterator[str]:
        check_folder(prefix)
        async for name in self._each(self._bucket.folders(prefix)):
            yield name

    async def now(self) -> datetime:
        """The storage's clock, never ahead and at most about a second behind: see `ServerTime`."""
        while (now := self._bucket.time.now()) is None:
            await self._in_thread(self._bucket.ask_time)
        return now

    @property
    def upload_origin(self) -> str:
        return self._bucket.origin

    async def create_resumable_upload_session(self, path: str, *, origin: str | None, size: int) -> str:
        check_path(path)
        return await self._in_thread(lambda: self._bucket.session(path, if_generation=0, origin=origin, size=size))

    async def end_upload_session(self, path: str, address: str) -> None:
        check_path(path)
        await self._in_thread(self._bucket.end_session, path, address)

    async def _chunks(self, found: Stat, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        offset = start
        coming = self._fetch(found, offset, stop)
        try:
            while coming is not None:
                piece = await asyncio.wrap_future(coming)
                offset += len(piece)
                coming = self._fetch(found, offset, stop)
                for at in range(0, len(piece), CHUNK_BYTES):
                    yield piece[at : at + CHUNK_BYTES]
        finally:
            if coming is not None:
                coming.cancel()

    def _fetch(self, found: Stat, offset: int, stop: int) -> Future[bytes] | None:
        if offset >= stop:
            return None
        return self._threads.submit(self._bucket.piece, found, offset, min(offset + PIECE_BYTES, stop))

    async def _each(self, pages: Iterator[Sequence[_Item]]) -> AsyncIterator[_Item]:
        while (page := await self._in_thread(next, pages, None)) is not None:
            for item in page:
                yield item

    async def _in_thread(
        self,
        function: Callable[[*_Arguments], _Result],
        *arguments: *_Arguments,
        undo: Callable[[_Result], object] | None = None,
    ) -> _Result:
        """Run a blocking call in a thread; when cancelled, `undo` what it will return."""
        work = self._threads.submit(function, *arguments)
        try:
            return await asyncio.wrap_future(work)
        except asyncio.CancelledError:
            if undo is not None:
                work.add_done_callback(lambda done: _undone(done, undo))
            raise


def _undone(work: Future[_Result], undo: Callable[[_Result], object]) -> None:
    if not work.cancelled() and work.exception() is None:
        undo(work.result())


async def _blocks(data: bytes | AsyncIterator[bytes]) -> AsyncIterator[tuple[bytes, bool]]:
    """Full blocks, each with whether it is the last one; the last may be shorter, or empty."""
    gathered = bytearray()
    async for chunk in _single(data) if isinstance(data, bytes) else data:
        gathered += chunk
        while len(gathered) > BLOCK_BYTES:
            block = bytes(memoryview(gathered)[:BLOCK_BYTES])
            del gathered[:BLOCK_BYTES]
            yield block, False
    yield bytes(gathered), True


async def _single(data: bytes) -> AsyncIterator[bytes]:
    for offset in range(0, len(data), CHUNK_BYTES):
        yield data[offset : offset + CHUNK_BYTES]
