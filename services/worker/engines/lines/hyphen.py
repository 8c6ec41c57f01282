"""Words that the end of a line divides, put together again: a hyphen that belongs to the word stays.

No dictionary is used: the page itself shows how its words are written, and the rest are rules that hold for English,
German and French. A word is joined where nothing says that its hyphen is real: in running text far more hyphens at line
ends divide a word than belong to one.
"""

import re
from collections.abc import Collection, Iterable, Sequence

#: Hyphens that may be real, and those that only ever divide a word: the soft hyphen, and the sign that some OCR writes.
HYPHENS, DIVIDERS = "-\u2010", "\u00ad\u00ac"

# First parts after which the hyphen is nearly always real, and French words that follow one. Chosen: words that are no
# first or last syllable of a longer word.
_REAL_BEFORE = frozenset({"self", "well", "half", "ex", "quasi", "vice"})
_REAL_AFTER = frozenset({"même", "mêmes", "là", "vous", "nous", "moi", "toi"})
# What stands between two words of which the first lacks its end, as in "Ein- und Ausgang".
_CONJUNCTIONS = frozenset({"and", "or", "und", "oder", "sowie", "bzw"})
# What links the parts of a compound of several hyphens.
_LINKS = frozenset({"of", "the", "to", "in", "and", "by", "up", "on", "at", "for", "de", "du", "la", "le", "und"})

_PARTS = re.compile(rf"[{HYPHENS}]")
_WORD = re.compile(r"[^\W_]+(?:[-\u2010'’][^\W_]+)*")
_ENDS_DIVIDED = re.compile(rf"((?:[^\W_]+[{HYPHENS}])*[^\W_]+)[{HYPHENS}{DIVIDERS}]$")
_BEGINS = re.compile(rf"[^\W_]+(?:[{HYPHENS}][^\W_]+)*[{HYPHENS}{DIVIDERS}]?")


def words_of(lines: Iterable[str]) -> frozenset[str]:
    """The words of a page in lower case, but for those that a line's end may divide."""
    found: set[str] = set()
    for line in lines:
        found.update(word.lower() for word in _WORD.findall(line if not _ENDS_DIVIDED.search(line) else line[:-1]))
    return frozenset(found)


def join(lines: Sequence[str], words: Collection[str]) -> list[str]:
    """The lines of a paragraph with each divided word whole, at the end of the line on which it begins.

    `words` are those of the page (`words_of`). A line of which nothing is left is dropped.
    """
    joined: list[str] = []
    for line in lines:
        before = _ENDS_DIVIDED.search(joined[-1]) if joined else None
        after = _BEGINS.match(line)
        if before is None or after is None or _is_suspended(before[1], after[0], joined[-1][-1], words):
            joined.append(line)
            continue
        hyphen = joined[-1][-1]
        stem = joined[-1][:-1] if _divides(before[1], after[0], hyphen, words) else joined[-1]
        end = after.end()
        # What is attached to the word, such as a full stop, goes with it.
        while end < len(line) and not line[end].isspace():
            end += 1
        joined[-1] = stem + line[:end]
        if rest := line[end:].strip():
            joined.append(rest)
    return joined


def _is_suspended(first: str, second: str, hyphen: str, words: Collection[str]) -> bool:
    """Whether the hyphen replaces the end that the first word has in common with another behind the conjunction."""
    return hyphen in HYPHENS and second in _CONJUNCTIONS and f"{first}{second}".lower() not in words


def _divides(first: str, second: str, hyphen: str, words: Collection[str]) -> bool:
    """Whether the hyphen between both parts only divides the word."""
    if hyphen in DIVIDERS:
        return True
    if first[-1].isdigit() or second[0].isdigit() or len(first) == 1:
        return False
    if second[0].isupper() and not (first.isupper() and len(first) > 1):
        return False
    second = second.rstrip(HYPHENS + DIVIDERS)
    whole, parted = f"{first}{second}".lower(), f"{first}-{second}".lower()
    if whole in words or parted in words:
        return whole in words
    last, following = _PARTS.split(first.lower())[-1], _PARTS.split(second.lower())[0]
    if (last, following) != (first.lower(), second.lower()) and not _LINKS.isdisjoint((last, following)):
        return False  # state-of-the-art
    return last not in _REAL_BEFORE and following not in _REAL_AFTER
