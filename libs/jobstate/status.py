"""The states of a job and the steps it goes through (R22, R23)."""

from enum import StrEnum


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"  # stored, not yet opened
    EXTRACTING = "extracting"  # pages are being rendered (and, behind that, already read)
    PROCESSING = "processing"  # every page is rendered; pages are being read or combined
    COMPLETED = "completed"  # every requested page was read
    PARTIAL = "partial"  # ended; some pages were read, some failed
    FAILED = "failed"  # ended; no page was read
    CANCELLED = "cancelled"  # its owner stopped it


class Step(StrEnum):
    """What is being done now."""

    QUEUED = "queued"  # waits for its turn
    EXTRACTING_IMAGES = "extracting_images"  # page images are being made
    EXTRACTION_COMPLETE = "extraction_complete"  # all images exist, no page is being read yet
    OCR_PROCESSING = "ocr_processing"  # pages are being read
    COMBINING = "combining"  # the combined result is being written
    COMPLETED = "completed"  # nothing left to do
    EXTRACTION_FAILED = "extraction_failed"  # not one page could be rendered


ENDED = frozenset({JobStatus.COMPLETED, JobStatus.PARTIAL, JobStatus.FAILED, JobStatus.CANCELLED})
