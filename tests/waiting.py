"""Waiting for what a test means, however long the machine takes for it."""

import asyncio
from collections.abc import Callable

PATIENCE_SECONDS = 60.0


async def until(holds: Callable[[], object]) -> None:
    """Let other tasks, threads and processes go on until `holds()` is true. Raises `TimeoutError`."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 (it waits for sockets, threads and processes, which set no event here)
            await asyncio.sleep(0.002)
