"""A client of Gnosis OCR: documents in, Markdown out, each page as soon as it is read."""

from gnosis_ocr.asyncclient import AsyncClient
from gnosis_ocr.client import Client
from gnosis_ocr.connection import DEFAULT_URL
from gnosis_ocr.errors import ApiError, GnosisError, NotRead, Problem, Unreachable, UploadFailed
from gnosis_ocr.models import (
    ENDED,
    FORMS,
    DoneEvent,
    Event,
    Job,
    JobEvent,
    JobSummary,
    Page,
    PageEvent,
    Version,
)
from gnosis_ocr.pagedocument import PageDocument
from gnosis_ocr.upload import Progress

__all__ = [
    "DEFAULT_URL",
    "ENDED",
    "FORMS",
    "ApiError",
    "AsyncClient",
    "Client",
    "DoneEvent",
    "Event",
    "GnosisError",
    "Job",
    "JobEvent",
    "JobSummary",
    "NotRead",
    "Page",
    "PageDocument",
    "PageEvent",
    "Problem",
    "Progress",
    "Unreachable",
    "UploadFailed",
    "Version",
]
