"""The body of a request: read whole and bounded, or read to its end and dropped."""

import asyncio
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request

from services.serving.problem import Problem

#: Bytes of a JSON body at most (design, section 9).
MAX_BYTES = 1_000_000


async def read_body(request: Request, *, hint: str) -> bytes:
    """The body; never more than `MAX_BYTES` of it are held. Raises a 413 `Problem` with `hint`."""
    body = b""
    async for chunk in request.stream():
        body += chunk[: MAX_BYTES + 1 - len(body)]
    if len(body) > MAX_BYTES:
        raise Problem(413, "Body too large", "The body of this request has at most 1 MB.", hint)
    return body


async def drain(request: Request, most: int, stall_seconds: float) -> None:
    """Read the rest of the body and drop it: at most `most` bytes, waiting at most `stall_seconds` for each piece.

    An answer sent before the body was read stalls the whole connection over HTTP/2, and over HTTP/1.1 is lost for
    clients that read only once they have sent everything.
    """
    body = request.stream()
    with suppress(ClientDisconnect, RuntimeError, TimeoutError):  # RuntimeError: the body was read to its end before
        while most >= 0:
            async with asyncio.timeout(stall_seconds):
                chunk = await anext(body, None)
            if chunk is None:
                return
            most -= len(chunk)
