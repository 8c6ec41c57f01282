"""What the service answers, as the schemas of the same names in `/openapi.json` describe it.

Names of states, kinds and codes are plain strings and unknown fields are ignored, so that a newer service can be read.
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


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """A word of a line."""

    text: str
    #: Left, top, right and bottom in pixels of the page image.
    box: tuple[float, float, float, float]
    #: From 0 to 1; None where the recogniser does not say.
    confidence: float | None = None


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of text as it stands on the page."""

    text: str
    #: The four corners (x, y) in pixels of the page image, clockwise from the start of the text.
    box: tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]
    confidence: float | None = None
    #: In reading order; empty where the source does not know them.
    words: tuple[Word, ...] = ()


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell of a table."""

    #: The first row that the cell covers, from 0.
    row: int
    #: The first column that the cell covers, from 0.
    column: int
    text: str = ""
    row_span: int = 1
    column_span: int = 1
    #: The cell heads its column or its row.
    header: bool = False
    #: Left, top, right and bottom in pixels of the page image.
    box: tuple[float, float, float, float] | None = None


class PageBlock(msgspec.Struct, frozen=True, kw_only=True):
    """A block of a page: its kind, and its text or cells."""

    #: Unique on its page.
    id: str
    #: "title", "heading", "paragraph", "list_item", "table", "formula", "figure", "caption", "page_header",
    #: "page_footer", "page_number", "footnote", "check_box" or "code".
    kind: str
    #: The text without markup; empty for a table, whose text is in its cells.
    text: str = ""
    #: Of a heading from 1, the highest; of a list item its depth from 1.
    level: int | None = None
    #: The bullet or number of a list item, as printed.
    marker: str = ""
    #: Whether a check box is ticked.
    checked: bool | None = None
    #: Of a table, row by row.
    cells: tuple[Cell, ...] = ()
    #: Of a formula, without delimiters.
    latex: str = ""
    #: The block as a model wrote it; empty where the source writes no Markdown.
    markdown: str = ""
    #: Left, top, right and bottom in pixels of the page image; None where the source knows no places.
    box: tuple[float, float, float, float] | None = None
    confidence: float | None = None
    #: In reading order.
    lines: tuple[Line, ...] = ()
    #: Of a table: its cells as HTML.
    html: str = ""


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why the trust in a page is low, or why there is no figure."""

    code: str
    #: The same as a sentence.
    text: str


class PageTrust(msgspec.Struct, frozen=True, kw_only=True):
    """How far the text of a page can be relied on."""

    #: Agreement of words with a second reading, from 0 to 1; None where they were not compared.
    figure: float | None
    #: Agreement of numbers; None where they were not compared.
    numbers: float | None
    #: The second reading: "text_layer", "ocr" or "spot_check"; None where there is none.
    against: str | None
    #: The recogniser's own mean confidence; None where it has none.
    confidence: float | None
    #: The share of the printed lines that could not be read; None where none.
    unreadable: float | None
    #: The script of a page with lines left out, where known.
    script: str | None
    #: Whether the text should be compared with the image.
    check: bool
    reasons: tuple[Reason, ...]


class LayerReport(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement on a page's own text, and the figures that it rests on. Shares are from 0 to 1."""

    #: "trusted", or why the page was recognised instead.
    verdict: str
    #: Without spaces.
    characters: int
    meaningless: float = 0.0
    unmapped: float = 0.0
    invisible: float = 0.0
    unseen: float = 0.0
    picture: float = 0.0
    missing: float = 0.0
    #: How many pieces of lines were recognised for comparison.
    compared: int = 0
    agreement: float | None = None
    numbers: float | None = None
    readable: float | None = None
    script: str | None = None


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One try at a page by a generative engine, or by its fallback."""

    engine: str
    #: One word for how the try ended.
    ending: str
    temperature: float = 0.0
    scale: float = 1.0
    tokens: int = 0
    seconds: float = 0.0


class PageReading(msgspec.Struct, frozen=True, kw_only=True):
    """One of the readings of a page, in short."""

    #: The run of the job in which the page was read: `Client.page(job_id, number, run=...)` has the whole of it.
    run: int
    #: "completed" or "failed".
    status: str
    engine: str | None
    #: "ocr", "model" or "text_layer"; None where it is not known.
    source: str | None
    dpi: int | None
    #: Of the engine's time.
    seconds: float
    completed_at: datetime | None
    #: Why it failed.
    error: str | None


class PageDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What was read on a page, and by what."""

    #: In the document, from 1.
    page_no: int
    #: The run of the job in which the page was read.
    run: int
    #: "completed" or "failed".
    status: str
    #: Nothing is printed on the page.
    blank: bool
    #: Why the page failed.
    error: str | None
    #: "ocr", "model" or "text_layer"; None where it is not known.
    source: str | None
    #: None where the page could not be rendered.
    engine: str | None
    revision: str | None
    device: str | None
    #: How often the page was begun.
    attempts: int
    finish: str | None
    #: Why another engine was tried than the one asked.
    fallback: str | None
    #: Of the engine's time.
    seconds: float
    started_at: datetime | None
    completed_at: datetime | None
    #: Of the page image in pixels.
    width: int | None
    #: Of the page image in pixels.
    height: int | None
    dpi: int | None
    #: Clockwise turn that set the page upright, in degrees.
    rotation: int
    #: Further small turn, in degrees.
    skew: float
    #: None for a page without text.
    trust: PageTrust | None
    text_layer: LayerReport | None
    #: In reading order.
    blocks: tuple[PageBlock, ...]
    #: Without running heads, running feet and page numbers.
    markdown: str
    #: What to know before relying on the page.
    warnings: tuple[str, ...]
    tries: tuple[Try, ...]
    #: What all tries took.
    tokens: int
    #: The name of the page image that was read; empty where the service is too old to say.
    image: str = ""
    #: All readings of the page, this one included, by run; empty where the service is too old to keep them.
    readings: tuple[PageReading, ...] = ()
    #: The same as `markdown`.
    text: str = ""
    #: The lines of all blocks.
    lines: tuple[Line, ...] = ()
