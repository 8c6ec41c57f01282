"""Fan-out: one call for each of many items, several at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Requests to the storage that one fan-out has under way. Chosen: enough to hide a bucket's latency, and no more than
#: `libs.storage.gcs.THREADS`, beyond which they would only queue.
REQUESTS_AT_ONCE = 32


async def fan_out(
    call: Callable[[Item], Awaitable[Result]], items: Iterable[Item], *, at_once: int = REQUESTS_AT_ONCE
) -> list[Result]:
    """`call(item)` for each item, at most `at_once` of them at a time; the results in the items' order.

    Raises what the first call to fail raises; as with `asyncio.gather`, the other calls go on.
    """
    gate = asyncio.Semaphore(at_once)

    async def gated(item: Item) -> Result:
        async with gate:
            return await call(item)

    return await asyncio.gather(*(gated(item) for item in items))
