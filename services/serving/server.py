"""Serving an app with Hypercorn over HTTP/1.1 and h2c, with a graceful stop on SIGTERM and SIGINT."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable

import hypercorn.protocol
from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.utils import LifespanFailureError
from starlette.types import ASGIApp

from services.serving.exchange import Exchanges
from services.serving.http2 import Http2

#: Seconds that requests in flight have after a stop signal: Cloud Run kills 10 s after SIGTERM.
GRACE_SECONDS = 9.0


def run(app: ASGIApp, *, host: str, port: int, on_stop: Callable[[], None]) -> int:
    """Serve until a stop signal. The exit code: 0, or 2 when the app cannot start, with one line on stderr.

    `on_stop` is called at the signal, before the wait for requests in flight.
    """
    try:
        # Bound before the app starts: Hypercorn would bind after its start, and fail in the middle of it.
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        print(
            f"gnosis-ocr: cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}. Choose another port.",
            file=sys.stderr,
        )
        return 2
    try:
        asyncio.run(_serve(app, listener, on_stop))
    except LifespanFailureError as error:
        print(f"gnosis-ocr: cannot start: {error}. Check STORAGE_PATH and its permissions.", file=sys.stderr)
        return 2
    return 0


async def _serve(app: ASGIApp, listener: socket.socket, on_stop: Callable[[], None]) -> None:
    stop = asyncio.Event()

    def begin_stop() -> None:
        on_stop()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, begin_stop)

    config = Config()
    config.bind = [f"fd://{listener.fileno()}"]
    config.graceful_timeout = GRACE_SECONDS
    config.errorlog = None
    config.include_server_header = False

    hypercorn.protocol.H2Protocol = Http2  # type: ignore[attr-defined]

    async def stopped() -> None:
        await stop.wait()

    await serve(Exchanges(app), config, shutdown_trigger=stopped)  # type: ignore[arg-type]
