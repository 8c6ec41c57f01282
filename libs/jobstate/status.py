"""The states of a job and the steps it goes through (R22, R23)."""

from enum import StrEnum


class JobStatus(StrEnum):
    """The state of a job."""

    #: Stored, and not yet opened.
    QUEUED = "queued"
    #: Pages are being rendered, and the first of them may already be read.
    EXTRACTING = "extracting"
    #: Every page is rendered; pages are being read or combined.
    PROCESSING = "processing"
    #: Ended: every requested page was read.
    COMPLETED = "completed"
    #: Ended: some pages were read, some failed.
    PARTIAL = "partial"
    #: Ended: no page was read.
    FAILED = "failed"
    #: Ended: its owner cancelled it.
    CANCELLED = "cancelled"


class Step(StrEnum):
    """What is being done now."""

    #: The job waits for its turn.
    QUEUED = "queued"
    #: Page images are being made.
    EXTRACTING_IMAGES = "extracting_images"
    #: All images exist, and no page is being read yet.
    EXTRACTION_COMPLETE = "extraction_complete"
    #: Pages are being read.
    OCR_PROCESSING = "ocr_processing"
    #: The combined result is being written.
    COMBINING = "combining"
    #: Nothing is left to do.
    COMPLETED = "completed"
    #: Not one page could be rendered.
    EXTRACTION_FAILED = "extraction_failed"


#: A job in one of these states changes only by a retry.
ENDED = frozenset({JobStatus.COMPLETED, JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED})
