"""Between the socket and the service: applies the faults."""

import asyncio
import contextlib
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.emulators.gcs.faults import Fault, Faults
from tests.emulators.gcs.refusal import Refusal, unavailable
from tests.emulators.gcs.service import shorten

# Breaks the connection with this peer; hard, or after what was sent has arrived.
Cut = Callable[[tuple[str, int], bool], None]


class Weather:
    """An ASGI middleware. Break-offs happen to the connection itself: the client sees a reset or an early end."""

    def __init__(self, service: ASGIApp, faults: Faults, cut: Cut) -> None:
        self._service = service
        self._faults = faults
        self._cut = cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        address = scope["raw_path"].decode("ascii") + "?" + scope["query_string"].decode("ascii")
        fault = self._faults.draw(scope["method"], address)
        match fault:
            case Fault.UNAVAILABLE:
                await _refused(unavailable(), scope, receive, send)
            case Fault.BUSY:
                busy = Refusal(429, "rateLimitExceeded", "Please reduce your request rate.", domain="usageLimits")
                await _refused(busy, scope, receive, send)
            case Fault.FORBIDDEN:
                await _refused(Refusal(403, "forbidden", "The caller has no access."), scope, receive, send)
            case Fault.RESET:
                if size := _size(scope["headers"]):
                    with contextlib.suppress(_Broken):
                        await self._service(scope, _half(receive, size // 2), _swallow)
                self._cut(scope["client"], True)
            case Fault.LOST:
                await self._service(scope, receive, _swallow)
                self._cut(scope["client"], True)
            case Fault.DENIED_DONE:
                await self._service(scope, receive, _swallow)
                await unavailable().answer()(scope, receive, send)
            case Fault.CUT:
                with contextlib.suppress(_Broken):
                    await self._service(scope, receive, _half_sent(send))
                self._cut(scope["client"], False)
            case _:
                if fault is Fault.SHORT:
                    shorten(scope)
                if fault is Fault.SLOW:
                    await asyncio.sleep(self._faults.slow_seconds)
                if fault is Fault.HELD:
                    await self._faults.hold()
                await self._service(scope, receive, send)


class _Broken(Exception):
    """The answer breaks off here."""


async def _swallow(message: Message) -> None:
    """Nobody hears the answer."""


async def _refused(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await refusal.answer()(scope, receive, send)


def _half(receive: Receive, size: int) -> Receive:
    left = size

    async def receive_half() -> Message:
        nonlocal left
        if left <= 0:
            return {"type": "http.disconnect"}
        message = await receive()
        body = message.get("body", b"")[:left]
        left -= len(body)
        return {**message, "body": body, "more_body": True} if message["type"] == "http.request" else message

    return receive_half


def _half_sent(send: Send) -> Send:
    left = 0

    async def send_half(message: Message) -> None:
        nonlocal left
        if message["type"] == "http.response.start":
            left = _size(message["headers"]) // 2
            await send(message)
            return
        body = message.get("body", b"")[:left]
        left -= len(body)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        if left <= 0:
            raise _Broken

    return send_half


def _size(headers: list[tuple[bytes, bytes]]) -> int:
    return next((int(value) for name, value in headers if name.lower() == b"content-length"), 0)
