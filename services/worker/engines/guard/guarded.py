"""A generative model as an engine: as many pages at a time as the model has slots, and only text that is sound.

`attempts` and `attempt_loop` decide what is tried on one page; this module moves pages through.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from services.worker.engines.engine import EngineInfo, Fallback, PageFailure, PageImage, PageText
from services.worker.engines.guard.attempt_loop import AttemptLoop
from services.worker.engines.guard.crosscheck import CrossCheck, TrustCheck
from services.worker.engines.guard.fallback_queue import FallbackQueue
from services.worker.engines.guard.permits import Permit, Permits
from services.worker.engines.results import Results, as_they_end
from services.worker.engines.settings import EngineSettings
from services.worker.engines.transcriber import Transcriber


class GuardedEngine:
    """An `OcrEngine` around a `Transcriber`. All calls of `recognise` share its slots in the order of their pages."""

    def __init__(self, transcriber: Transcriber, settings: EngineSettings, fallback: Fallback | None = None) -> None:
        self._transcriber = transcriber
        self._settings = settings
        self._fallback = fallback

    async def load(self) -> None:
        """Load the model. Raises `EngineUnavailable`."""
        await self._transcriber.load()
        slots = self.slots
        # Some decoded pages wait in memory beside those in the model, so that a free slot gets its next page at once.
        # An eighth of the slots, chosen: more pages than end at once, few enough for memory (some 10 MB each).
        self._page_permits = Permits(slots + 1 + slots // 8)
        fallback = None if self._fallback is None else FallbackQueue(self._fallback, capacity=slots)
        self._attempts = AttemptLoop(
            self._transcriber,
            fallback,
            CrossCheck(TrustCheck(self._settings.trust_check), fallback),
            max_tokens=self._settings.model_max_tokens,
            model_permits=Permits(slots),
        )

    def info(self) -> EngineInfo:
        """The transcriber's."""
        return self._transcriber.info()

    @property
    def slots(self) -> int:
        """Pages at a time that keep the transcriber busy."""
        return max(1, self._transcriber.slots)

    def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """Reads many pages at a time and yields them as they end. Closing the iterator early drops those in hand."""
        return as_they_end(partial(self._read_all, pages))

    async def _read_all(self, pages: AsyncIterator[PageImage], results: Results) -> None:
        """Put every page's result. Raises the first fault, of the model or of the pages, once all tasks have ended."""
        try:
            async with asyncio.TaskGroup() as group:
                while (admitted := await self._next(pages)) is not None:
                    page, permit = admitted
                    task = group.create_task(self._read(page, permit, results))
                    # Not in `_read`: a task that is cancelled before its first step runs no `finally`.
                    task.add_done_callback(partial(_release, permit))
        except BaseExceptionGroup as faults:
            raise _first(faults) from None

    async def _next(self, pages: AsyncIterator[PageImage]) -> tuple[PageImage, Permit] | None:
        """The next page and its permit. The permit comes first: a page that must wait is not even downloaded."""
        permit = await self._page_permits.acquire()
        page = None
        try:
            page = await anext(pages, None)
        finally:
            if page is None:
                permit.release()
        return None if page is None else (page, permit)

    async def _read(self, page: PageImage, permit: Permit, results: Results) -> None:
        results.put_nowait(await self._attempts.read(page, permit))


def _release(permit: Permit, _: "asyncio.Task[None]") -> None:
    permit.release()


def _first(faults: BaseExceptionGroup[BaseException]) -> BaseException:
    """One of the faults without its group: callers tell storage faults from engine faults by the exception's type."""
    fault: BaseException = faults
    while isinstance(fault, BaseExceptionGroup):
        fault = fault.exceptions[0]
    return fault
