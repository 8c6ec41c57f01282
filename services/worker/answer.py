"""What an engine's answer to a page becomes: the outcome of the page."""

from datetime import datetime

import msgspec
import structlog

from libs.jobstate import outcome as outcomes
from libs.jobstate.lease import Lease
from libs.jobstate.outcome import OutcomeStatus, PageOutcome, TornOutcome
from services.worker.engines.engine import EngineInfo, Finish, PageFailure, PageText

log = structlog.get_logger()

REMEDY = "Retry the page with another engine, or upload it at a lower resolution."
NO_SENSE = "The engine gave an answer that makes no sense."


def outcome_of(
    reading: PageText | PageFailure,
    asked: EngineInfo,
    lease: Lease,
    *,
    job_id: str,
    started_at: datetime | None,
    completed_at: datetime,
) -> PageOutcome:
    """The reading as it will stand. An answer that makes no sense fails its page, and is never written."""
    info = (reading.engine if isinstance(reading, PageText) else None) or asked
    common = PageOutcome(
        page_no=reading.page_no,
        run=lease.run,
        status=OutcomeStatus.FAILED,
        engine=info.name,
        revision=info.revision,
        device=info.device,
        attempts=lease.attempt,
        fallback=reading.fallback,
        started_at=started_at,
        completed_at=completed_at,
    )
    try:
        outcome = _described(common, reading)
        outcomes.encode(outcome)
    except (TypeError, TornOutcome) as error:
        log.error("answer_refused", job_id=job_id, page_no=reading.page_no, kind=type(error).__name__)
        return msgspec.structs.replace(common, error=f"{NO_SENSE} {REMEDY}")
    return outcome


def _described(common: PageOutcome, reading: PageText | PageFailure) -> PageOutcome:
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
