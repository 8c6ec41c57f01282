"""Serving an app with Hypercorn over HTTP/1.1 and h2c, with a graceful stop on SIGTERM and SIGINT.

What keeps one client from the others' way, and who does it:

| | |
|---|---|
| a head that arrives slowly, a connection without a request | Hypercorn, after `CONNECTION_IDLE_SECONDS` |
| the same over HTTP/2; answers before the end of a request | `http2`, `exchange` |
| the size of a head, HTTP/2's frames, streams and headers | Hypercorn's defaults: 16 kB, 16 kB, 100, 64 kB |
| a body that arrives slowly | `body`, which the routes read bodies by |
| an answer that its client does not take | `listener`; over HTTP/2 where the whole connection stands still |
| more connections than descriptors, errors of `accept` | `listener` |
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import hypercorn.protocol
from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.utils import LifespanFailureError
from starlette.types import ASGIApp

from services.serving.connections import Connections, most_connections
from services.serving.exchange import Exchanges
from services.serving.http2 import Http2
from services.serving.listener import LimitedLoop, SeldomLog
from services.serving.settings import ServiceSettings

#: Seconds that requests in flight have after a stop signal: Cloud Run kills 10 s after SIGTERM.
GRACE_SECONDS = 9.0
#: Connections that wait in the kernel until they are accepted, at most. Chosen: a burst of them is not turned away to
#: try again a second later.
BACKLOG = 1024
#: Threads for calls that block, mostly on the disk. Chosen: the most that Python takes itself. On two cores it takes 6,
#: and a probe waits while as many uploads flush their files.
THREADS = 32
#: Seconds between log lines about connections that failed in Hypercorn. Chosen: hostile bytes can make each fail.
FAILED_LOG_SECONDS = 1.0


def run(app: ASGIApp, *, host: str, port: int, settings: ServiceSettings, on_stop: Callable[[], None]) -> int:
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
    connections = Connections(most_connections(settings.max_connections))
    try:
        with asyncio.Runner(loop_factory=lambda: LimitedLoop(connections)) as runner:
            runner.run(_serve(app, listener, settings.connection_idle_seconds, on_stop))
    except LifespanFailureError as error:
        print(f"gnosis-ocr: cannot start: {error}. Check STORAGE_PATH and its permissions.", file=sys.stderr)
        return 2
    return 0


async def _serve(app: ASGIApp, listener: socket.socket, idle_seconds: float, on_stop: Callable[[], None]) -> None:
    stop = asyncio.Event()

    def begin_stop() -> None:
        on_stop()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, begin_stop)
    loop.set_default_executor(ThreadPoolExecutor(THREADS))
    loop.set_exception_handler(_log_failures())

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.backlog = BACKLOG
    config.keep_alive_timeout = idle_seconds
    config.graceful_timeout = GRACE_SECONDS
    config.errorlog = None
    config.include_server_header = False

    hypercorn.protocol.H2Protocol = Http2  # type: ignore[attr-defined]

    async def stopped() -> None:
        await stop.wait()

    await serve(Exchanges(app), config, shutdown_trigger=stopped)  # type: ignore[arg-type]


def _log_failures() -> Callable[[asyncio.AbstractEventLoop, dict[str, Any]], None]:
    """A handler of what no task catches. A failed connection gets no traceback: its client may repeat it at will."""
    failed = SeldomLog("connection_failed", FAILED_LOG_SECONDS)

    def log_failure(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if "transport" in context:
            failed.warn(error=type(context.get("exception")).__name__)
        else:
            loop.default_exception_handler(context)

    return log_failure
