"""The outcome of a page: the evidence that everything else is derived from.

Stored as `page_NNN_result.json`, written once in a run by the worker that read the page. A retry marks it; the outcome
of the new run then replaces it, and a reading that is replaced is kept as `page_NNN_run_R.json`. Where the new reading
fails, the earlier one stays, under the new run.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec

from libs.codec import Codec, TornObject
from libs.jobstate.intake import PageOptions
from libs.jobstate.provenance import LayerReport, Try
from libs.page.block import Block, Line, Source, lines_of, mean_confidence
from libs.page.trust import Trust, Uncompared


class OutcomeStatus(StrEnum):
    """What is known of the page."""

    #: A marker of a retry for a page that was not read before; see `PageOutcome.again`.
    PENDING = "pending"
    #: The page was read to its end; a blank page, too.
    COMPLETED = "completed"
    #: The page could not be read; `PageOutcome.error` has the reason.
    FAILED = "failed"


class Again(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A retry's mark on an outcome: the page has to be read again."""

    #: The run that reads it.
    run: int
    options: PageOptions = PageOptions()


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One reading of a page in short, for the list of its readings."""

    #: The run in which the page was read.
    run: int
    status: OutcomeStatus
    engine: str | None = None
    #: `None` where no engine read the page.
    source: Source | None = None
    #: Dots per inch of the page image, where a retry asked for others than the job.
    dpi: int | None = None
    #: Of the engine's time.
    seconds: float = 0.0
    completed_at: datetime | None = None
    #: Why it failed.
    error: str | None = None


class PageOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Text or error of one page, with its provenance."""

    page_no: int
    #: The run that gave the page this outcome.
    run: int
    status: OutcomeStatus
    #: The page's Markdown.
    text: str = ""
    blank: bool = False
    error: str | None = None
    #: The engine whose answer this is.
    engine: str | None = None
    revision: str | None = None
    device: str | None = None
    #: Which attempt at the batch this was: one more than the deaths of holders and engines before it.
    attempts: int = 1
    #: How the reading ended, such as "stop" or "blank".
    finish: str | None = None
    #: Why the answer is not, or not only, that of the engine that was asked.
    fallback: str | None = None
    #: Of the engine's time.
    seconds: float = 0.0
    #: The clockwise turn in degrees (0, 90, 180, 270) by which the engine set the page upright.
    rotation: int = 0
    #: The further small angle in degrees by which it did.
    skew: float = 0.0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    #: Of an outcome from before there were blocks; now lines are in the blocks.
    lines: tuple[Line, ...] = ()
    #: In reading order; empty where the engine gave only Markdown, and in an outcome from before there were blocks.
    blocks: tuple[Block, ...] = ()
    #: Where the text comes from; `None` where no engine read the page, and in an outcome from before it was recorded.
    source: Source | None = None
    #: Of the page image in pixels; 0 where they are not known.
    width: int = 0
    height: int = 0
    #: The judgement on the page's own text; `None` where it has none, and where the job did not ask for it.
    text_layer: LayerReport | None = None
    #: Of a generative engine.
    tries: tuple[Try, ...] = ()
    #: Of a generative engine, over all tries.
    tokens: int = 0
    #: Of an outcome from before there was an `assessment`: the agreement of its words.
    trust: float | None = None
    #: How far the text can be relied on; `None` where the engine does not say. See `known_trust`.
    assessment: Trust | None = None
    #: Dots per inch of the page image, where a retry asked for others than the job.
    dpi: int | None = None
    #: The run in which this was read, where that is an earlier one than `run`, which failed to read the page; else 0.
    read_in: int = 0
    #: The page's other readings, in the order of their runs; `page_NNN_run_R.json` has those with a text.
    readings: tuple[Reading, ...] = ()
    #: A retry asks for the next reading; this one stays the page's result until then.
    again: Again | None = None

    @property
    def due_run(self) -> int:
        """The last run that concerns the page: its own, or that of the retry that asks for the next reading."""
        return self.run if self.again is None else self.again.run

    @property
    def reading_run(self) -> int:
        """The run in which the page was read."""
        return self.read_in or self.run

    @property
    def retry_error(self) -> str | None:
        """Why `run` failed to read the page again, where an earlier reading is kept."""
        return next((r.error for r in self.readings if self.read_in and r.run == self.run), None)

    @property
    def history(self) -> tuple[Reading, ...]:
        """All readings of the page, this one included, in the order of their runs."""
        if self.status is OutcomeStatus.PENDING:
            return self.readings
        return _in_order((*self.readings, self.reading()))

    def reading(self) -> Reading:
        """The part that the list of readings has."""
        return Reading(
            run=self.reading_run,
            status=self.status,
            engine=self.engine,
            source=self.source,
            dpi=self.dpi,
            seconds=self.seconds,
            completed_at=self.completed_at,
            error=self.error,
        )

    def alone(self) -> "PageOutcome":
        """The reading as it is kept once a later one replaces it."""
        return msgspec.structs.replace(self, run=self.reading_run, read_in=0, readings=(), again=None)

    def failed_in(self, run: int) -> "PageOutcome | None":
        """The outcome of an earlier or later run that failed to read the page, as far as it is known."""
        failed = (r for r in self.readings if r.run == run and r.status is OutcomeStatus.FAILED)
        return next((_of_failure(self.page_no, reading) for reading in failed), None)

    def over(self, before: "PageOutcome | None") -> "PageOutcome":
        """This new outcome as it is stored over `before`, the one that the page had.

        A failure never replaces a reading: `before` stays then, under the new run and with the failure in its list.
        """
        if before is None:
            return self
        if self.status is not OutcomeStatus.COMPLETED and before.status is OutcomeStatus.COMPLETED:
            readings = _in_order((*before.readings, self.reading()))
            return msgspec.structs.replace(
                before, run=self.run, read_in=before.reading_run, readings=readings, again=None
            )
        return msgspec.structs.replace(self, readings=before.history)

    @property
    def known_trust(self) -> Trust | None:
        """How far the text can be relied on, whatever the engine and the age of the outcome; `None` without a text."""
        if self.status is not OutcomeStatus.COMPLETED or self.blank:
            return None
        if self.assessment is not None:
            return self.assessment
        uncompared = Uncompared.NO_SECOND_READING if self.trust is None else None
        confidence = mean_confidence(self.lines or lines_of(self.blocks))
        return Trust(figure=self.trust, uncompared=uncompared, confidence=confidence)

    def brief(self) -> "BriefOutcome":
        """The part that the job's record keeps."""
        trust = self.known_trust
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
            trust=trust.lowest if trust else None,
            doubts=trust.doubts if trust else (),
            read_in=self.read_in,
            retry_error=self.retry_error,
            again=self.again,
        )


class BriefOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An outcome without its text, lines and tries, for finished leases and the job's record."""

    status: OutcomeStatus
    run: int
    blank: bool = False
    error: str | None = None
    engine: str | None = None
    attempts: int = 1
    seconds: float = 0.0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    #: The lower of the agreements of words and of numbers, from 0 to 1; `None` where nothing was compared.
    trust: float | None = None
    #: Why the page should be compared with its image: values of `Doubt`, as text, so that an older version reads them.
    doubts: tuple[str, ...] = ()
    #: As of a `PageOutcome`.
    read_in: int = 0
    #: As of a `PageOutcome`.
    retry_error: str | None = None
    #: As of a `PageOutcome`.
    again: Again | None = None


class TornOutcome(TornObject):
    """The stored outcome cannot be decoded."""


#: Bytes of a stored outcome at most. Chosen: far more than any page's text and lines need, and a bound for an engine
#: that repeats itself without end.
MAX_BYTES = 16 * 1024**2

_codec = Codec(PageOutcome, TornOutcome)
decode = _codec.decode


def encode(outcome: PageOutcome) -> bytes:
    """The outcome as stored. Raises `TornOutcome` for one that could not be decoded again.

    An engine may break its types: NaN for a number, half a surrogate pair in a text, or no text at all. Stored, each
    would be a torn object.
    """
    try:
        data = _codec.encode(outcome)
    except (ValueError, TypeError, RecursionError) as error:
        raise TornOutcome(str(error)) from error
    if not isinstance(outcome.text, str):  # bytes would pass, as base64
        raise TornOutcome("the text is not a string")
    if len(data) > MAX_BYTES:
        raise TornOutcome(f"{len(data)} bytes are more than a page can have")
    decode(data)
    return data


def _in_order(readings: Sequence[Reading]) -> tuple[Reading, ...]:
    return tuple(sorted(readings, key=lambda reading: reading.run))


def _of_failure(page_no: int, reading: Reading) -> PageOutcome:
    return PageOutcome(
        page_no=page_no,
        run=reading.run,
        status=reading.status,
        error=reading.error,
        engine=reading.engine,
        seconds=reading.seconds,
        completed_at=reading.completed_at,
        dpi=reading.dpi,
    )
