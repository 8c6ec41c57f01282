"""How far two readings of one page agree, by their words, whatever order they stand in."""

import html
import re
import unicodedata
from collections import Counter
from functools import lru_cache
from itertools import pairwise

# What a model adds of its own: descriptions of pictures.
_PICTURES = re.compile(r"<img\b[^<>]*>.*?</img>|!\[[^\]]*\]\([^)]*\)", re.DOTALL | re.IGNORECASE)
# Marks between words, and within a word.
_MARKUP = re.compile(r"<!--.*?-->|\\[a-zA-Z]+|\}\s*\{", re.DOTALL)
_INLINE = re.compile(r"</?(?:sub|sup|b|i|u|em|strong|span|a)\b[^<>]*>|[*`{}$^_\u00ad]", re.IGNORECASE)
_TAGS = re.compile(r"</?[a-zA-Z][^<>]{0,200}>")
_HYPHEN = re.compile(r"(?<=\w)[-\u2010\u2011]\s*(?=\w)")
# Scripts that put no space between words: Thai to Burmese, Khmer, kana, Chinese.
_DENSE = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORDS = re.compile(rf"[{_DENSE}]+|[^\W{_DENSE}]+")
_IS_DENSE = re.compile(rf"[{_DENSE}]")

# Below it a few stray words would decide.
LEAST_WORDS = 8
_LONG = 8
_PAIR = 32  # a number, or two characters of a dense script: half of a long word
_BROKEN_SHARE, _LETTERS_SHARE, _VOWELS_SHARE = 0.02, 0.5, 0.25
_LATIN = 40
_SCRIPT_SHARE, _SAMPLE = 0.7, 4000
_VOWELS = frozenset("aeiouy")


def words(text: str) -> Counter[str]:
    """The words of a page, without marks of Markdown, HTML and LaTeX and without descriptions of pictures.

    Where a script has no spaces, pairs of characters stand for words.
    """
    text = _INLINE.sub("", _MARKUP.sub(" ", _PICTURES.sub(" ", text)))
    text = html.unescape(_TAGS.sub(" ", text))
    text = _HYPHEN.sub("", unicodedata.normalize("NFKC", text)).casefold()
    found: Counter[str] = Counter()
    for word in _WORDS.findall(text):
        dense = len(word) > 1 and _IS_DENSE.match(word)
        found.update((a + b for a, b in pairwise(word)) if dense else (word,))
    return found


def agreement(text: str, other: str) -> float:
    """1 where both have the same words, near 0 where one was made up, in between where one lacks a part.

    The harmonic mean of recall and precision over words, counted as often as they occur. Long words weigh more, since
    "the" is on every page.
    """
    ours, theirs = words(text), words(other)
    both = _weight(ours) + _weight(theirs)
    return 2 * _weight(ours & theirs) / both if both else 1.0


def is_evidence(text: str) -> bool:
    """Whether a text layer can be compared with at all: enough words, and no sign of a broken encoding."""
    solid = "".join(text.split())
    if sum(words(text).values()) < LEAST_WORDS:
        return False
    broken = sum(unicodedata.category(c) in ("Cc", "Co", "Cn", "Cs") or c == "\ufffd" for c in solid)
    plain = sum(c.isalnum() or unicodedata.category(c)[0] == "M" for c in solid)
    if broken > _BROKEN_SHARE * len(solid) or plain < _LETTERS_SHARE * len(solid):
        return False
    latin = [c for c in unicodedata.normalize("NFKD", solid).lower() if "a" <= c <= "z"]
    # Letters that stand for others: the common ones are no vowels any more. In English two of five are.
    return len(latin) < _LATIN or sum(c in _VOWELS for c in latin) >= _VOWELS_SHARE * len(latin)


def share_a_script(text: str, other: str) -> bool:
    """Whether both are mostly written in the same scripts. An engine that knows only one reads noise in another."""
    ours, theirs = _scripts(text), _scripts(other)
    common = sum(min(ours[script] * theirs.total(), theirs[script] * ours.total()) for script in ours)
    return common >= _SCRIPT_SHARE * ours.total() * theirs.total()


def _scripts(text: str) -> Counter[str]:
    return Counter(_script(c) for c in text[:_SAMPLE] if c.isalpha())


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    # "LATIN SMALL LETTER A": the first word is the script.
    return unicodedata.name(character, "").split(" ")[0]


def _weight(of: Counter[str]) -> int:
    return sum(count * _worth(word) for word, count in of.items())


def _worth(word: str) -> int:
    if word.isalpha() and not _IS_DENSE.match(word):
        return min(len(word), _LONG) ** 2
    return _PAIR if len(word) > 1 else 1
