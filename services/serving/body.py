"""The body of a request as it arrives: bounded in size, time and rate, whichever route reads it.

What a route leaves unread when it answers is the business of `exchange`.
"""

import asyncio

import msgspec
from starlette.requests import Request

from services.serving.problem import Problem

#: Bytes of a JSON body at most (design, section 9).
MAX_BYTES = 1_000_000


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """The longest time and the lowest rate of a body.

    Only the time in which the service waits for the client counts towards the rate: a slow disk makes no body slow.
    """

    #: Seconds from the request's head to the last byte of its body, at most.
    total_seconds: float
    #: Seconds for which less than `bytes_per_second` may arrive on average.
    stall_seconds: float
    #: Bytes a second that arrive at least, on average over `stall_seconds`.
    bytes_per_second: float


#: For JSON. Chosen: such a body has some hundred bytes, seldom 10 kB, which a line of 9,600 bit/s sends in 10 s.
JSON_PACE = Pace(total_seconds=30.0, stall_seconds=10.0, bytes_per_second=1000.0)


class TooSlow(Exception):
    """The body does not keep its pace. The message is a sentence for the client."""


class ArrivingBody:
    """The pieces of a body, each waited for only as long as the pace allows.

    The client has a credit of `stall_seconds`. Waiting spends it; what arrives earns it back, `bytes_per_second` to the
    second. So a fast client may pause, and one that sends a byte now and then may not.
    """

    def __init__(self, request: Request, pace: Pace) -> None:
        self._pieces = request.stream()
        self._pace = pace
        self._clock = asyncio.get_running_loop().time
        self._credit = pace.stall_seconds
        self._ends = self._clock() + pace.total_seconds

    async def next(self) -> bytes | None:
        """The next piece, `None` at the end. Raises `TooSlow` and `ClientDisconnect`."""
        began = self._clock()
        try:
            async with asyncio.timeout(min(self._credit, self._ends - began)):
                piece = await anext(self._pieces, None)
        except TimeoutError as error:
            raise TooSlow(self._fault(self._clock())) from error
        if piece is not None:
            earned = len(piece) / self._pace.bytes_per_second
            self._credit = min(self._pace.stall_seconds, self._credit - (self._clock() - began) + earned)
        return piece

    def _fault(self, now: float) -> str:
        pace = self._pace
        if now >= self._ends:
            return f"The body was not complete after {pace.total_seconds:g} seconds."
        return f"Fewer than {pace.bytes_per_second:g} bytes a second arrived for {pace.stall_seconds:g} seconds."


async def read_body(request: Request, *, hint: str, most: int = MAX_BYTES, pace: Pace = JSON_PACE) -> bytes:
    """A JSON body, whole. Raises `Problem` 413 with `hint` for more than `most` bytes, 408 for one too slow."""
    if (announced_bytes(request) or 0) > most:
        raise _too_large(most, hint)
    arriving, body = ArrivingBody(request, pace), bytearray()
    try:
        while (piece := await arriving.next()) is not None:
            body += piece
            if len(body) > most:
                raise _too_large(most, hint)
    except TooSlow as error:
        raise Problem(408, "Body too slow", str(error), "Check the connection and send the request again.") from error
    return bytes(body)


def announced_bytes(request: Request) -> int | None:
    """The length of the body that the head announces; `None` where it announces none."""
    text = request.headers.get("Content-Length", "")
    # h11 takes 20 digits; over HTTP/2 there may be thousands, which Python refuses to read as a number.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None


def _too_large(most: int, hint: str) -> Problem:
    size = "1 MB" if most == MAX_BYTES else f"{most:,} bytes"
    return Problem(413, "Body too large", f"The body of this request has at most {size}.", hint)
