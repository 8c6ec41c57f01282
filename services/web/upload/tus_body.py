"""The body of a resumable upload's request: what arrived before the connection broke counts."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import ClientDisconnect, Request

from services.serving.body import ArrivingBody, Pace, TooSlow
from services.serving.problem import Problem
from services.web.upload.tus_headers import Checksum

#: Seconds of receiving after which `Body` looks again whether the bytes are still wanted. Chosen: one request to the
#: storage in so many seconds costs nothing beside the bytes.
LOOK_SECONDS = 5.0


class Body:
    """The bytes as they arrive. When the connection breaks or stalls they end, and `fault` is set."""

    def __init__(self, request: Request, *, most: int, pace: Pace, look: Callable[[], Awaitable[None]]) -> None:
        """Read at most `most` bytes, at this pace; every `LOOK_SECONDS` call `look`, which raises to end the body."""
        self._body = ArrivingBody(request, pace)
        self._left = most
        self._look = look
        self._clock = asyncio.get_running_loop().time
        self._looked_at = self._clock()
        self._held: deque[bytes] = deque()
        #: Why the bytes ended before the body did: a `Problem` 408, or `ClientDisconnect`. `None` when it is whole.
        self.fault: Exception | None = None

    async def head(self, size: int) -> bytes:
        """The first `size` bytes, or fewer when the body ends before; `next` returns them again."""
        while sum(map(len, self._held)) < size and (chunk := await self._arriving()) is not None:
            self._held.append(chunk)
        return b"".join(self._held)[:size]

    async def next(self, most: int | None = None) -> bytes | None:
        """The next bytes, at most `most`; `None` at the end. Raises `Problem` 413."""
        chunk = self._held.popleft() if self._held else await self._arriving()
        if chunk is not None and most is not None and len(chunk) > most:
            self._held.appendleft(chunk[most:])
            return chunk[:most]
        return chunk

    async def _arriving(self) -> bytes | None:
        while self.fault is None:
            try:
                chunk = await self._body.next()
            except TooSlow as error:
                self.fault = Problem(
                    408,
                    "Upload stalled",
                    f"{error} What came before is kept.",
                    "Ask for the offset with HEAD, and go on from there.",
                )
                break
            except ClientDisconnect as error:
                self.fault = error
                break
            if chunk is None:
                break
            if self._clock() > self._looked_at + LOOK_SECONDS:
                await self._look()
                self._looked_at = self._clock()
            self._left -= len(chunk)
            if self._left < 0:
                raise too_long()
            if chunk:
                return chunk
        return None


async def bounded(body: Body, most: int) -> AsyncIterator[bytes]:
    """The next `most` bytes of the body, or all that is left."""
    while most > 0 and (chunk := await body.next(most)) is not None:
        most -= len(chunk)
        yield chunk


async def verified(body: Body, checksum: Checksum) -> AsyncIterator[bytes]:
    """All bytes of the body. At the end raises its fault, or `Problem` 460: nothing of it must then be kept."""
    hasher = checksum.hasher()
    while (chunk := await body.next()) is not None:
        hasher.update(chunk)
        yield chunk
    if body.fault is not None:
        raise body.fault
    if hasher.digest() != checksum.digest:
        raise Problem(
            460,
            "Checksum mismatch",
            "The bytes that arrived do not have the checksum of Upload-Checksum; they were not kept.",
            "Send them again.",
        )


def too_long() -> Problem:
    """413 for a body that is longer than what its upload lacks."""
    return Problem(
        413,
        "Body too large",
        "The body goes beyond the upload's length, or beyond what an upload may have.",
        "Ask for the offset with HEAD, and send what is missing after it.",
    )
