"""A request and its answer at the edge: what becomes of a body that the app has not read when it answers.

A refusal does not wait for the body that it refuses. The answer goes out at once; then what the client still sends is
dropped for a moment, and the connection (HTTP/1.1) or the stream (HTTP/2) is closed. Without that moment the kernel
would answer what arrives with a reset, and a client that reads only once it has sent everything would lose the answer.

Hypercorn closes an HTTP/1.1 connection after an early answer too, but at once and without saying so, and waits for ever
where ten pieces of the body are queued. `http2` has what HTTP/2 needs.
"""

import asyncio
from contextlib import nullcontext, suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.serving.connections import Connection, current

#: What is dropped of a body after an early answer, at most (R71): in bytes, and in seconds.
DRAIN_BYTES, DRAIN_SECONDS = 1_000_000, 5.0


class Exchanges:
    """Middleware around a whole service: each request's answer may come before the end of its body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer through the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = current()
        exchange = _Exchange(scope, receive, send, connection)
        with connection.request() if connection else nullcontext():
            await self._app(scope, exchange.receive, exchange.send)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, connection: Connection | None) -> None:
        # Over HTTP/2 only the stream ends: the connection may carry the requests of many users.
        self._closes = scope["http_version"] != "2"
        self._receive = receive
        self._send = send
        self._connection = connection
        self._is_whole = False  # nothing more of the request comes
        self._is_early = False  # the answer began before
        self._status = 0

    async def receive(self) -> Message:
        with self._connection.awaited() if self._connection and not self._is_whole else nullcontext():
            message = await self._receive()
        self._is_whole |= message["type"] == "http.disconnect" or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "http.response.start":
                await self._begin(message)
            case "http.response.body" if self._is_early and not message.get("more_body", False):
                await self._end_early(message)
            case _:
                await self._send(message)

    async def _begin(self, start: Message) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(0):  # only what has arrived already, mostly the end of a short body
                while not self._is_whole:
                    await self.receive()
        self._is_early, self._status = not self._is_whole, start["status"]
        if self._is_early and self._closes:
            start = {**start, "headers": [*start.get("headers", ()), (b"connection", b"close")]}
        await self._send(start)

    async def _end_early(self, body: Message) -> None:
        await self._send({**body, "more_body": True})  # by its length the client knows that this is all
        if self._status != 408:  # such a client has sent nothing for long
            await self._drain()
        # Hypercorn announces the end of the request in the same queue as the body, which may be full.
        rest = asyncio.create_task(self._discard())
        try:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            rest.cancel()
            await asyncio.gather(rest, return_exceptions=True)

    async def _drain(self) -> None:
        left = DRAIN_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                while left > 0 and not self._is_whole:
                    left -= len((await self.receive()).get("body", b""))

    async def _discard(self) -> None:
        while True:
            await self._receive()
