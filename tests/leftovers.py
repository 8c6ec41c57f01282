"""What a test leaves behind in the process that runs it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psutil

from tests.running import port_locks
from tests.waiting import until


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """What runs within it may leave no child, not even a zombie, and no descriptor.

    Those of a child's pipes close a moment after its end, when the event loop comes to it.
    """
    await asyncio.to_thread(int)  # the thread pool's own descriptors
    port_locks()  # a file that stays open from the first start of a service on
    process = psutil.Process()
    descriptors = process.num_fds()
    yield
    assert process.children(recursive=True) == []
    await until(lambda: process.num_fds() <= descriptors)
