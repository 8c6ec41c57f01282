"""The uploads of which this process receives bytes now."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import msgspec

from services.serving.problem import Problem

#: Bytes of large bodies in memory at a time. Chosen: four of the largest that a front door takes, which are held twice
#: while they are decoded.
MAX_HELD_BYTES = 256 * 1024**2
#: A body up to this size does not count.
SMALL_BYTES = 1_000_000


class _Openings(msgspec.Struct):
    """The uploads of one user that are being opened."""

    count: int = 0
    #: Held while one of them takes its place among the active jobs.
    turn: asyncio.Lock = msgspec.field(default_factory=asyncio.Lock)


class Receiving:
    """Ends the requests that receive an upload's bytes, before the upload is removed and no longer counts as active.

    Otherwise a user who creates, continues and deletes uploads in turn would send more of them at a time than the limit
    of active jobs allows. Requests in other processes find out by the tombstone.
    """

    def __init__(self) -> None:
        self._requests: dict[str, dict[asyncio.Timeout, asyncio.Event]] = {}
        self._openings: dict[str, _Openings] = {}

    @contextmanager
    def opened(self, user: str) -> Iterator[tuple[int, asyncio.Lock]]:
        """An upload of this user is opened in the block, and mostly received.

        Gives how many others are in such a block, and the lock to hold while it takes its place among the active jobs.
        """
        openings = self._openings.setdefault(user, _Openings())
        openings.count += 1
        try:
            yield openings.count - 1, openings.turn
        finally:
            openings.count -= 1
            if not openings.count:
                del self._openings[user]

    @asynccontextmanager
    async def of(self, session_id: str) -> AsyncIterator[None]:
        """Run the block, which receives bytes of this upload; `end` cancels it. Raises `Problem` 410 then."""
        limit, ended = asyncio.timeout(None), asyncio.Event()
        requests = self._requests.setdefault(session_id, {})
        try:
            async with limit:
                requests[limit] = ended
                yield
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise deleted() from error
        finally:
            ended.set()
            requests.pop(limit, None)
            if not requests:
                self._requests.pop(session_id, None)

    async def end(self, session_id: str) -> None:
        """Cancel the blocks of this upload, and return when they have ended."""
        requests = dict(self._requests.get(session_id, {}))
        for limit in requests:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())
        for ended in requests.values():
            await ended.wait()


class HeldBodies:
    """The large bodies that this process has in memory: together they have a limit."""

    def __init__(self, most: int = MAX_HELD_BYTES) -> None:
        self._left = most

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        """A body of at most this size is held in the block. Raises `Problem` 503 where there is no room for it."""
        counted = size if size > SMALL_BYTES else 0
        if counted > self._left:
            raise Problem(
                503,
                "Busy",
                "Too many large bodies are being received.",
                "Try again in a moment, or send the document as the raw body: it is then not held in memory.",
                headers={"Retry-After": "2"},
            )
        self._left -= counted
        try:
            yield
        finally:
            self._left += counted


def deleted() -> Problem:
    """410 for bytes of an upload that was deleted while they arrived."""
    return Problem(410, "Upload deleted", "The upload was deleted meanwhile.", "Begin a new upload of the file.")
