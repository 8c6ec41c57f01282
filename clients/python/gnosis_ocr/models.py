"""Jobs, their pages in short and their events, as the schemas of the same names in `/openapi.json` describe them.

`pagedocument` has what was read on a page. Names of states, kinds and codes are plain strings and unknown fields are
ignored, so that a newer service can be read.
"""

from datetime import datetime
from typing import TypeAlias

import msgspec

#: The values of `Job.status` with which a job has ended.
ENDED = frozenset({"completed", "partial", "failed", "cancelled"})
#: The forms of a combined result.
FORMS = ("md", "txt", "html", "json", "zip", "pdf")


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """What answers at the address."""

    #: "gnosis-ocr".
    name: str
    version: str
    #: "local" or "cloud".
    mode: str
    #: Whether large files can be sent to the bucket itself.
    direct_uploads: bool
    #: The names that the option `engine` may have.
    engines: tuple[str, ...] = ()


class FileInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The document of a job."""

    #: The name its owner gave it.
    filename: str
    #: What it is by its content, such as "pdf" or "png".
    file_type: str
    #: The name it is stored under.
    raw_file: str
    #: Bytes.
    file_size: int
    #: Pages of the file; 0 until it has been opened.
    total_pages: int
    #: Whether the file is damaged, so that pages or parts of pages may be missing.
    repaired: bool = False


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the upload asked for."""

    #: The selection, such as "1-5"; None for all pages.
    pages: str | None = None
    #: Resolution at which PDF pages are rendered.
    dpi: int = 150
    #: The engine asked for; None for the worker's own choice.
    engine: str | None = None
    #: "auto", "force" or "text".
    ocr: str = "auto"
    #: The languages asked for, by Tesseract's codes; empty where none were.
    languages: tuple[str, ...] = ()
    #: Whether a password came with the document.
    has_password: bool = False
    #: The address that is told of the job's end.
    webhook: str | None = None


class Reread(msgspec.Struct, frozen=True, kw_only=True):
    """What a retry asked for of a page, and what became of it."""

    #: The engine asked for; None for that of the job.
    engine: str | None = None
    #: "auto", "force" or "text"; None for what the job says.
    ocr: str | None = None
    #: The resolution asked for; None for that of the job.
    dpi: int | None = None
    #: Whether the image has still to be made; `Page.image` is that of the earlier reading until then.
    image_due: bool = False
    #: The run of the earlier reading that is the page's result: until it is read again, and where that fails. Else 0.
    read_in: int = 0
    #: Why the page could not be read again; its earlier reading is kept.
    error: str | None = None


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One requested page in the record of its job. While it is read again, it has the fields of its earlier reading."""

    #: "pending", "processing", "completed" or "failed".
    status: str
    #: Name of its image; None until it is rendered.
    image: str | None
    image_extracted_at: datetime | None
    processing_started_at: datetime | None
    processing_completed_at: datetime | None
    #: Name of its text; None until it is read.
    result_file: str | None
    #: Why it failed.
    error: str | None
    #: The run in which it is read; each retry starts the next.
    run: int = 1
    attempts: int = 0
    #: The engine that read it.
    engine: str | None = None
    #: Time the engine took.
    seconds: float = 0.0
    #: Whether nothing is printed on it.
    blank: bool = False
    #: Agreement with a second reading, from 0 to 1; None where it was compared with nothing.
    trust: float | None = None
    #: Codes of why it should be compared with its image; empty where it need not.
    doubts: tuple[str, ...] = ()
    #: What a retry asked for; None for a page that was only read as the upload asked, and once.
    reread: Reread | None = None

    @property
    def ended(self) -> bool:
        """Whether the page has been read, or has failed."""
        return self.status in ("completed", "failed")


class JobTrust(msgspec.Struct, frozen=True, kw_only=True):
    """The trust in a job's pages in short, over those that were read so far."""

    lowest: float | None
    #: The page with the lowest figure.
    lowest_page: int | None
    #: Pages that should be compared with their image.
    to_check: int
    #: Pages whose text was compared with nothing.
    not_compared: int


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a job."""

    job_id: str
    session_id: str
    #: "queued", "extracting", "processing", or one of `ENDED`.
    status: str
    #: Why the job failed, or what is missing.
    error: str | None
    #: "queued", "extracting_images", "extraction_complete", "ocr_processing", "combining", "completed" or
    #: "extraction_failed".
    current_step: str
    #: One line for a person.
    message: str
    #: From 0 to 100; does not go down within a run.
    percent: int
    file_info: FileInfo
    user_email: str
    #: The folder of this user in addresses of files.
    user_hash: str
    created_at: datetime
    updated_at: datetime
    #: Pages that a worker takes at a time.
    batch_size: int
    #: The requested pages by number; empty until the document has been opened.
    pages: dict[int, Page]
    #: What its owner should know although the job goes on, such as that the file is damaged.
    warnings: tuple[str, ...] = ()
    #: `error` as a word, where the document cannot be opened, such as "encrypted" or "wrong_password".
    error_code: str | None = None
    trust: JobTrust | None = None
    options: Options = Options()
    #: When the job will be deleted; None while it runs and where jobs are kept.
    expires_at: datetime | None = None
    #: 1, and one more with each retry.
    run: int = 1
    #: Goes up with every change of the record.
    revision: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing of the job changes any more by itself."""
        return self.status in ENDED

    @property
    def failed_pages(self) -> tuple[int, ...]:
        """The numbers of the pages that could not be read, in order."""
        return tuple(sorted(number for number, page in self.pages.items() if page.status == "failed"))

    @property
    def pages_to_check(self) -> tuple[int, ...]:
        """The numbers of the pages that should be compared with their image, in order."""
        return tuple(sorted(number for number, page in self.pages.items() if page.doubts))


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A job in the list of jobs."""

    job_id: str
    status: str
    percent: int
    message: str
    file_info: FileInfo
    created_at: datetime
    updated_at: datetime
    pages_completed: int
    pages_failed: int


class JobList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the list of jobs."""

    jobs: tuple[JobSummary, ...]
    #: Where the next ones begin; None after the last.
    next_cursor: str | None


class JobState(msgspec.Struct, frozen=True, kw_only=True):
    """A job after it was asked to stop."""

    job_id: str
    status: str


class RetryState(msgspec.Struct, frozen=True, kw_only=True):
    """A job whose pages are read again."""

    job_id: str
    status: str
    #: The number of the new run.
    run: int


class JobEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="job"):
    """The job has changed."""

    #: Each retry starts the next.
    run: int
    status: str
    step: str
    #: One line for a person.
    message: str
    percent: int
    #: Pages that were asked for; 0 until the document has been opened.
    total_pages: int
    pages_completed: int
    pages_failed: int


class PageEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="page"):
    """A page has ended."""

    page_no: int
    #: The run in which it was read.
    run: int
    #: "completed" or "failed".
    status: str
    engine: str | None
    #: Time the engine took.
    seconds: float
    error: str | None
    blank: bool
    trust: float | None
    doubts: tuple[str, ...]
    #: Why this run could not read the page again; its earlier reading is kept.
    retry_error: str | None = None


class DoneEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="done"):
    """The last event: the job has ended."""

    #: One of `ENDED`, or "deleted".
    status: str
    #: The run that has ended; 0 of a deleted job.
    run: int
    error: str | None


#: What happens to a job.
Event: TypeAlias = JobEvent | PageEvent | DoneEvent
