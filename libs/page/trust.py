"""How far the text of a page can be relied on: the one value that engines make and that every interface shows.

Agreement with a second reading of the same page is the measure, of words and of numbers apart: a page of a thousand
words with every sum wrong agrees by its words. What was not compared has no figure. A recogniser's own confidence is
shown as what it is, and takes no part in the figure.
"""

from enum import StrEnum

import msgspec

from libs.page.script import listed

#: Agreement of words below which a page should be compared with its image. Half a page missing gives 0.67.
LOW_TRUST = 0.75
#: The same of numbers. Chosen: one number of ten differs.
LOW_NUMBERS = 0.9
#: The share of a passage's letters that the second reading has too, below which the passage should be compared with the
#: image. On 38 scans it was 0.33 at least of the true text, and 0.15 at most of one with a sentence planted into it
#: (`bench/inventions.py`).
LOW_PASSAGE = 0.25
#: A recogniser's mean confidence below which a page should be compared with its image, where nothing else was compared.
LOW_CONFIDENCE = 0.8


class Against(StrEnum):
    """The second reading that a text was compared with."""

    #: The document's own text.
    TEXT_LAYER = "text_layer"
    #: The whole page, read by an OCR engine.
    OCR = "ocr"
    #: A few pieces of lines, recognised from the image.
    SPOT_CHECK = "spot_check"


class Uncompared(StrEnum):
    """Why there is no figure."""

    #: There is no second reading.
    NO_SECOND_READING = "no_second_reading"
    #: The document has text of its own for the page, which is not what is printed there.
    LAYER_REFUSED = "layer_refused"
    #: The second reader does not know the script.
    OTHER_SCRIPT = "other_script"
    #: Too few words for a figure.
    FEW_WORDS = "few_words"


