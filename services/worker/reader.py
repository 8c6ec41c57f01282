"""Reading one claimed batch: pages to the engine, outcomes to the storage, and what a breakdown means for the pages."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

import msgspec
import structlog

from libs.jobstate.evidence import derive_text, read_all_versioned
from libs.jobstate.intake import OcrMode
from libs.jobstate.lease import HeldLease, LeaseLost
from libs.jobstate.outcome import OutcomeStatus
from libs.storage.errors import NotFound, PreconditionFailed, StorageError
from services.worker.call import Call, EngineBroke, EngineHangs
from services.worker.engines.engine import EngineLost, EngineUnavailable, PageFailure, PageImage, PageText
from services.worker.outcome_writer import REMEDY, OutcomeWriter
from services.worker.watch import BatchWatch

log = structlog.get_logger()

# A page on which the engine broke down this often, with no other page in it, goes to the fallback engine, so that the
# job can go on. Chosen: one breakdown may have come from outside the page, three hardly.
DEATHS_ALLOWED = 3
GIVEN_UP = f"The engine broke down {DEATHS_ALLOWED} times on this page."


class BatchReader:
    """Reads the pages of one lease that have no outcome yet. Used once."""

    def __init__(self, call: Call, lease: HeldLease) -> None:
        self._call = call
        self._files = call.files
        self._lease = lease
        # As the pages are to be read in the lease's run; known once the batch is begun.
        self._job = call.recorder.job
        self._engine_name = call.engine_name
        self._reservation = call.engine.reserve(len(lease.lease.pages))
        self._watch = BatchWatch(call, lease, self._reservation)
        self._writer = OutcomeWriter(call, lease.lease)

    async def read(self) -> int:
        """Read, then finish the lease, or release it when pages are left. Returns how many pages were read here.

        Raises `LeaseLost`, `EngineBroke`, `EngineHangs`, `EngineUnavailable`, `StorageError`.
        """
        waiting = await self._waiting()
        self._reservation.pending = sum(self._engine_of(page_no) == self._engine_name for page_no in waiting)
        inherited = len(self._writer.outcomes)
        reading = asyncio.create_task(self._read_pages(waiting))
        try:
            await self._watch.until_done(reading)
        except (EngineBroke, EngineHangs) as fault:
            if isinstance(fault, EngineHangs):
                # The process ends now: a page begun meanwhile would be blamed for its death.
                self._call.worker.draining.set()
            guilty = self._watch.guilty()
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
        if len(self._writer.outcomes) == len(self._lease.lease.pages):
            await self._lease.finish(self._writer.outcomes)
        else:
            await self._lease.release()
        return len(self._writer.outcomes) - inherited

    def close(self) -> None:
        """End the batch's reservation in the engine, however its reading ended."""
        self._reservation.close()

    async def _waiting(self) -> dict[int, int]:
        """The pages to read, with the generation that each outcome has to be written over."""
        waiting: dict[int, int] = {}
        stored = await read_all_versioned(self._files, self._lease.lease.pages)
        for page_no, (outcome, generation) in stored.items():
            job, run = self._call.recorder.job, self._lease.lease.run
            if job.run > run or (outcome is not None and outcome.due_run > run):
                # A retry has begun, or the record was rebuilt: the pages are the next run's to read.
                raise LeaseLost(self._lease.lease.name)
            self._job = job
            if outcome is None or outcome.run < job.pages[page_no].run or outcome.status is OutcomeStatus.PENDING:
                waiting[page_no] = generation
                continue
            # The worker that read the page may have died between the outcome and the text derived from it.
            await derive_text(self._files, outcome)
            self._writer.record(outcome)
        return waiting

    async def _read_pages(self, waiting: dict[int, int]) -> None:
        deaths = self._lease.lease.deaths
        poison = {n: waiting.pop(n) for n in list(waiting) if deaths.get(n, 0) >= DEATHS_ALLOWED}
        for name in self._engine_names(waiting):
            if name != self._engine_name and await self._call.must_yield():
                break
            await self._switch(name, waiting)
            await self._read_good({n: generation for n, generation in waiting.items() if self._engine_of(n) == name})
        for page_no, generation in poison.items():
            await self._switch(self._engine_of(page_no), [page_no])
            # Two deaths more with the page named in hand: one may have come from outside, both hardly.
            await self._fall_back(page_no, generation, tried=deaths[page_no] > DEATHS_ALLOWED + 1)

    def _engine_of(self, page_no: int) -> str | None:
        return self._job.options_of(page_no).engine

    def _engine_names(self, waiting: Iterable[int]) -> list[str | None]:
        """The engines of these pages, that of the call first: a retry may ask for one of its own."""
        names = dict.fromkeys(self._engine_of(page_no) for page_no in waiting)
        return sorted(names, key=lambda name: name != self._engine_name)

    async def _switch(self, name: str | None, waiting: Iterable[int]) -> None:
        """Let the engine called `name` read from now on. Raises `EngineUnavailable`."""
        if name == self._engine_name:
            return
        engine = await self._call.worker.engines.engine(name)
        self._reservation.close()
        self._engine_name = name
        self._reservation = engine.reserve(sum(self._engine_of(page_no) == name for page_no in waiting))
        self._watch.reservation = self._reservation
        self._writer.engine = engine

    async def _read_good(self, waiting: dict[int, int]) -> None:
        quarantine = self._call.worker.quarantine
        if not self._lease.lease.suspicious:
            async with quarantine.together():
                await self._recognise(waiting)
            return
        for page_no, generation in waiting.items():
            async with quarantine.alone():
                if await self._call.must_yield():
                    return
                await self._lease.renew(in_hand=[page_no])
                await self._recognise({page_no: generation})

    async def _fall_back(self, page_no: int, generation: int, *, tried: bool) -> None:
        """Have the fallback engine read the page, once; fail the page where there is none or it was `tried`."""
        text_only = self._job.options_of(page_no).ocr is OcrMode.TEXT
        fallback = None if text_only else self._call.worker.fallback
        if fallback is None or tried:
            ended = "" if fallback is None else " The worker ended while the fallback engine read it."
            failure = PageFailure(page_no=page_no, reason=f"{GIVEN_UP}{ended} {REMEDY}", seconds=0.0)
            await self._save(failure, generation)
            return
        async with self._call.worker.quarantine.alone():
            if (
                await self._call.must_yield()
            ):  # the page read before this one may have shown that the process has to end
                return
            await self._lease.renew(in_hand=[page_no])
            with self._watch.falling_back():
                async for image in self._images({page_no: generation}):
                    reading = await fallback.recognise(image, instead_of=self._writer.engine.info().name)
                    if isinstance(reading, PageFailure):
                        reason = f"{GIVEN_UP} {reading.reason} {REMEDY}"
                        reading = msgspec.structs.replace(reading, reason=reason)
                    await self._save(msgspec.structs.replace(reading, fallback=GIVEN_UP), generation)

    async def _recognise(self, waiting: dict[int, int]) -> None:
        saving: asyncio.Task[None] | None = None
        try:
            async with contextlib.aclosing(self._reservation.recognise(self._images(waiting))) as readings:
                async for reading in readings:
                    if saving is not None:
                        await saving
                    # In a task, so that the engine reads on: waiting for the storage here would leave it idle.
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
        """The page images, each fetched when the engine has room for it."""
        for page_no, generation in waiting.items():
            if await self._call.must_yield():
                return
            self._call.time_slice.pages += 1
            try:
                stored = await self._files.store.read(
                    self._files.page_image_path(page_no, self._job.pages[page_no].options.dpi)
                )
            except NotFound:
                # Raises `NotFound` where the whole job was deleted, which ends the call; else one image was lost.
                await self._call.recorder.flush()
                reason = "The image of this page is missing. Upload the document again."
                await self._save(PageFailure(page_no=page_no, reason=reason, seconds=0.0), generation)
                continue
            # A process that was suspended past its lease must not begin a page that the next holder has read.
            await self._lease.renew_if_expired()
            self._watch.begin(page_no, await self._files.store.now())
            options = self._job.options_of(page_no)
            yield PageImage(
                page_no=page_no,
                data=stored.data,
                alive=self._watch.alive,
                ocr=options.ocr,
                languages=options.languages,
            )

    async def _save(self, reading: PageText | PageFailure, generation: int) -> None:
        dpi = self._job.pages[reading.page_no].options.dpi
        try:
            await self._writer.save(reading, generation, self._watch.began_at(reading.page_no), dpi=dpi)
        except PreconditionFailed as error:
            raise LeaseLost(self._lease.lease.name) from error
        self._watch.end(reading.page_no)
