"""A page in the job's record."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from libs.jobstate.intake import PageOptions
from libs.jobstate.outcome import BriefOutcome, OutcomeStatus


class PageStatus(StrEnum):
    """The state of a page."""

    #: It waits to be rendered, or is rendered and waits for an engine.
    PENDING = "pending"
    #: A worker holds it.
    PROCESSING = "processing"
    #: Its text is saved.
    COMPLETED = "completed"
    #: It will not be read in this run; `Page.error` has the reason.
    FAILED = "failed"


class Reread(PageOptions, frozen=True, kw_only=True, omit_defaults=True):
    """What a retry asked for of a page, and what became of it."""

    #: Whether the image has still to be made at `dpi`; `Page.image` is the one of an earlier reading until then.
    image_due: bool = False
    #: The run of the earlier reading that is the page's result: until it is read again, and where that fails. Else 0.
    read_in: int = 0
    #: Why the page could not be read again; its earlier reading is kept.
    error: str | None = None


_AS_UPLOADED = Reread()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One requested page. From `error` on, but for `run`, the fields are copied from the page's outcome.

    While a page that has a text is read again, it keeps the fields of its earlier reading.
    """

    status: PageStatus = PageStatus.PENDING
    #: The name of the page's image, once it exists.
    image: str | None = None
    image_extracted_at: datetime | None = None
    processing_started_at: datetime | None = None
    processing_completed_at: datetime | None = None
    #: The name of the file with the page's Markdown, once the page was read.
    result_file: str | None = None
    error: str | None = None
    #: The run in which the page has to be read, or was.
    run: int = 1
    attempts: int = 0
    engine: str | None = None
    seconds: float = 0.0
    blank: bool = False
    trust: float | None = None
    doubts: tuple[str, ...] = ()
    #: `None` for a page that is, or was, read as the job's own options say, and for the first time.
    reread: Reread | None = None

    @property
    def ended(self) -> bool:
        """Whether the page has its outcome."""
        return self.status in (PageStatus.COMPLETED, PageStatus.FAILED)

    @property
    def options(self) -> PageOptions:
        """What a retry asked for."""
        return self.reread or _AS_UPLOADED

    @property
    def drawn(self) -> bool:
        """Whether the image exists from which the page is to be read."""
        return self.image is not None and not (self.reread is not None and self.reread.image_due)

    def rendered(self, image: str, at: datetime) -> "Page":
        """The image exists from which the page is to be read."""
        if self.drawn:
            return self
        reread = _if_any(msgspec.structs.replace(self.reread or _AS_UPLOADED, image_due=False))
        return msgspec.structs.replace(self, image=image, image_extracted_at=at, reread=reread)

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
        reread = msgspec.structs.replace(
            self.reread or _AS_UPLOADED, image_due=False, read_in=outcome.read_in, error=outcome.retry_error
        )
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
            doubts=outcome.doubts,
            reread=_if_any(reread),
        )

    def again(self, run: int, asked: PageOptions, image: str) -> "Page":
        """The page has to be read again in `run`, from `image`, which is made first where the page has another.

        A page that has a text keeps it until then.
        """
        read_in = self.reread.read_in if self.reread is not None else 0
        if self.status is PageStatus.COMPLETED:
            read_in = read_in or self.run
        due = self.image is not None and self.image != image
        reread = _if_any(Reread(engine=asked.engine, ocr=asked.ocr, dpi=asked.dpi, image_due=due, read_in=read_in))
        if not read_in:
            return Page(image=self.image, image_extracted_at=self.image_extracted_at, run=run, reread=reread)
        return msgspec.structs.replace(
            self, status=PageStatus.PENDING, processing_started_at=None, run=run, attempts=0, reread=reread
        )


def _if_any(reread: Reread) -> Reread | None:
    return None if reread == _AS_UPLOADED else reread


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How far a job's pages are."""

    #: Pages with an image or an outcome.
    prepared: int
    #: Pages with an outcome.
    ended: int
    #: The last page with an outcome; 0 where there is none.
    last_ended: int
    #: The first page that a worker holds; `None` where there is none.
    first_held: int | None


def tally(pages: Mapping[int, Page]) -> Tally:
    """Count a job's pages, which are in the order of their numbers."""
    ended = last_ended = without_image = 0
    first_held: int | None = None
    for number, page in pages.items():
        if page.ended:
            ended += 1
            last_ended = number
            continue
        if not page.drawn:
            without_image += 1
        if first_held is None and page.status is PageStatus.PROCESSING:
            first_held = number
    return Tally(prepared=len(pages) - without_image, ended=ended, last_ended=last_ended, first_held=first_held)


class JobTrust(msgspec.Struct, frozen=True, kw_only=True):
    """How far the text of a job's pages can be relied on, in short."""

    #: The lowest `Page.trust`, from 0 to 1, and its page; `None` where no page was compared.
    lowest: float | None = None
    lowest_page: int | None = None
    #: Pages that should be compared with their image.
    to_check: int = 0
    #: Pages with a text that was compared with nothing.
    not_compared: int = 0


def job_trust(pages: Mapping[int, Page]) -> JobTrust:
    """The trust in a job's pages, those that were read so far."""
    read = {n: page for n, page in pages.items() if page.status is PageStatus.COMPLETED and not page.blank}
    known = [(page.trust, n) for n, page in read.items() if page.trust is not None]
    lowest, lowest_page = min(known, default=(None, None))
    return JobTrust(
        lowest=lowest,
        lowest_page=lowest_page,
        to_check=sum(bool(page.doubts) for page in read.values()),
        not_compared=len(read) - len(known),
    )


def all_ended(pages: Iterable[Page]) -> bool:
    """Whether each of these pages has its outcome."""
    return all(page.ended for page in pages)


def all_prepared(pages: Iterable[Page]) -> bool:
    """Whether each of these pages has an image or an outcome."""
    return all(page.drawn or page.ended for page in pages)


def unprepared(pages: Mapping[int, Page]) -> list[int]:
    """The numbers of the pages with neither image nor outcome."""
    return [number for number, page in pages.items() if not page.drawn and not page.ended]
