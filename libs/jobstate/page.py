"""A page in the job's record."""

from datetime import datetime
from enum import StrEnum

import msgspec

from libs.jobstate.outcome import BriefOutcome, OutcomeStatus


class PageStatus(StrEnum):
    """Where a page stands."""

    PENDING = "pending"  # waits to be rendered, or rendered and waits for an engine
    PROCESSING = "processing"  # a worker holds it
    COMPLETED = "completed"  # its text is saved
    FAILED = "failed"  # it will not be read; `error` says why


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One requested page. `run` is the run in which it has to be read; `seconds` and `trust` are its outcome's."""

    status: PageStatus = PageStatus.PENDING
    image: str | None = None
    image_extracted_at: datetime | None = None
    processing_started_at: datetime | None = None
    processing_completed_at: datetime | None = None
    result_file: str | None = None
    error: str | None = None
    run: int = 1
    attempts: int = 0
    engine: str | None = None
    seconds: float = 0.0
    blank: bool = False
    trust: float | None = None

    @property
    def ended(self) -> bool:
        """Whether the page has its outcome."""
        return self.status in (PageStatus.COMPLETED, PageStatus.FAILED)

    def rendered(self, image: str, at: datetime) -> "Page":
        """The page's image exists."""
        if self.image is not None:
            return self
        return msgspec.structs.replace(self, image=image, image_extracted_at=at)

    def started(self, at: datetime) -> "Page":
        """A worker took the page."""
        if self.status is not PageStatus.PENDING:
            return self
        return msgspec.structs.replace(self, status=PageStatus.PROCESSING, processing_started_at=at)

    def settled(self, outcome: BriefOutcome, result_file: str) -> "Page":
        """The page's outcome exists. An ended page keeps its first outcome; one of an earlier run is ignored."""
        if self.ended or outcome.run < self.run or outcome.status is OutcomeStatus.PENDING:
            return self
        read = outcome.status is OutcomeStatus.COMPLETED
        return msgspec.structs.replace(
            self,
            status=PageStatus.COMPLETED if read else PageStatus.FAILED,
            processing_started_at=outcome.started_at or self.processing_started_at,
            processing_completed_at=outcome.completed_at,
            result_file=result_file if read else None,
            error=outcome.error,
            attempts=outcome.attempts,
            engine=outcome.engine,
            seconds=outcome.seconds,
            blank=outcome.blank,
            trust=outcome.trust,
        )

    def again(self, run: int) -> "Page":
        """The page is to be read anew in `run`; its image stays."""
        return Page(image=self.image, image_extracted_at=self.image_extracted_at, run=run)
