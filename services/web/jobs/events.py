"""`GET /api/jobs/{job_id}/events`: the job and its pages as server-sent events, each page the moment it is saved."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import ExitStack, suppress

import msgspec
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from libs.errors import ExpectedError
from libs.storage.errors import NotFound
from services.serving.problem import Problem
from services.web.auth import User, get_user_from_request
from services.web.jobs.lookup import newer_view
from services.web.live.feed import Feed, Stopping, View, encoded
from services.web.live.position import DELETED, Position, knows_all, position_of
from services.web.service import web

#: Seconds between two comments on a stream, by which proxies and clients see that it lives. Chosen: a quarter of the
#: 60 s after which nginx (`proxy_read_timeout`) and many load balancers end a silent connection by default.
HEARTBEAT_SECONDS = 15
#: Seconds after which it is checked again whether the client may still read. Chosen: as long as an API key is cached.
CHECK_SECONDS = 60.0
#: Milliseconds that a client waits before it comes again, the least and the most. Chosen: soon, and the clients of a
#: service that restarts do not come all at once.
RETRY_MS = (500, 2500)


async def events(request: Request) -> Response:
    """The events after `Last-Event-ID`; 204, which ends a browser's attempts, where the client knows the job's end.

    Raises `Problem` 404, 429, `TornIntake`, `StorageError`.
    """
    user = await get_user_from_request(request)
    position = position_of(request.headers.get("Last-Event-ID", ""))
    with ExitStack() as stack:
        feed = stack.enter_context(web(request).feeds.watched(user.email, request.path_params["job_id"]))
        try:
            view = await newer_view(feed, None)
        except Stopping:
            view = None  # an empty stream, after which the client comes again
        if view is not None and knows_all(position, view.job):
            return Response(status_code=204)
        position = msgspec.structs.replace(position, done=False)  # the end of an earlier run, if any
        return _Stream(_sent(request, user, feed, view, position), stack.pop_all())


class _Stream(EventSourceResponse):
    """A stream that ends what was entered for it, also where it is never begun."""

    def __init__(self, content: AsyncIterator[bytes], entered: ExitStack) -> None:
        super().__init__(content, ping=HEARTBEAT_SECONDS, ping_message_factory=_heartbeat, sep="\n")
        del self.headers["Connection"]  # it is not allowed in HTTP/2 (RFC 9113, 8.2.2)
        self._entered = entered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        with self._entered:
            await super().__call__(scope, receive, send)


def _heartbeat() -> ServerSentEvent:
    return ServerSentEvent(comment="", sep="\n")


async def _sent(
    request: Request, user: User, feed: Feed, view: View | None, position: Position
) -> AsyncIterator[bytes]:
    """The bytes of the stream, from this view on. A client that reads slowly is sent the newest view once it has read.

    The stream ends without a last event where the process stops, and where the client may not read any more or the job
    cannot be read: it comes again, and the answer says why.
    """
    clock = asyncio.get_running_loop().time
    check_at = clock() + CHECK_SECONDS
    yield ServerSentEvent(retry=random.randint(*RETRY_MS), sep="\n").encode()  # noqa: S311 - spreads clients
    try:
        while view is not None and not position.done:
            if clock() >= check_at:
                if await web(request).identity.user(request) != user:
                    return
                check_at = clock() + CHECK_SECONDS
            events, position = view.events(position)
            if events:
                yield events
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(check_at):
                    view = await feed.newer(view)
    except NotFound:
        yield encoded(DELETED, position)
    except (Stopping, Problem, ExpectedError):
        return
