"""One engine, shared by all calls of the process: how full it is, and how long each page has been read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from itertools import islice

from services.worker.engines.engine import EngineInfo, OcrEngine, PageFailure, PageImage, PageText

# Of the slots, the part for which pages are claimed ahead: an engine should not wait for a claim to be written.
AHEAD = 8


class Stay:
    """A page in the engine.

    `since` is when it got its slot, by the loop's clock; `alone` says that no other was ever beside it.
    """

    def __init__(self, *, alone: bool) -> None:
        self.since: float | None = None
        self.alone = alone


class SharedEngine:
    """An engine, the pages in it and the batches on their way to it.

    Pages get the slots in the order in which they come. An engine may take more pages than it has slots, to have the
    next at hand: those wait.
    """

    def __init__(self, engine: OcrEngine) -> None:
        self.engine = engine
        self.slots = slots_of(engine)
        self._clock = asyncio.get_running_loop().time
        self._stays: dict[Stay, None] = {}
        self._visits: dict[Visit, None] = {}
        self._stirred = asyncio.Event()

    def info(self) -> EngineInfo:
        """What the engine says of itself."""
        return self.engine.info()

    @property
    def has_room(self) -> bool:
        """Whether the pages in it and on their way do not keep it busy."""
        coming = sum(visit.coming for visit in self._visits)
        return len(self._stays) + coming < self.slots + self.slots // AHEAD

    def visit(self, pages: int) -> "Visit":
        """Announce a batch of so many pages."""
        visit = Visit(self, pages)
        self._visits[visit] = None
        return visit

    async def stirred(self) -> None:
        """Return when a page has come or gone, or a batch has."""
        await self._stirred.wait()

    def enter(self) -> Stay:
        """A page goes in."""
        stay = Stay(alone=not self._stays)
        for other in self._stays:
            other.alone = False
        self._stays[stay] = None
        self._changed()
        return stay

    def leave(self, stay: Stay) -> None:
        """A page is out; the one that waited longest has its slot."""
        if stay in self._stays:
            del self._stays[stay]
            self._changed()

    def forget(self, visit: "Visit") -> None:
        """Nothing more comes of this batch."""
        self._visits.pop(visit, None)
        self._changed()

    def _changed(self) -> None:
        for stay in islice(self._stays, self.slots):
            if stay.since is None:
                stay.since = self._clock()
        self._stirred.set()
        self._stirred = asyncio.Event()


def slots_of(engine: OcrEngine) -> int:
    """How many pages at once keep the engine busy: what it says, or one where it says nothing."""
    return getattr(engine, "slots", 1)


class Visit:
    """One batch at the engine; `coming` of its pages are still to be handed over."""

    def __init__(self, shared: SharedEngine, coming: int) -> None:
        self._shared = shared
        self._clock = asyncio.get_running_loop().time
        self._stays: dict[int, Stay] = {}
        self.coming = coming
        self.slots = shared.slots

    def info(self) -> EngineInfo:
        """What the engine says of itself."""
        return self._shared.info()

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncGenerator[PageText | PageFailure, None]:
        """As the engine does."""
        readings = self._shared.engine.recognise(self._entering(pages))
        try:
            async for reading in readings:
                if stay := self._stays.pop(reading.page_no, None):
                    self._shared.leave(stay)
                yield reading
        finally:
            for stay in self._stays.values():
                self._shared.leave(stay)
            if isinstance(readings, AsyncGenerator):
                await readings.aclose()

    async def _entering(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageImage]:
        async for page in pages:
            self.coming -= 1
            self._stays[page.page_no] = self._shared.enter()
            yield page

    @property
    def longest(self) -> float:
        """For how many seconds the page has been read that has its slot longest."""
        since = [stay.since for stay in self._stays.values() if stay.since is not None]
        return self._clock() - min(since) if since else 0.0

    def was_alone(self, page_no: int) -> bool:
        """Whether the engine had no other page from when this one came; also once it broke on it."""
        stay = self._stays.get(page_no)
        return stay is not None and stay.alone

    def end(self) -> None:
        """Nothing more comes."""
        self._shared.forget(self)