class Doubt(StrEnum):
    """Why a page should be compared with its image."""

    #: Its words differ from the second reading.
    WORDS_DIFFER = "words_differ"
    #: Its numbers do.
    NUMBERS_DIFFER = "numbers_differ"
    #: A passage of it is not in the second reading: the model may have invented it.
    PASSAGE_DIFFERS = "passage_differs"
    #: Many of its lines could not be read.
    UNREADABLE = "unreadable"
    #: The recogniser is not sure of it, and nothing else was compared.
    LOW_CONFIDENCE = "low_confidence"
    #: Something is printed on it, and no text was found.
    NOTHING_READ = "nothing_read"
    #: It is the document's own text, taken because the job asks for it although it is not trusted.
    UNTRUSTED_LAYER = "untrusted_layer"
    #: Part of the model's answer is not in its format, and stays as text as it was written.
    MALFORMED_ANSWER = "malformed_answer"
    #: The model says that the page does not stand upright.
    NOT_UPRIGHT = "not_upright"


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why the trust in a page is low, or why there is no figure."""

    #: A `Doubt` or an `Uncompared`.
    code: str
    #: The same as a sentence.
    text: str


class Trust(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a page's text besides the text. Shares are from 0 to 1."""

    #: Agreement of words with the second reading; None where they were not compared.
    figure: float | None = None
    #: Agreement of numbers; None where they were not compared, or where there are hardly any.
    numbers: float | None = None
    #: The share of the letters that the second reading has too, in the passage where it is lowest; None where that was
    #: not looked for.
    passage: float | None = None
    #: The second reading; None where there is none.
    against: Against | None = None
    #: Why there is no figure; None where there is one.
    uncompared: Uncompared | None = None
    #: The recogniser's mean confidence over the characters that it read; None where it has none.
    confidence: float | None = None
    #: The share of the printed lines that the recogniser could not read, where it is so large that they are left out.
    unreadable: float | None = None
    #: The page's script, where lines are left out and it is known.
    script: str | None = None
    #: The scripts that the recogniser reads, where lines are left out.
    reads: tuple[str, ...] = ()
    #: Whether no text was found although something is printed: a picture, or print that was not found.
    nothing_read: bool = False
    #: Whether the text is the document's own although it is not trusted.
    untrusted_layer: bool = False
    #: Whether part of the model's answer could not be read as its format has it, and stays as text.
    malformed: bool = False
    #: The clockwise turn in degrees that the page needs to stand upright, as the model says.
    turned: int = 0

    @property
    def lowest(self) -> float | None:
        """The lower of the figures of words and numbers; None where nothing was compared."""
        return min((known for known in (self.figure, self.numbers) if known is not None), default=None)

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """Why the page should be compared with its image; empty where it need not."""
        unsure = self.lowest is None and _below(self.confidence, LOW_CONFIDENCE)
        found = {
            Doubt.UNREADABLE: self.unreadable is not None,
            Doubt.WORDS_DIFFER: _below(self.figure, LOW_TRUST),
            Doubt.NUMBERS_DIFFER: _below(self.numbers, LOW_NUMBERS),
            Doubt.PASSAGE_DIFFERS: _below(self.passage, LOW_PASSAGE),
            Doubt.LOW_CONFIDENCE: unsure,
            Doubt.NOTHING_READ: self.nothing_read,
            Doubt.UNTRUSTED_LAYER: self.untrusted_layer,
            Doubt.MALFORMED_ANSWER: self.malformed,
            Doubt.NOT_UPRIGHT: self.turned != 0,
        }
        return tuple(doubt for doubt, is_so in found.items() if is_so)

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The doubts, then why there is no figure, each as a code and a sentence."""
        codes = (*self.doubts, *((self.uncompared,) if self.uncompared else ()))
        return tuple(Reason(code=code, text=self._sentence(code)) for code in codes)

    def _sentence(self, code: Doubt | Uncompared) -> str:
        match code:
            case Doubt.UNREADABLE:
                reads = f": the engine reads {listed(self.reads)}" if self.reads else ""
                foreign = self.script is not None and self.script not in self.reads
                seems = f", and this page seems to be in {self.script}" if foreign else ""
                share = percent(self.unreadable)
                return f"About {share} of the lines on this page could not be read and are left out{reads}{seems}."
            case Doubt.WORDS_DIFFER:
                return (
                    f"Trust {percent(self.figure)}: the text differs from {_SECOND[self.against]}. "
                    "Compare it with the image."
                )
            case Doubt.NUMBERS_DIFFER:
                return f"Only {percent(self.numbers)} of the numbers are the same in {_SECOND[self.against]}."
            case Doubt.PASSAGE_DIFFERS:
                return f"A passage of the text is not in {_SECOND[self.against]}. Compare it with the image."
            case Doubt.LOW_CONFIDENCE:
                return f"The recogniser itself is unsure: its confidence is {percent(self.confidence)}."
            case Doubt.NOT_UPRIGHT:
                return (
                    f"The model says that the page does not stand upright: turn it by {self.turned} degrees clockwise."
                )
            case _:
                return _SENTENCES[code]


_SECOND = {
    Against.TEXT_LAYER: "the document's own text of this page",
    Against.OCR: "another engine's reading of this page",
    Against.SPOT_CHECK: "what is recognised in a few places of this page",
    None: "what else is known of this page",
}
_SENTENCES = {
    Doubt.NOTHING_READ: "Something is printed on this page, but no text was found on it.",
    Doubt.MALFORMED_ANSWER: "Part of the model's answer is not in its format, and stays as text as it was written.",
    Doubt.UNTRUSTED_LAYER: "The text is the document's own, which is not what is printed on the page.",
    Uncompared.NO_SECOND_READING: "Not compared: there is no second reading of this page.",
    Uncompared.LAYER_REFUSED: "Not compared: the document's own text of this page is not trusted.",
    Uncompared.OTHER_SCRIPT: "Not compared: the second reader cannot read the script of this page, or vertical lines.",
    Uncompared.FEW_WORDS: "Not compared: there are too few words on this page.",
}


def percent(share: float | None) -> str:
    """A share for a sentence: "62%"."""
    return "unknown" if share is None else f"{round(100 * share)}%"


def _below(value: float | None, limit: float) -> bool:
    return value is not None and value < limit
