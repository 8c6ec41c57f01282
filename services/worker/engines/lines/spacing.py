"""Words whose letters are set apart, as in headings: "C O N T E N T S" is one word."""

import re
from itertools import pairwise

# Letters of such a word at least. Chosen: fewer are initials, or the names of columns.
_SPACED = re.compile(r"[A-Z](?: [A-Z]){4,}")
_VOWELS = frozenset("AEIOUY")


def closed(text: str) -> str:
    """The text, its spaces left out where all of it is one word of single capitals."""
    if not _SPACED.fullmatch(text):
        return text
    word = text.replace(" ", "")
    # The names of columns, or answers to choose from, go through the alphabet.
    in_order = all(ord(after) - ord(before) == 1 for before, after in pairwise(word))
    return text if in_order or not _VOWELS.intersection(word) else word
