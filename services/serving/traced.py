"""Each request runs under a trace id: the one it brings, or a new one."""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from libs import trace


class Traced:
    """Binds the id, so that every log line of the request and every task that follows from it carry it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer through the app, under the id."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with trace.tracing(trace.given(Headers(scope=scope)) or trace.new()):
            await self._app(scope, receive, send)
