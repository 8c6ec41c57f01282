"""What a client has been told of a job, and what is new to it. Pure.

A stream of events is a comparison of states, not a queue: what a client at a position is sent follows from the newest
view of the job alone. So nothing is kept for a client that reads slowly or is away, and the id of an event, which is
the position after it, is enough to go on from in any process.
"""

import zlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from libs.jobstate.job import Job
from libs.jobstate.page import Page, PageStatus
from libs.jobstate.status import JobStatus, Step

#: Bytes of the pages in an id at most, unpacked: a bit for each page of the plan. Chosen: 200 times the default of
#: `MAX_PAGES`, and too few to be an attack on memory.
MOST_BYTES = 125_000

_ENDED = "end"


class JobEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="job"):
    """The job has changed. Its pages of this run follow."""

    run: int
    status: JobStatus
    step: Step
    message: str
    percent: int
    #: The planned pages; 0 until the document has been opened.
    total_pages: int
    pages_completed: int
    pages_failed: int


class PageEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="page"):
    """A page has ended, in the run that the event names: once in each."""

    page_no: int
    run: int
    status: PageStatus
    engine: str | None
    #: Of the engine's time.
    seconds: float
    error: str | None
    blank: bool
    trust: float | None
    #: Why the page should be compared with its image.
    doubts: tuple[str, ...]
    #: Why this run could not read the page again; its earlier reading is kept.
    retry_error: str | None


class DoneEvent(msgspec.Struct, frozen=True, kw_only=True, tag_field="event", tag="done"):
    """The last event: the job has ended, or was deleted."""

    #: A final `JobStatus`, or `deleted`.
    status: str
    #: 0 of a deleted job.
    run: int = 0
    error: str | None = None


Event = JobEvent | PageEvent | DoneEvent
#: The last event of a job that was deleted while it was watched.
DELETED = DoneEvent(status="deleted")


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a job a client has been told. The default is that of a client that knows nothing."""

    #: The run up to which `pages` is right.
    run: int = 0
    #: Bit i is set when the client knows the outcome of the i-th page of the plan, which never changes within a job.
    pages: int = 0
    #: Whether the client knows that the run has ended.
    done: bool = False
    #: The last event about the job itself. Not part of the id: a client that comes again gets a new one first.
    job: JobEvent | None = None

    @property
    def id(self) -> str:
        """The position as the id of an event, without blanks: run, pages, and whether it is the last one.

        The bits are deflated: 5,000 pages that end at random take at most 850 characters, mostly they take 20. Ranges
        in words would take 24,000, which is more than a request's head may have.
        """
        packed = zlib.compress(self.pages.to_bytes((self.pages.bit_length() + 7) // 8, "little"), wbits=-15)
        pages = urlsafe_b64encode(packed).rstrip(b"=").decode() if self.pages else ""
        return f"{self.run}.{pages}.{_ENDED if self.done else ''}"


def position_of(event_id: str) -> Position:
    """The position that an id stands for. Any other text is that of a client that knows nothing.

    It is not refused: a browser sends the id by itself and could not mend it, and events that come twice do no harm.
    """
    parts = event_id.split(".")
    if len(parts) != 3 or parts[2] not in ("", _ENDED):
        return Position()
    run, packed, ended = parts
    if not (run.isascii() and run.isdigit() and len(run) <= 9):
        return Position()
    with suppress(ValueError, zlib.error):
        inflated = zlib.decompressobj(wbits=-15)
        pages = inflated.decompress(urlsafe_b64decode(packed + "=" * (-len(packed) % 4)), MOST_BYTES)
        if inflated.eof or not packed:
            return Position(run=int(run), pages=int.from_bytes(pages, "little"), done=bool(ended))
    return Position()


def news(position: Position, job: Job) -> Iterator[tuple[Event, Position]]:
    """What a client at `position` has not been told, in an order that it can show, each with the position after it.

    The job comes before the pages of its run, pages come in the order of their numbers, and the end comes last.
    """
    position = _in_present_run(position, job)
    if position.done:
        return
    about = _about(job)
    if about != position.job:
        position = msgspec.structs.replace(position, job=about)
        yield about, position
    for index, (number, page) in enumerate(job.pages.items()):
        if page.ended and not position.pages >> index & 1:
            position = msgspec.structs.replace(position, pages=position.pages | 1 << index)
            yield _outcome(number, page), position
    if job.ended:
        position = msgspec.structs.replace(position, run=job.run, done=True)
        yield DoneEvent(status=job.status, run=job.run, error=job.error), position


def knows_all(position: Position, job: Job) -> bool:
    """Whether the job has ended and the client has been told so."""
    return _in_present_run(position, job).done


def _in_present_run(position: Position, job: Job) -> Position:
    """The position in the job's present run: pages that are read again have not been told."""
    if position.run > job.run:  # of another job: this one has not got there
        return Position()
    if position.done and (position.run < job.run or not job.ended):
        position = msgspec.structs.replace(position, done=False)
    if position.run == job.run or not job.planned:  # until the plan is known, it is not known which pages these are
        return position
    again = sum(1 << index for index, page in enumerate(job.pages.values()) if page.run > position.run)
    return msgspec.structs.replace(position, run=job.run, pages=position.pages & ~again)


def _about(job: Job) -> JobEvent:
    return JobEvent(
        run=job.run,
        status=job.status,
        step=job.current_step,
        message=job.message,
        percent=job.percent,
        total_pages=len(job.pages),
        pages_completed=job.count(PageStatus.COMPLETED),
        pages_failed=job.count(PageStatus.FAILED),
    )


def _outcome(number: int, page: Page) -> PageEvent:
    return PageEvent(
        page_no=number,
        run=page.run,
        status=page.status,
        engine=page.engine,
        seconds=page.seconds,
        error=page.error,
        blank=page.blank,
        trust=page.trust,
        doubts=page.doubts,
        retry_error=None if page.reread is None else page.reread.error,
    )
