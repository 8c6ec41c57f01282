"""What a group of lines is: a heading by its size, by bold type and the number of a section; a caption; a footnote.

Sizes are in heights of the body text, so that they hold at any DPI.
"""

import re
from collections.abc import Sequence

from services.worker.engines.lines.formula import has_signs

# Heights of a heading and of a title. Lower ones take capitals or a line with large accents for headings, higher ones
# miss headings that are only a little larger than the text.
_HEADING = 1.35
_TITLE = 1.9
# A heading has at most so many lines and characters, and at least so many letters: large text beyond it is a pull quote
# or an advertisement, below it a page number or an ornament.
_MAX_LINES = 3
_MAX_CHARACTERS = 120
_MIN_LETTERS = 3
# Levels of a large heading, and of one that is only bold; the number of a section with its dots says the level itself.
_LARGE_LEVEL, _BOLD_LEVEL = 2, 3
_SECTION = re.compile(r"\d{1,2}(?:\.\d{1,2})*(?=\.?\s)")
_MAX_LEVEL = 6
# What a sentence or a label in bold ends with.
_NO_HEADING_ENDS = ".,;:"

# The words that captions begin with in English, German, French, Spanish and Italian, and what follows the number: a
# sign, or a text that begins with a capital. "Table 4 shows" is a sentence.
_CAPTION = re.compile(
    r"(?i:fig(?:ure|\.|ura)?|abb(?:ildung|\.)|tab(?:le|elle|leau|la|ella|\.)?|chart|scheme|plate|exhibit|listing)\s*"
    r"(?:[A-Z]?\d{1,3}(?:[.-]\d{1,3})*[a-z]?|[IVX]{1,5})\s*(?:[.:|\u2013\u2014]|(?=\s[A-Z]))"
)
# Characters of a caption at most. Chosen: longer than any but those of whole plates.
_MAX_CAPTION = 1_200

# Height of a footnote's text at most, and what footnotes begin with.
_MAX_NOTE = 0.92
_NOTE_MARK = re.compile(r"(?:\d{1,2}|[*\u2020\u2021\u00a7\u00b6]{1,3})\s?[A-Z\u201c\"(]")


def level_of(lines: Sequence[str], size: float, *, bold: bool) -> int | None:
    """The level of the heading that these lines are, 1 for a title; None where they are none.

    `bold`: the lines are set in bold and the text is not.
    """
    letters = sum(character.isalpha() for line in lines for character in line)
    if len(lines) > _MAX_LINES or letters < _MIN_LETTERS or sum(map(len, lines)) > _MAX_CHARACTERS:
        return None
    if any(map(has_signs, lines)):
        return None
    if size >= _TITLE:
        return 1
    if size >= _HEADING:
        return _LARGE_LEVEL
    if not bold or lines[-1][-1] in _NO_HEADING_ENDS:
        return None
    number = _SECTION.match(lines[0])
    return _BOLD_LEVEL if number is None else min(_LARGE_LEVEL + number[0].count("."), _MAX_LEVEL)


def is_caption(text: str) -> bool:
    """Whether the paragraph with this text is a caption."""
    return len(text) <= _MAX_CAPTION and _CAPTION.match(text) is not None


def is_small(size: float) -> bool:
    """Whether text of this size may be that of footnotes."""
    return size <= _MAX_NOTE


def begins_note(text: str) -> bool:
    """Whether the text begins with the mark of a footnote."""
    return _NOTE_MARK.match(text) is not None
