"""What the characters of a text layer say of it: whether they stand for what is printed, and in which order."""

import re
import unicodedata
from collections.abc import Iterable

import msgspec

from services.worker.engines.guard.agreement import lacks_vowels

# Hebrew letters in their final form, and Arabic letters that only end words: first in a word where text is stored in
# the order in which it is seen. The Arabic article is the reverse: it begins words.
_FINALS = frozenset("ךםןףץةى")
_ARTICLE, _REVERSED_ARTICLE = "ال", "لا"
# Words that show the order of right-to-left text at least, so that one odd word condemns no page. Chosen.
_MIN_SIGNS = 2
# Bidirectional classes (Unicode Standard Annex 9) of letters that run to the left, and to the right.
_TO_THE_LEFT = frozenset({"R", "AL"})
# What stands for no character: control, private use, unassigned, surrogate.
_MEANINGLESS = frozenset({"Cc", "Co", "Cn", "Cs"})
# Of a font without a Unicode map MuPDF knows no character.
_UNKNOWN = "\ufffd"


class Letters(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over the characters of a layer, spaces apart."""

    characters: int
    #: Characters of fonts without a Unicode map.
    unmapped: int
    #: Characters that stand for none: control, private use, unassigned.
    broken: int
    #: Right-to-left words are stored in the order in which they are seen.
    visual_order: bool
    #: Latin letters with hardly a vowel among them.
    implausible: bool


def letters(texts: Iterable[str]) -> Letters:
    """The counts over these lines."""
    lines = list(texts)
    solid = "".join("".join(line.split()) for line in lines)
    unmapped = solid.count(_UNKNOWN)
    return Letters(
        characters=len(solid),
        unmapped=unmapped,
        broken=sum(unicodedata.category(character) in _MEANINGLESS and not is_symbol(character) for character in solid),
        visual_order=_is_visual(word for line in lines for word in line.split()),
        implausible=lacks_vowels(solid),
    )


def runs_left(text: str) -> bool:
    """Whether most letters of the text belong to a script that runs from right to left."""
    classes = [unicodedata.bidirectional(character) for character in text]
    return sum(c in _TO_THE_LEFT for c in classes) > sum(c == "L" for c in classes)


def _is_visual(words: Iterable[str]) -> bool:
    logical = visual = 0
    for word in words:
        solid = unicodedata.normalize("NFKC", word).strip(".,:;!?()[]\"'")
        if len(solid) < 2 or not runs_left(solid):
            continue
        logical += (solid[-1] in _FINALS) + (len(solid) > 3 and solid.startswith(_ARTICLE))
        visual += (solid[0] in _FINALS) + (len(solid) > 3 and solid.endswith(_REVERSED_ARTICLE))
    return visual >= _MIN_SIGNS and visual > logical


# Characters of private use by which word processors name the bullets, ticks and boxes of their symbol fonts.
_SYMBOLS = {
    "\uf0b7": "•",
    "\uf0a7": "▪",
    "\uf0d8": "➢",
    "\uf0fc": "✓",
    "\uf0a8": "☐",
    "\uf06f": "☐",
    "\uf0fe": "☒",
    "\uf0e0": "→",
}
# Soft hyphens are printed where a line ends with one; zero-width spaces and byte order marks are not. For the radical
# Unicode names no character.
_CLEANED = {**_SYMBOLS, "\u00ad": "-", "\u200b": "", "\ufeff": "", "⻑": "長"}
# Accents that fonts of TeX set as characters of their own before their letter (a cedilla after it), as combining ones;
# and double quotation marks that are set as two single ones.
_ACCENTS = str.maketrans("´¨ˆ˜ˇ˘¯˙˚˝", "\u0301\u0308\u0302\u0303\u030c\u0306\u0304\u0307\u030a\u030b")
_APART = re.compile(r"(‘‘|’’)|([´¨ˆ˜ˇ˘¯˙˚˝])([A-Za-zı])|([cCsStT])¸")
# Characters that stand for others by their look, as fonts map them: radicals for the Chinese characters that they are,
# Latin ligatures, and Hebrew and Arabic presentation forms.
_LOOKS = (("\u2e80", "\u2fdf"), ("\ufb00", "\ufdff"), ("\ufe70", "\ufefe"))


def is_symbol(character: str) -> bool:
    """Whether a character of private use is a known symbol."""
    return character in _SYMBOLS


def clean(text: str) -> str:
    """The text as it can be stored and shown: known symbols named, accents on their letters, presentation forms as
    letters, no control codes.
    """
    return "".join(map(_clean, text if text.isascii() else _APART.sub(_accented, text)))


def _accented(match: re.Match[str]) -> str:
    """The character for both, where Unicode has one; else both as they are."""
    quotation, accent, letter, with_cedilla = match.groups()
    if quotation:
        return "“" if quotation == "‘‘" else "”"
    combined = f"{with_cedilla}\u0327" if with_cedilla else letter.replace("ı", "i") + accent.translate(_ACCENTS)
    whole = unicodedata.normalize("NFC", combined)
    return whole if len(whole) == 1 else match[0]


def _clean(character: str) -> str:
    if character in _CLEANED:
        return _CLEANED[character]
    if character.isascii():
        return character if character.isprintable() else ""
    if any(first <= character <= last for first, last in _LOOKS):
        return unicodedata.normalize("NFKC", character)
    return "" if unicodedata.category(character) in _MEANINGLESS else character
