"""An answer that comes when a job has ended: blanks keep its connection open until then.

Proxies and clients commonly end a connection on which nothing is sent for 60 s. JSON may begin with blanks (RFC 8259,
section 2), so after `FIRST_SECONDS` the answer begins with status 200 and a blank, and another one follows every
`NEXT_SECONDS`. What fails then cannot be told any more: the answer is cut off, which every client takes for an error,
and its next try is told.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping

import structlog
from starlette.responses import Response, StreamingResponse

from libs.errors import ExpectedError
from services.serving.problem import Problem

#: Seconds until the first blank. Chosen: a quarter of the 60 s after which nginx and many load balancers end a silent
#: connection; an answer that comes before has its true status.
FIRST_SECONDS = 15.0
#: Seconds between two blanks.
NEXT_SECONDS = 10.0

log = structlog.get_logger()

#: Waits for what the answer is made of, and returns its bytes. Raises `Problem` and `ExpectedError`.
Content = Awaitable[AsyncIterator[bytes]]


class CutOff(Exception):
    """Ends an answer that has begun, without its last piece."""


async def answer(
    content: Content, *, media_type: str = "application/json", headers: Mapping[str, str] | None = None
) -> Response:
    """The answer, whose head is sent when the content is there or after `FIRST_SECONDS`.

    Raises what `content` raises until then. A client that goes away ends the wait, and nothing else.
    """
    waiting = asyncio.ensure_future(content)
    try:
        await asyncio.wait({waiting}, timeout=FIRST_SECONDS)
    except asyncio.CancelledError:
        waiting.cancel()
        raise
    pieces = waiting.result() if waiting.done() else _after_blanks(waiting)
    return StreamingResponse(pieces, media_type=media_type, headers=headers)


async def _after_blanks(waiting: "asyncio.Future[AsyncIterator[bytes]]") -> AsyncIterator[bytes]:
    try:
        while not waiting.done():
            yield b" "
            await asyncio.wait({waiting}, timeout=NEXT_SECONDS)
        async for piece in waiting.result():
            yield piece
    except (Problem, ExpectedError) as error:
        reason = error.title if isinstance(error, Problem) else type(error).__name__
        log.warning("answer_cut_off", reason=reason)
        raise CutOff from error
    finally:
        waiting.cancel()
