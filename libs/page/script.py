"""The scripts of characters, by their English names ("Latin", "Cyrillic").

Python's `unicodedata` has no script property; the first words of a character's name tell it ("CYRILLIC SMALL LETTER
A"). Chinese characters and kana count as one script each, and kana as Japanese.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

# Besides those of the table, scripts are named by the first words of their letters' names.
_OTHERS = (
    "Latin Greek Cyrillic Arabic Hebrew Thai Hangul Devanagari Bengali Gurmukhi Gujarati Oriya Tamil Telugu Kannada "
    "Malayalam Sinhala Lao Tibetan Myanmar Georgian Armenian Ethiopic Khmer Mongolian Syriac Thaana"
)
_NAMES = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese"}
_NAMES |= {name.upper(): name for name in _OTHERS.split()}
# Letters of a script from which an alphabet counts as knowing it. Chosen: the smallest alphabets have more (Hebrew 22),
# and a few letters of another script are symbols, such as a Greek pi among Latin ones.
_MIN_LETTERS = 20


@lru_cache(maxsize=4096)
def script(character: str) -> str | None:
    """The script of a letter; None for other characters, and for scripts that are not listed here."""
    if not character.isalpha():
        return None
    return _NAMES.get(unicodedata.name(character, "").split(" ")[0])


def scripts_of(alphabet: Iterable[str]) -> tuple[str, ...]:
    """The scripts that an alphabet can write, by name."""
    counts = Counter(found for character in alphabet if len(character) == 1 and (found := script(character)))
    return tuple(sorted(name for name, count in counts.items() if count >= _MIN_LETTERS))


def main_script(text: str) -> str | None:
    """The script of most letters of a text; None where it has none."""
    counts = Counter(found for character in text if (found := script(character)))
    return counts.most_common(1)[0][0] if counts else None


def listed(names: Sequence[str]) -> str:
    """Names as a part of a sentence: "Latin, Greek and Chinese"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
