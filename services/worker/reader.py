"""Reading one claimed batch: pages to the engine, outcomes to storage, the lease kept alive meanwhile."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime

import msgspec
import structlog

from libs.jobstate.evidence import derive_text, read_all_versioned, save_outcome
from libs.jobstate.lease import HeldLease, LeaseLost
from libs.jobstate.outcome import BriefOutcome, OutcomeStatus, PageOutcome
from libs.jobstate.recorder import Recorder
from libs.jobstate.timeslice import TimeSlice
from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed, StorageError
from libs.storage.session import SessionFiles
from services.worker.answer import REMEDY, outcome_of
from services.worker.engines.engine import (
    EngineLost,
    EngineUnavailable,
    Fallback,
    PageFailure,
    PageImage,
    PageText,
)
from services.worker.engines.occupancy import Reservation
from services.worker.metrics import WorkerMetrics
from services.worker.quarantine import Quarantine

log = structlog.get_logger()

# A page that breaks the engine down this often, alone in hand, goes to the fallback so that the rest can go on.
DEATHS_ALLOWED = 3
GIVEN_UP = f"The engine broke down {DEATHS_ALLOWED} times on this page."
# After SIGTERM a page may take this long to end; Cloud Run kills at 10 s.
DRAIN_SECONDS = 6.0
TICK_SECONDS = 0.5


class EngineBroke(Exception):
    """The engine failed as a whole: the call is to be delivered again."""


class EngineHangs(Exception):
    """No page ended for too long, or none ever will. A thread cannot be stopped, so the process has to end."""


class BatchReader:
    """Reads the pages of one lease that have no outcome yet. Used once."""

    def __init__(
        self,
        files: SessionFiles,
        lease: HeldLease,
        recorder: Recorder,
        engine: Reservation,
        fallback: Fallback | None,
        *,
        page_seconds: float,
        draining: asyncio.Event,
        quarantine: Quarantine,
        metrics: WorkerMetrics,
        time_slice: TimeSlice,
        yields: bool,
    ) -> None:
        self._files = files
        self._lease = lease
        self._recorder = recorder
        self._engine = engine
        self._fallback = fallback
        self._page_seconds = page_seconds
        self._draining = draining
        self._quarantine = quarantine
        self._metrics = metrics
        self._time_slice = time_slice
        self._yields = yields
        self._outcomes: dict[int, BriefOutcome] = {}
        self._in_hand: dict[int, datetime] = {}
        self._falling_back = False
        # The loop's clock, so that a test can let hours pass at once.
        self._clock = asyncio.get_running_loop().time
        self._last_end = self._clock()

    async def read(self) -> int:
        """Read, then finish the lease, or give it back when pages are left. How many pages were read here.

        Raises `LeaseLost`, `EngineBroke`, `EngineHangs`, `EngineUnavailable`, `StorageError`.
        """
        waiting = await self._waiting()
        self._engine.pending = len(waiting)
        inherited = len(self._outcomes)
        reading = asyncio.create_task(self._read_pages(waiting))
        try:
            await self._tend(reading)
        except (EngineBroke, EngineHangs) as fault:
            if isinstance(fault, EngineHangs):
                self._draining.set()  # the process ends now: nobody may begin a page that its death would be blamed on
            guilty = self._guilty()
            log.error("engine_broke", job_id=self._files.session_id, page_no=guilty)
            # Whatever becomes of the lease, a process whose engine hangs has to end.
            with contextlib.suppress(LeaseLost, StorageError):
                await self._lease.break_off(guilty)
            raise
        except (StorageError, EngineUnavailable):
            await self._lease.release()
            raise
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if len(self._outcomes) == len(self._lease.lease.pages):
            await self._lease.finish(self._outcomes)
        else:
            await self._lease.release()
        return len(self._outcomes) - inherited

    @property
    def job_id(self) -> str:
        """Whose pages these are."""
        return self._files.session_id

    def close(self) -> None:
        """End the batch's reservation in the engine, however its reading ended."""
        self._engine.close()

    def _guilty(self) -> int | None:
        """The page on which the engine broke down, where no other can have been the reason."""
        alone = next(iter(self._in_hand)) if len(self._in_hand) == 1 else None
        return alone if alone is not None and self._engine.was_alone(alone) else None

    async def _tend(self, reading: "asyncio.Task[None]") -> None:
        """Renew the lease while pages end; see a hanging engine and a process that has to stop."""
        renewed = self._clock()
        drain_until: float | None = None
        while not (await asyncio.wait({reading}, timeout=TICK_SECONDS))[0]:
            now = self._clock()
            if self._draining.is_set():
                drain_until = drain_until or now + DRAIN_SECONDS
                if now > drain_until:
                    return
            # The fallback has its own time limit, and can be stopped without the process.
            if self._falling_back and self._unwanted():
                return
            # A page that waits for others to leave the engine is not late.
            if min(self._engine.longest_seconds, now - self._last_end) > self._page_seconds:
                raise EngineHangs
            if now - renewed > self._lease.lease.seconds / 4:
                await self._lease.renew(self._in_hand)
                renewed = now
                if self._falling_back:
                    await self._recorder.refresh()  # no page ends meanwhile that would tell of a cancellation
        await reading

    async def _waiting(self) -> dict[int, int]:
        """The pages to read, with the generation that each outcome has to be written over."""
        waiting: dict[int, int] = {}
        standings = await read_all_versioned(self._files, self._lease.lease.pages)
        for page_no, (outcome, generation) in standings.items():
            job, run = self._recorder.job, self._lease.lease.run
            if job.run > run or (outcome is not None and outcome.run > run):
                # A retry began meanwhile, or the record was made anew: the pages are the next run's to read.
                raise LeaseLost(self._lease.lease.name)
            if outcome is None or outcome.run < job.pages[page_no].run or outcome.status is OutcomeStatus.PENDING:
                waiting[page_no] = generation
                continue
            # Its reader may have died between the evidence and the text derived from it.
            await derive_text(self._files, outcome)
            self._settled(outcome)
        return waiting

    async def _read_pages(self, waiting: dict[int, int]) -> None:
        deaths = self._lease.lease.deaths
        poison = {n: waiting.pop(n) for n in list(waiting) if deaths.get(n, 0) >= DEATHS_ALLOWED}
        await self._read_good(waiting)
        for page_no, generation in poison.items():
            # Two deaths more with the page named in hand: one may have come from outside, both hardly.
            await self._fall_back(page_no, generation, tried=deaths[page_no] > DEATHS_ALLOWED + 1)

    async def _read_good(self, waiting: dict[int, int]) -> None:
        if not self._lease.lease.suspicious:
            async with self._quarantine.together():
                await self._recognise(waiting)
            return
        for page_no, generation in waiting.items():
            async with self._quarantine.alone():
                if await self._is_over():
                    return
                await self._lease.renew(in_hand=[page_no])
                await self._recognise({page_no: generation})

    async def _fall_back(self, page_no: int, generation: int, *, tried: bool) -> None:
        """Give the page to the fallback engine, once; or give it up."""
        if self._fallback is None or tried:
            ended = "" if self._fallback is None else " The worker ended while the fallback engine read it."
            failure = PageFailure(page_no=page_no, reason=f"{GIVEN_UP}{ended} {REMEDY}", seconds=0.0)
            await self._save(failure, generation)
            return
        async with self._quarantine.alone():
            if await self._is_over():  # whoever was alone before may have found that the process has to end
                return
            await self._lease.renew(in_hand=[page_no])
            self._falling_back = True
            try:
                async for image in self._images({page_no: generation}):
                    reading = await self._fallback.recognise(image, instead_of=self._engine.info().name)
                    if isinstance(reading, PageFailure):
                        reason = f"{GIVEN_UP} {reading.reason} {REMEDY}"
                        reading = msgspec.structs.replace(reading, reason=reason)
                    await self._save(msgspec.structs.replace(reading, fallback=GIVEN_UP), generation)
            finally:
                self._falling_back = False

    async def _recognise(self, waiting: dict[int, int]) -> None:
        saving: asyncio.Task[None] | None = None
        try:
            async with contextlib.aclosing(self._engine.recognise(self._images(waiting))) as readings:
                async for reading in readings:
                    if saving is not None:
                        await saving
                    # The engine reads on meanwhile: waiting for the disk here would keep it idle between pages.
                    saving = asyncio.create_task(self._save(reading, waiting[reading.page_no]))
            if saving is not None:
                await saving
        except (LeaseLost, StorageError, EngineUnavailable):
            raise
        except EngineLost as error:
            log.exception("engine_lost", job_id=self._files.session_id)
            raise EngineHangs from error
        except Exception as error:
            log.exception("engine_failed", job_id=self._files.session_id)
            raise EngineBroke(type(error).__name__) from error
        finally:
            if saving is not None:
                await asyncio.gather(saving, return_exceptions=True)

    async def _images(self, waiting: dict[int, int]) -> AsyncIterator[PageImage]:
        """The page images, fetched when the engine has room for one more."""
        for page_no, generation in waiting.items():
            if await self._is_over():
                return
            self._time_slice.pages += 1
            try:
                stored = await self._files.store.read(self._files.path(layout.page_image_name(page_no)))
            except NotFound:
                await self._recorder.flush()  # tells a deleted job, which ends all, from one lost image
                reason = "The image of this page is missing. Upload the document again."
                await self._save(PageFailure(page_no=page_no, reason=reason, seconds=0.0), generation)
                continue
            if not self._in_hand:
                self._last_end = self._clock()
            self._in_hand[page_no] = await self._files.store.now()
            yield PageImage(page_no=page_no, data=stored.data, alive=self._alive)

    def _alive(self) -> None:
        """The engine has got on with a page that has not ended yet."""
        self._last_end = self._clock()

    async def _is_over(self) -> bool:
        """Whether the rest of the batch is not wanted, or left to a later call so that others have their turn."""
        # A turn gets as much done as the engine can at once, and that is at least one page.
        filled = self._time_slice.pages >= self._engine.slots
        return self._unwanted() or (self._yields and filled and await self._time_slice.has_newcomer())

    def _unwanted(self) -> bool:
        return self._recorder.stopped or self._draining.is_set()

    async def _save(self, reading: PageText | PageFailure, generation: int) -> None:
        """Outcome first, record second."""
        outcome = await self._outcome(reading)
        try:
            outcome = await save_outcome(self._files, outcome, generation)
        except PreconditionFailed as error:
            raise LeaseLost(self._lease.lease.name) from error
        self._in_hand.pop(reading.page_no, None)
        self._last_end = self._clock()
        self._settled(outcome)
        self._metrics.page(outcome)
        log.info(
            "page_failed" if outcome.error else "page_completed",
            job_id=self._files.session_id,
            page_no=outcome.page_no,
            seconds=outcome.seconds,
        )

    def _settled(self, outcome: PageOutcome) -> None:
        self._outcomes[outcome.page_no] = outcome.brief()
        self._recorder.note_outcome(outcome.page_no, outcome.brief())

    async def _outcome(self, reading: PageText | PageFailure) -> PageOutcome:
        """The reading as it will stand."""
        return outcome_of(
            reading,
            self._engine.info(),
            self._lease.lease,
            job_id=self._files.session_id,
            started_at=self._in_hand.get(reading.page_no),
            completed_at=await self._files.store.now(),
        )
