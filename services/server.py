"""Serving an app with Hypercorn: HTTP/1.1 and h2c, ending in good order on SIGTERM and SIGINT."""

import asyncio
import signal
from collections.abc import Callable

from hypercorn.asyncio import serve
from hypercorn.config import Config
from starlette.applications import Starlette

# Cloud Run kills 10 s after SIGTERM; requests in flight get what is left once leases are given back.
GRACE_SECONDS = 9.0


async def run(app: Starlette, *, host: str, port: int, on_stop: Callable[[], None]) -> None:
    """Serve until a signal; `on_stop` is called at the signal, before requests in flight are waited for.

    Raises `OSError` when the address is taken.
    """
    stop = asyncio.Event()

    def begin_stop() -> None:
        on_stop()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, begin_stop)

    config = Config()
    config.bind = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}"]
    config.graceful_timeout = GRACE_SECONDS
    config.errorlog = None
    config.include_server_header = False

    async def stopped() -> None:
        await stop.wait()

    await serve(app, config, shutdown_trigger=stopped)  # type: ignore[arg-type]
