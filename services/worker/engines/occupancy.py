"""One engine, shared by all calls of the process: how full it is, and how long each page has been read."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from itertools import islice

from services.worker.engines.engine import EngineInfo, OcrEngine, PageFailure, PageImage, PageText

# Pages are claimed for one slot more in every `AHEAD`, so that the engine does not wait while a claim is written.
# Chosen: fewer leave slots idle between batches, more hold pages that another worker could read.
AHEAD = 8


class Occupant:
    """A page in the engine."""

    def __init__(self, *, alone: bool) -> None:
        #: When the page got its slot, in seconds of the loop's clock; `None` while it waits for one.
        self.since: float | None = None
        #: Whether no other page was in the engine at any time of its stay.
        self.alone = alone


class SharedEngine:
    """An engine, the pages in it and the pages reserved for it.

    Pages get the slots in the order in which they come. An engine may take more pages than it has slots, to have the
    next at hand: those wait.
    """

    def __init__(self, engine: OcrEngine) -> None:
        self.engine = engine
        #: How many pages at once keep the engine busy.
        self.slots = slots_of(engine)
        self._clock = asyncio.get_running_loop().time
        # Dicts without values: sets that keep the order of arrival.
        self._occupants: dict[Occupant, None] = {}
        self._reservations: dict[Reservation, None] = {}
        self._changed = asyncio.Event()

    def info(self) -> EngineInfo:
        """The engine's name, revision and device."""
        return self.engine.info()

    @property
    def has_room(self) -> bool:
        """Whether the pages in the engine and those reserved are too few to keep it busy."""
        pending = sum(reservation.pending for reservation in self._reservations)
        return len(self._occupants) + pending < self.slots + self.slots // AHEAD

    def reserve(self, pages: int) -> "Reservation":
        """Announce a batch of `pages` pages, so that other calls do not claim pages for the same slots."""
        reservation = Reservation(self, pages)
        self._reservations[reservation] = None
        return reservation

    async def changed(self) -> bool:
        """Return at the next change: a page enters or leaves, or a reservation ends. Whether there is room then."""
        await self._changed.wait()
        return self.has_room

    def enter(self) -> Occupant:
        """Add a page."""
        occupant = Occupant(alone=not self._occupants)
        for other in self._occupants:
            other.alone = False
        self._occupants[occupant] = None
        self._update()
        return occupant

    def leave(self, occupant: Occupant) -> None:
        """Remove a page; the one that has waited longest gets its slot."""
        if occupant in self._occupants:
            del self._occupants[occupant]
            self._update()

    def release(self, reservation: "Reservation") -> None:
        """End a reservation: no further page of its batch comes."""
        self._reservations.pop(reservation, None)
        self._update()

    def _update(self) -> None:
        for occupant in islice(self._occupants, self.slots):
            if occupant.since is None:
                occupant.since = self._clock()
        self._changed.set()
        self._changed = asyncio.Event()


def slots_of(engine: OcrEngine) -> int:
    """How many pages at once keep the engine busy: its `slots`, or 1 where it has no such attribute."""
    return getattr(engine, "slots", 1)


class Reservation:
    """The share of one batch in the engine."""

    def __init__(self, shared: SharedEngine, pending: int) -> None:
        self._shared = shared
        self._clock = asyncio.get_running_loop().time
        self._occupants: dict[int, Occupant] = {}
        #: How many pages of the batch have still to enter the engine.
        self.pending = pending

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncGenerator[PageText | PageFailure, None]:
        """Read the pages as `OcrEngine.recognise` does, and count them as occupants meanwhile."""
        readings = self._shared.engine.recognise(self._entering(pages))
        try:
            async for reading in readings:
                if occupant := self._occupants.pop(reading.page_no, None):
                    self._shared.leave(occupant)
                yield reading
        finally:
            for occupant in self._occupants.values():
                self._shared.leave(occupant)
            if isinstance(readings, AsyncGenerator):
                await readings.aclose()

    async def _entering(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageImage]:
        async for page in pages:
            self.pending -= 1
            self._occupants[page.page_no] = self._shared.enter()
            yield page

    @property
    def longest_seconds(self) -> float:
        """For how many seconds the page has been read that has had its slot for longest; 0 where none has a slot."""
        since = [occupant.since for occupant in self._occupants.values() if occupant.since is not None]
        return self._clock() - min(since) if since else 0.0

    def was_alone(self, page_no: int) -> bool:
        """Whether no other page was in the engine at any time of this page's stay; known after a breakdown, too."""
        occupant = self._occupants.get(page_no)
        return occupant is not None and occupant.alone

    def close(self) -> None:
        """No further page of this batch comes."""
        self._shared.release(self)
