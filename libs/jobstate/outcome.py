"""The outcome of a page: the evidence that everything else is derived from.

Stored as `page_NNN_result.json`, written once by whoever read the page.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from libs.codec import Codec, TornObject

Point = tuple[float, float]

LOW_TRUST = 0.75
"""Below it a page's text should be compared with its image. Half a page missing gives 0.67."""


class OutcomeStatus(StrEnum):
    """What is known of the page."""

    PENDING = "pending"  # a marker: this run has still to read the page; an earlier run's outcome stood here
    COMPLETED = "completed"  # read to its end (a blank page too)
    FAILED = "failed"  # cannot be read; `error` says why


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A recognised line of text.

    `box` holds the four corners (x, y) in pixels of the page image as stored, clockwise from the start of
    the text; `confidence` runs from 0 to 1.
    """

    text: str
    box: tuple[Point, Point, Point, Point]
    confidence: float


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One try at a page by an engine that writes its text, or by the one that stood in for it.

    `temperature` and `scale` (of the page's sides) are how it was asked; `ending` is one word for what became of it;
    `tokens` is what it wrote.
    """

    engine: str
    ending: str
    temperature: float = 0.0
    scale: float = 1.0
    tokens: int = 0
    seconds: float = 0.0


class PageOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Text or error of one page, with its provenance. `seconds` is engine time, `skew` is in degrees.

    `engine` is the one whose answer this is; `fallback` says why it is not, or not only, the one that was asked.
    `tries` and `tokens` are of engines that write; `trust` runs from 0 to 1, and None says that nothing is known.
    """

    page_no: int
    run: int
    status: OutcomeStatus
    text: str = ""
    blank: bool = False
    error: str | None = None
    engine: str | None = None
    revision: str | None = None
    device: str | None = None
    attempts: int = 1
    finish: str | None = None
    fallback: str | None = None
    seconds: float = 0.0
    rotation: int = 0
    skew: float = 0.0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    lines: tuple[Line, ...] = ()
    tries: tuple[Try, ...] = ()
    tokens: int = 0
    trust: float | None = None

    def brief(self) -> "BriefOutcome":
        """The part that the job's record keeps."""
        return BriefOutcome(
            status=self.status,
            run=self.run,
            blank=self.blank,
            error=self.error,
            engine=self.engine,
            attempts=self.attempts,
            seconds=self.seconds,
            started_at=self.started_at,
            completed_at=self.completed_at,
            trust=self.trust,
        )


class BriefOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An outcome without its text, lines and tries, as a finished lease and the job's record carry it."""

    status: OutcomeStatus
    run: int
    blank: bool = False
    error: str | None = None
    engine: str | None = None
    attempts: int = 1
    seconds: float = 0.0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    trust: float | None = None


class TornOutcome(TornObject):
    """The stored outcome cannot be decoded."""


MAX_BYTES = 16 * 1024**2
"""No page of text and lines comes near; a loop without an end does."""

_codec = Codec(PageOutcome, TornOutcome)
decode = _codec.decode


def encode(outcome: PageOutcome) -> bytes:
    """The outcome as stored. Raises `TornOutcome` for one that could not be read again.

    Types promise little here: a number that is none (NaN), half a character or no text at all come from engines, and
    what they leave in the storage would be a torn object.
    """
    try:
        data = _codec.encode(outcome)
    except (ValueError, TypeError, RecursionError) as error:
        raise TornOutcome(str(error)) from error
    if not isinstance(outcome.text, str):  # bytes would pass, as base64
        raise TornOutcome("the text is none")
    if len(data) > MAX_BYTES:
        raise TornOutcome(f"{len(data)} bytes are more than a page can have")
    decode(data)
    return data
