"""The outcome of a page: the evidence that everything else is derived from.

Stored as `page_NNN_result.json`, written once in a run by the worker that read the page.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from libs.codec import Codec, TornObject
from libs.page.block import Block, Line, Source, lines_of, mean_confidence
from libs.page.trust import Trust, Uncompared


class OutcomeStatus(StrEnum):
    """What is known of the page."""

    #: A marker of a retry, which has replaced the outcome of an earlier run: the page has to be read again.
    PENDING = "pending"
    #: The page was read to its end; a blank page, too.
    COMPLETED = "completed"
    #: The page could not be read; `PageOutcome.error` has the reason.
    FAILED = "failed"


class Try(msgspec.Struct, frozen=True, kw_only=True):
    """One try at a page by a generative engine, or by its fallback."""

    engine: str
    #: One word for how the try ended.
    ending: str
    #: The sampling temperature.
    temperature: float = 0.0
    #: By how much the page's sides were scaled before.
    scale: float = 1.0
    #: How many tokens the engine wrote.
    tokens: int = 0
    seconds: float = 0.0


class LayerVerdict(StrEnum):
    """What was found about a page's own text. All but `TRUSTED` are reasons to recognise the page."""

    #: It is what is printed on the page.
    TRUSTED = "trusted"
    #: It has no characters.
    EMPTY = "empty"
    #: Characters without a meaning, fonts without a Unicode map, or hardly a vowel.
    GARBLED = "garbled"
    #: Right-to-left words are stored in the order in which they are seen.
    VISUAL_ORDER = "visual_order"
    #: It leaves no mark: another OCR laid it over a scan.
    INVISIBLE = "invisible"
    #: The image shows nothing in its place.
    UNSEEN = "unseen"
    #: Too much of it runs across the page at an angle.
    SLANTED = "slanted"
    #: The image shows print that it lacks.
    INCOMPLETE = "incomplete"
    #: Lines that were recognised for comparison read differently.
    DIFFERENT = "different"
    #: Nothing could be recognised for comparison, although its script can be read.
    UNCHECKED = "unchecked"


class LayerReport(msgspec.Struct, frozen=True, kw_only=True):
    """The judgement on a page's own text, and the figures that it rests on. Shares are from 0 to 1."""

    verdict: LayerVerdict
    #: Without spaces.
    characters: int
    #: The share of the characters that stand for none, those of fonts without a Unicode map included.
    meaningless: float = 0.0
    #: The share of the characters whose font has no Unicode map.
    unmapped: float = 0.0
    #: The share of the characters that leave no mark.
    invisible: float = 0.0
    #: The share of the characters where the image shows nothing.
    unseen: float = 0.0
    #: The share of the page's area that pictures take.
    picture: float = 0.0
    #: The share of the page's print that the text lacks, estimated.
    missing: float = 0.0
    #: How many pieces of lines were recognised for comparison.
    compared: int = 0
    #: How far these agree; `None` where none could be compared, as in a script that the recogniser does not know.
    agreement: float | None = None
    #: How far the numbers in them agree; `None` where there are hardly any.
    numbers: float | None = None
    #: The share of the letters and digits that the recogniser knows; `None` where it was not asked.
    readable: float | None = None
    #: The script of most letters, such as "Latin".
    script: str | None = None


class PageOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """Text or error of one page, with its provenance."""

    page_no: int
    #: The run in which the page was read.
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
