"""What a batching engine does with pages: several at once, whoever's they are, each given back as it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from services.worker.engines.engine import PageFailure, PageImage, PageText

Reading = PageText | PageFailure
# What a slot tells the call that it works for: a page's reading, that the engine broke, or that no page is left.
Told = asyncio.Queue[Reading | Exception | None]


class Batching:
    """Takes a page when one of its `slots` is free. Where `read` raises, it has broken for all that are reading."""

    def __init__(self, slots: int, read: Callable[[PageImage], Awaitable[Reading]]) -> None:
        self._slots = slots
        self._read = read
        self._free = asyncio.Semaphore(slots)
        self._calls: dict[Told, None] = {}

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[Reading]:
        """As `OcrEngine` says."""
        told: Told = asyncio.Queue()
        self._calls[told] = None
        taking = asyncio.Lock()
        slots = [asyncio.create_task(self._work(pages, taking, told)) for _ in range(self._slots)]
        working = len(slots)
        try:
            while working:
                said = await told.get()
                if said is None:
                    working -= 1
                elif isinstance(said, Exception):
                    raise said
                else:
                    yield said
        finally:
            self._calls.pop(told)
            for slot in slots:
                slot.cancel()
            await asyncio.gather(*slots, return_exceptions=True)

    async def _work(self, pages: AsyncIterator[PageImage], taking: asyncio.Lock, told: Told) -> None:
        while True:
            async with contextlib.AsyncExitStack() as slot:
                async with taking:
                    await slot.enter_async_context(self._free)
                    try:
                        page = await anext(pages, None)
                    except Exception as error:
                        told.put_nowait(error)
                        return
                if page is None:
                    told.put_nowait(None)
                    return
                try:
                    reading = await self._read(page)
                except Exception as error:
                    for call in self._calls:
                        call.put_nowait(error)
                    return
            told.put_nowait(reading)
