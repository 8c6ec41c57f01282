"""How far two texts of one page agree by their words, in whatever order."""

import html
import re
import unicodedata
from collections import Counter
from itertools import pairwise, takewhile

from libs.page.script import script

# Descriptions of pictures: a model adds them, no text layer has them.
_PICTURES = re.compile(r"<img\b[^<>]*>.*?</img>|!\[[^\]]*\]\([^)]*\)", re.DOTALL | re.IGNORECASE)
# Markup between words (replaced by a space) and within a word (removed).
_MARKUP = re.compile(r"<!--.*?-->|\\[a-zA-Z]+|\}\s*\{", re.DOTALL)
_INLINE = re.compile(r"</?(?:sub|sup|b|i|u|em|strong|span|a)\b[^<>]*>|[*`{}$^_\u00ad]", re.IGNORECASE)
_TAGS = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_HYPHEN = re.compile(r"(?<=\w)[-\u2010\u2011]\s*(?=\w)")
# Scripts without spaces between words: Thai and Lao, Burmese, Khmer, kana, Chinese characters.
_DENSE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORDS = re.compile(rf"[{_DENSE}]+|[^\W{_DENSE}]+")
_IS_DENSE = re.compile(rf"[{_DENSE}]")
# A number with the marks inside it: a lost decimal point makes another number. Dashes separate numbers, and a digit
# behind a Latin letter is the mark of a footnote, or part of a name.
_NUMBERS = re.compile(r"(?<![A-Za-z\d])\d+(?:[.,:/]\d+)*")

# All values below are chosen, not fitted: `test_agreement` holds the examples that they have to tell apart.

#: Words. In a text of fewer, a few stray words decide the agreement, so it is no evidence.
MIN_WORDS = 8
#: The same of numbers.
MIN_NUMBERS = 5

#: The same where one of the texts was recognised in the image: one mistaken digit decides less.
MIN_OCR_NUMBERS = 8
#: Letters that are compared together. Fewer stand in any text, more are seldom without a mistaken one.
GRAM = 5
# The share of a text's letters that a recogniser may not have read anywhere. Of 40 scans two in polytonic Greek, whose
# accents the recogniser does not know, had more than 0.2, all others less than 0.01 (`bench/inventions.py`).
_MAX_UNKNOWN_SHARE = 0.1
# Digits of a number that may be spaced out, as letters of a heading are.
_MIN_SPACED, _MAX_SPACED = 3, 12

# A word of letters weighs its length squared, in characters, up to this length: common short words are on every page.
_MAX_WEIGHED_LENGTH = 8
# Weight of a number, and of a pair of characters in a script without spaces: half of a long word's (8 squared).
_PAIR_WEIGHT = 32

# Shares of a layer's characters, spaces apart. More characters than this that stand for none (control, private use,
# unassigned, U+FFFD), or fewer letters and digits than this, mean a broken encoding.
_MAX_BROKEN_SHARE = 0.02
_MIN_ALPHANUMERIC_SHARE = 0.5
# Vowels among the Latin letters; English has 40 %. Fewer than this mean letters that stand for other letters.
_MIN_VOWEL_SHARE = 0.25
_VOWELS = frozenset("aeiouy")
# Latin letters. Fewer are too few to judge their vowels.
_MIN_LATIN_LETTERS = 40

# Share of the letters that two texts must have in the same scripts, to be called alike in script. Below 1, since a page
# in one script may quote another.
_MIN_SCRIPT_SHARE = 0.7
# Characters at the start of a text that are looked at for their script; it bounds the work.
_SCRIPT_SAMPLE = 4000


def words(text: str) -> Counter[str]:
    """The words of a page and their counts, without Markdown, HTML and LaTeX markup and descriptions of pictures.

    In scripts without spaces, pairs of adjacent characters count as words.
    """
    text = _HYPHEN.sub("", plain(text)).casefold()
    found: Counter[str] = Counter()
    for word in _WORDS.findall(text):
        dense = len(word) > 1 and _IS_DENSE.match(word)
        found.update((a + b for a, b in pairwise(word)) if dense else (word,))
    return found


def numbers(text: str) -> list[str]:
    """The numbers of a page in their order, without markup; digits of every script as ASCII."""
    digits = "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in plain(text))
    return _NUMBERS.findall(digits)


def number_agreement(text: str, other: str) -> float | None:
    """From 0 to 1: the F1 score over all occurrences of numbers; None where both have too few for a figure."""
    ours, theirs = Counter(numbers(text)), Counter(numbers(other))
    if max(ours.total(), theirs.total()) < MIN_NUMBERS:
        return None
    return 2 * (ours & theirs).total() / (ours.total() + theirs.total())


