"""The scheduling of a batching engine for tests: several pages at once, of any call, each returned as it ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from services.worker.engines.engine import PageFailure, PageImage, PageText

Reading = PageText | PageFailure
#: From the slots to the call whose pages they read: a reading, an engine's exception, or None for a slot that ends.
Readings = asyncio.Queue[Reading | Exception | None]


class Batching:
    """Takes a page when one of its `slots` is free. Where `read` raises, it raises in all calls that are reading."""

    def __init__(self, slots: int, read: Callable[[PageImage], Awaitable[Reading]]) -> None:
        self._slots = slots
        self._read = read
        self._free = asyncio.Semaphore(slots)
        self._calls: dict[Readings, None] = {}

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[Reading]:
        """See `OcrEngine`."""
        readings: Readings = asyncio.Queue()
        self._calls[readings] = None
        taking = asyncio.Lock()
        slots = [asyncio.create_task(self._work(pages, taking, readings)) for _ in range(self._slots)]
        working = len(slots)
        try:
            while working:
                reading = await readings.get()
                if reading is None:
                    working -= 1
                elif isinstance(reading, Exception):
                    raise reading
                else:
                    yield reading
        finally:
            self._calls.pop(readings)
            for slot in slots:
                slot.cancel()
            await asyncio.gather(*slots, return_exceptions=True)

    async def _work(self, pages: AsyncIterator[PageImage], taking: asyncio.Lock, readings: Readings) -> None:
        while True:
            async with contextlib.AsyncExitStack() as slot:
                async with taking:
                    await slot.enter_async_context(self._free)
                    try:
                        page = await anext(pages, None)
                    except Exception as error:
                        readings.put_nowait(error)
                        return
                if page is None:
                    readings.put_nowait(None)
                    return
                try:
                    reading = await self._read(page)
                except Exception as error:
                    for call in self._calls:
                        call.put_nowait(error)
                    return
            readings.put_nowait(reading)
