"""Each request runs under a trace id: the one in its headers, or a new one."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from libs import trace


class Traced:
    """Middleware that binds the id, so that the request's log lines and the tasks it enqueues carry it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer through the app, with the id bound."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with trace.tracing(trace.given(Headers(scope=scope)) or trace.new()):
            await self._app(scope, receive, send)
