"""How a page was read: the tries of a generative engine, and the judgement on the page's own text."""

from enum import StrEnum

import msgspec


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
