"""Results of pages as they end, from tasks to the caller that iterates over them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

from services.worker.engines.engine import PageFailure, PageText

#: Results as they end; then None, once.
Results = asyncio.Queue[PageText | PageFailure | None]


async def as_they_end(work: Callable[[Results], Coroutine[Any, Any, None]]) -> AsyncIterator[PageText | PageFailure]:
    """Yield what `work` puts; then raise its fault, if it has one. Closing the iterator early cancels `work`."""
    results: Results = asyncio.Queue()
    working = asyncio.create_task(_to_the_end(work, results))
    try:
        while (result := await results.get()) is not None:
            yield result
        await working
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)


async def _to_the_end(work: Callable[[Results], Coroutine[Any, Any, None]], results: Results) -> None:
    try:
        await work(results)
    finally:
        results.put_nowait(None)