def number_agreement_with_ocr(text: str, other: str) -> float | None:
    """The same where `other` was recognised in the image: None where one has few, or far fewer than the other.

    A recogniser leaves numbers out, and joins what is spaced out. So a number counts against the agreement only where
    both have one that the other has not: it is another number there.
    """
    ours, theirs = numbers(text), numbers(other)
    if min(len(ours), len(theirs)) < max(MIN_OCR_NUMBERS, max(len(ours), len(theirs)) / 2):
        return None
    ours, theirs = _joined(ours, Counter(theirs)), _joined(theirs, Counter(ours))
    both = (Counter(ours) & Counter(theirs)).total()
    return both / min(len(ours), len(theirs))


def _joined(found: list[str], others: Counter[str]) -> list[str]:
    """The numbers, in which a run of single digits is one number where that is missing otherwise."""
    missing = others - Counter(found)
    joined: list[str] = []
    at = 0
    while at < len(found):
        run = "".join(takewhile(lambda number: len(number) == 1, found[at : at + _MAX_SPACED]))
        spaced = (run[:end] for end in range(len(run), _MIN_SPACED - 1, -1))
        number = next((number for number in spaced if missing[number] > 0), None)
        if number is None:
            joined.append(found[at])
            at += 1
        else:
            missing[number] -= 1
            joined.append(number)
            at += len(number)
    return joined


def letter_agreement(text: str, other: str) -> float:
    """From 0 to 1: the F1 score over all runs of `GRAM` letters, of which a mistaken one changes fewer than words."""
    ours, theirs = Counter(grams(letters(text))), Counter(grams(letters(other)))
    both = ours.total() + theirs.total()
    return 2 * (ours & theirs).total() / both if both else 1.0


def letters(text: str) -> str:
    """Letters and digits without markup, marks, accents and case, since recognisers differ in these."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", plain(text)).casefold()))


def grams(letters: str) -> list[str]:
    """The letters that stand at each place of a text, `GRAM` of them."""
    return [letters[at : at + GRAM] for at in range(len(letters) - GRAM + 1)]


def knows_letters(text: str, other: str) -> bool:
    """Whether nearly all letters of `text` are among those of `other`; a recogniser drops what it does not know."""
    ours = Counter(c for c in unicodedata.normalize("NFC", text).casefold() if c.isalpha())
    known = frozenset(unicodedata.normalize("NFC", other).casefold())
    unknown = sum(count for letter, count in ours.items() if letter not in known)
    return unknown <= _MAX_UNKNOWN_SHARE * ours.total()


def plain(text: str) -> str:
    """The text without Markdown, HTML and LaTeX markup and descriptions of pictures, in compatibility form."""
    text = _INLINE.sub("", _MARKUP.sub(" ", _PICTURES.sub(" ", text)))
    return unicodedata.normalize("NFKC", html.unescape(_TAGS.sub(" ", text)))


def agreement(text: str, other: str) -> float:
    """From 0 to 1: 1 for the same words, near 0 where one text is invented, in between where one lacks a part.

    The F1 score (harmonic mean of precision and recall) over all occurrences of words. Long words weigh more, since
    "the" is on every page.
    """
    ours, theirs = words(text), words(other)
    both = _weight(ours) + _weight(theirs)
    return 2 * _weight(ours & theirs) / both if both else 1.0


def is_evidence(text: str) -> bool:
    """Whether a text layer is fit for comparison: it has enough words and no sign of a broken encoding."""
    solid = "".join(text.split())
    if sum(words(text).values()) < MIN_WORDS:
        return False
    broken = sum(unicodedata.category(c) in ("Cc", "Co", "Cn", "Cs") or c == "\ufffd" for c in solid)
    alphanumeric = sum(c.isalnum() or unicodedata.category(c)[0] == "M" for c in solid)
    if broken > _MAX_BROKEN_SHARE * len(solid) or alphanumeric < _MIN_ALPHANUMERIC_SHARE * len(solid):
        return False
    return not lacks_vowels(solid)


def lacks_vowels(text: str) -> bool:
    """Whether the Latin letters of a text are hardly a language's: a font whose codes are shifted maps "e" to "h"."""
    latin = [c for c in unicodedata.normalize("NFKD", text).lower() if "a" <= c <= "z"]
    return len(latin) >= _MIN_LATIN_LETTERS and sum(c in _VOWELS for c in latin) < _MIN_VOWEL_SHARE * len(latin)


def share_a_script(text: str, other: str) -> bool:
    """Whether both are mostly in the same scripts. An engine returns noise for a script that it does not know."""
    ours, theirs = _scripts(text), _scripts(other)
    common = sum(min(ours[name] * theirs.total(), theirs[name] * ours.total()) for name in ours)
    return common >= _MIN_SCRIPT_SHARE * ours.total() * theirs.total()


def _scripts(text: str) -> Counter[str]:
    return Counter(script(c) or "" for c in text[:_SCRIPT_SAMPLE] if c.isalpha())


def _weight(counts: Counter[str]) -> int:
    return sum(count * _word_weight(word) for word, count in counts.items())


def _word_weight(word: str) -> int:
    if word.isalpha() and not _IS_DENSE.match(word):
        return min(len(word), _MAX_WEIGHED_LENGTH) ** 2
    return _PAIR_WEIGHT if len(word) > 1 else 1
