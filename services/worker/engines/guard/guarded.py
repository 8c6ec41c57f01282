"""A generative model as an engine: as many pages at once as it has slots for, and no text that cannot be believed.

What is tried on a page, and when it is given up, is `attempts` and `trial`; here is only how pages flow.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from services.worker.engines.engine import EngineInfo, Fallback, PageFailure, PageImage, PageText
from services.worker.engines.guard.attempt_loop import Trial
from services.worker.engines.guard.crosscheck import TrustCheck, Witness
from services.worker.engines.guard.permits import Seat, Seats
from services.worker.engines.settings import EngineSettings
from services.worker.engines.transcriber import Transcriber

Results = asyncio.Queue[PageText | PageFailure | None]
"""Pages as they end; then None, once."""


class GuardedEngine:
    """An `OcrEngine` around a `Transcriber`. Calls of `recognise` share its slots, first come, first served."""

    def __init__(self, transcriber: Transcriber, settings: EngineSettings, fallback: Fallback | None = None) -> None:
        self._transcriber = transcriber
        self._settings = settings
        self._fallback = fallback

    async def load(self) -> None:
        """Loads the model. Raises `EngineUnavailable`."""
        await self._transcriber.load()
        slots = self.slots
        # Some pages lie decoded beside those in the model's hands, so that a slot that falls free stays so for no time.
        self._seats = Seats(slots + 1 + slots // 8)
        # The model has other pages to read while the fallback has these; yet they must not pile up.
        spare = Seats(slots)
        self._trial = Trial(
            self._transcriber,
            self._fallback,
            Witness(TrustCheck(self._settings.trust_check), self._fallback, spare=spare),
            max_tokens=self._settings.model_max_tokens,
            slots=Seats(slots),
            spare=spare,
        )

    def info(self) -> EngineInfo:
        """What the transcriber says of itself."""
        return self._transcriber.info()

    @property
    def slots(self) -> int:
        """As many as the transcriber's: how many pages keep it busy."""
        return max(1, self._transcriber.slots)

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """Reads the pages in any order, many at once. Left early, it drops those in hand."""
        results: Results = asyncio.Queue()
        reading = asyncio.create_task(self._read_all(pages, results))
        try:
            while (result := await results.get()) is not None:
                yield result
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _read_all(self, pages: AsyncIterator[PageImage], results: Results) -> None:
        """Put every page's result. Raises the first fault, of the model or of the pages, once all tasks have ended."""
        try:
            async with asyncio.TaskGroup() as group:
                while (seated := await self._next(pages)) is not None:
                    page, seat = seated
                    task = group.create_task(self._read(page, seat, results))
                    # A task that is cancelled before it has begun could not leave by itself.
                    task.add_done_callback(partial(_leave, seat))
        except BaseExceptionGroup as faults:
            raise _first(faults) from None
        finally:
            results.put_nowait(None)

    async def _next(self, pages: AsyncIterator[PageImage]) -> tuple[PageImage, Seat] | None:
        """The next page and a seat for it; it is only asked for when there is one."""
        seat = await self._seats.take()
        page = None
        try:
            page = await anext(pages, None)
        finally:
            if page is None:
                seat.leave()
        return None if page is None else (page, seat)

    async def _read(self, page: PageImage, seat: Seat, results: Results) -> None:
        results.put_nowait(await self._trial.read(page, seat))


def _leave(seat: Seat, _: "asyncio.Task[None]") -> None:
    seat.leave()


def _first(faults: BaseExceptionGroup[BaseException]) -> BaseException:
    """One of them, bare: whoever reads tells a fault of the storage from one of the engine by its type."""
    fault: BaseException = faults
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault
