"""The outcomes of a batch's pages: built from what the engine returned, saved, recorded, counted."""

from datetime import datetime

import msgspec
import structlog

from libs.jobstate.evidence import save_outcome
from libs.jobstate.lease import Lease
from libs.jobstate.outcome import BriefOutcome, OutcomeStatus, PageOutcome, TornOutcome
from services.worker.call import Call
from services.worker.engines.engine import Finish, PageFailure, PageText

log = structlog.get_logger()

REMEDY = "Retry the page with another engine, or at a lower resolution."
NO_SENSE = "The engine gave an answer that makes no sense."


class OutcomeWriter:
    """Writes the outcomes of one batch. Each is saved first and recorded second: the outcome is the evidence."""

    def __init__(self, call: Call, lease: Lease) -> None:
        self._call = call
        self._lease = lease
        #: The one that reads now.
        self.engine = call.engine
        #: The outcomes of the batch's pages so far, those of earlier holders of its lease included.
        self.outcomes: dict[int, BriefOutcome] = {}

    async def save(
        self, reading: PageText | PageFailure, generation: int, started_at: datetime | None, *, dpi: int | None = None
    ) -> None:
        """Save what the engine returned for a page, over `generation` of its outcome object.

        `started_at` is when the engine got the page; `None` where it never did. `dpi` is that of the page image, where
        a retry asked for another than the job's. Raises `PreconditionFailed` when a later run has begun, and
        `StorageError`.
        """
        unread = await self._unread(reading, started_at, dpi)
        try:
            own = _with_reading(unread, reading)
            outcome = await save_outcome(self._call.files, own, generation)
        except TornOutcome:
            # The engine returned values of wrong types. Nothing was saved, and the page fails.
            log.error("answer_refused", job_id=self._call.files.session_id, page_no=reading.page_no)
            own = msgspec.structs.replace(unread, error=f"{NO_SENSE} {REMEDY}")
            outcome = await save_outcome(self._call.files, own, generation)
        self.record(outcome)
        # Where an earlier reading is kept, this one has failed all the same.
        counted = own if outcome.read_in else outcome
        self._call.worker.metrics.page(counted)
        # Pages share an engine of several slots: each uses its part of the time.
        self._call.seat.charge(counted.seconds / self.engine.slots)
        log.info(
            "page_failed" if counted.error else "page_completed",
            job_id=self._call.files.session_id,
            page_no=counted.page_no,
            seconds=counted.seconds,
        )

    def record(self, outcome: PageOutcome) -> None:
        """Note a saved outcome for the lease and for the job's record."""
        brief = outcome.brief()
        self.outcomes[outcome.page_no] = brief
        self._call.recorder.note_outcome(outcome.page_no, brief)

    async def _unread(
        self, reading: PageText | PageFailure, started_at: datetime | None, dpi: int | None
    ) -> PageOutcome:
        """The outcome without what was read."""
        info = (reading.engine if isinstance(reading, PageText) else None) or self.engine.info()
        return PageOutcome(
            page_no=reading.page_no,
            run=self._lease.run,
            status=OutcomeStatus.FAILED,
            engine=info.name,
            revision=info.revision,
            device=info.device,
            attempts=self._lease.attempt,
            fallback=reading.fallback,
            started_at=started_at,
            completed_at=await self._call.files.store.now(),
            dpi=dpi,
        )


def _with_reading(unread: PageOutcome, reading: PageText | PageFailure) -> PageOutcome:
    """The outcome with what was read. Raises `TornOutcome` where the engine's seconds are no number."""
    try:
        seconds = round(reading.seconds, 3)
    except TypeError as error:
        raise TornOutcome(str(error)) from error
    outcome = msgspec.structs.replace(unread, seconds=seconds, tries=reading.tries, tokens=reading.tokens)
    if isinstance(reading, PageFailure):
        return msgspec.structs.replace(outcome, error=reading.reason or NO_SENSE)
    return msgspec.structs.replace(
        outcome,
        status=OutcomeStatus.COMPLETED,
        text=reading.markdown,
        blank=reading.finish is Finish.BLANK,
        finish=reading.finish,
        rotation=reading.rotation,
        skew=reading.skew,
        blocks=reading.blocks,
        source=reading.source,
        width=reading.width,
        height=reading.height,
        assessment=reading.trust,
        text_layer=reading.text_layer,
    )
