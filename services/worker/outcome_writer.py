"""The outcomes of a batch's pages: built from what the engine returned, saved, recorded, counted."""

from datetime import datetime

import msgspec
import structlog

from libs.jobstate import outcome as outcomes
from libs.jobstate.evidence import save_outcome
from libs.jobstate.lease import Lease
from libs.jobstate.outcome import BriefOutcome, OutcomeStatus, PageOutcome, TornOutcome
from services.worker.call import Call
from services.worker.engines.engine import Finish, PageFailure, PageText

log = structlog.get_logger()

REMEDY = "Retry the page with another engine, or upload it at a lower resolution."
NO_SENSE = "The engine gave an answer that makes no sense."


class OutcomeWriter:
    """Writes the outcomes of one batch. Each is saved first and recorded second: the outcome is the evidence."""

    def __init__(self, call: Call, lease: Lease) -> None:
        self._call = call
        self._lease = lease
        #: The outcomes of the batch's pages so far, those of earlier holders of its lease included.
        self.outcomes: dict[int, BriefOutcome] = {}

    async def save(self, reading: PageText | PageFailure, generation: int, started_at: datetime | None) -> None:
        """Save what the engine returned for a page, over `generation` of its outcome object.

        `started_at` is when the engine got the page; `None` where it never did. Raises `PreconditionFailed` when a
        later run has begun, and `StorageError`.
        """
        outcome = await self._built(reading, started_at)
        outcome = await save_outcome(self._call.files, outcome, generation)
        self.record(outcome)
        self._call.worker.metrics.page(outcome)
        log.info(
            "page_failed" if outcome.error else "page_completed",
            job_id=self._call.files.session_id,
            page_no=outcome.page_no,
            seconds=outcome.seconds,
        )

    def record(self, outcome: PageOutcome) -> None:
        """Note a saved outcome for the lease and for the job's record."""
        self.outcomes[outcome.page_no] = outcome.brief()
        self._call.recorder.note_outcome(outcome.page_no, outcome.brief())

    async def _built(self, reading: PageText | PageFailure, started_at: datetime | None) -> PageOutcome:
        """The outcome to save. An engine may return values of wrong types: such a page fails, and none is saved."""
        info = (reading.engine if isinstance(reading, PageText) else None) or self._call.engine.info()
        common = PageOutcome(
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
        )
        try:
            outcome = _with_reading(common, reading)
            outcomes.encode(outcome)
        except (TypeError, TornOutcome) as error:
            log.error(
                "answer_refused",
                job_id=self._call.files.session_id,
                page_no=reading.page_no,
                kind=type(error).__name__,
            )
            return msgspec.structs.replace(common, error=f"{NO_SENSE} {REMEDY}")
        return outcome


def _with_reading(common: PageOutcome, reading: PageText | PageFailure) -> PageOutcome:
    common = msgspec.structs.replace(
        common, seconds=round(reading.seconds, 3), tries=reading.tries, tokens=reading.tokens
    )
    if isinstance(reading, PageFailure):
        return msgspec.structs.replace(common, error=reading.reason or NO_SENSE)
    return msgspec.structs.replace(
        common,
        status=OutcomeStatus.COMPLETED,
        text=reading.markdown,
        blank=reading.finish is Finish.BLANK,
        finish=reading.finish,
        rotation=reading.rotation,
        skew=reading.skew,
        lines=reading.lines,
        trust=reading.trust,
    )
