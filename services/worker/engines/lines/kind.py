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
# The same on a title page. Chosen: long titles of reports.
_MAX_TITLE_LINES = 6
_MAX_TITLE = 300
_MIN_LETTERS = 3
# Levels of a large heading, and of one that is only bold; the number of a section with its dots says the level itself.
_LARGE_LEVEL, _BOLD_LEVEL = 2, 3
_SECTION = re.compile(r"\d{1,2}(?:\.\d{1,2})*(?=\.?\s)")
_MAX_LEVEL = 6
# What a sentence or a label in bold ends with.
_NO_HEADING_ENDS = ".,;:"

# The number of a section before its name, in letters of the text's size: 2.1, 4., IV., A. Without a dot it may be that
# of a date or of an address.
_NUMBERED = re.compile(
    r"(?P<decimal>\d{1,2}(?:\.\d{1,2})+\.?|\d{1,2}\.)\s+[^\W\d_]|(?P<roman>[IVX]{1,5})\.\s+[^\W\d_]{3}|[A-Z]\.\s+[^\W\d_]{3}"
)
# Characters of such a heading at most, and the share of letters behind its number at least: "3. cos 102° + i" is none.
_MAX_NUMBERED = 80
_MIN_LETTER_SHARE = 0.6
# Levels of a section that has a Roman number, and of one that has a letter.
_ROMAN_LEVEL, _LETTER_LEVEL = 2, 3
# "4. Juli 2019" is a date.
_YEAR = re.compile(r"\b(?:1[5-9]|20)\d\d\b")
# "Results and discussion"
_AND = re.compile(r"(?:and|und|et|&)(?: \w+){1,2}$")
# Names that sections of many documents have, in English, German and French.
_SECTIONS = frozenset(
    {
        "abstract",
        "acknowledgements",
        "acknowledgments",
        "anhang",
        "annexe",
        "appendix",
        "bibliographie",
        "bibliography",
        "conclusion",
        "conclusions",
        "contents",
        "danksagung",
        "discussion",
        "einleitung",
        "fazit",
        "index",
        "inhalt",
        "inhaltsverzeichnis",
        "introduction",
        "literatur",
        "literaturverzeichnis",
        "preface",
        "préface",
        "references",
        "remerciements",
        "results",
        "résumé",
        "sommaire",
        "summary",
        "table des matières",
        "table of contents",
        "vorwort",
        "zusammenfassung",
    }
)

# The words that captions begin with in English, German, French, Spanish and Italian, and what follows the number: a
# sign, a text that begins with a capital, or the end of the line. "Table 4 shows" is a sentence.
_CAPTION = re.compile(
    r"(?i:fig(?:ure|\.|ura)?|abb(?:ildung|\.)|tab(?:le|elle|leau|la|ella|\.)?|chart|scheme|plate|exhibit|listing)\s*"
    r"(?:[A-Z]?\d{1,3}(?:[.-]\d{1,3})*[a-z]?|[IVX]{1,5})(?:\s*(?:[.:|\u2013\u2014]|(?=\s[A-Z]))|(?=\n))"
)
# Characters of a caption at most. Chosen: longer than any but those of whole plates.
_MAX_CAPTION = 1_200

# Height of a footnote's text at most, and what footnotes begin with.
_MAX_NOTE = 0.92
_NOTE_MARK = re.compile(r"(?:\d{1,2}|[*\u2020\u2021\u00a7\u00b6]{1,3})\s?[A-Z\u201c\"(]")


def level_of(
    lines: Sequence[str], size: float, *, bold: bool, alone: bool = False, title_page: bool = False
) -> int | None:
    """The level of the heading that these lines are, 1 for a title; None where they are none.

    `bold`: the lines are set in bold and the text is not. `alone`: with space above and below, wider than a line's.
    `title_page`: there is no text on the page that large letters could advertise.
    """
    letters = sum(character.isalpha() for line in lines for character in line)
    digits = sum(character.isdigit() for line in lines for character in line)
    most_lines, most = (_MAX_TITLE_LINES, _MAX_TITLE) if title_page else (_MAX_LINES, _MAX_CHARACTERS)
    if len(lines) > most_lines or letters < _MIN_LETTERS or sum(map(len, lines)) > most:
        return None
    if any(map(has_signs, lines)):
        return None
    if size >= _HEADING:
        # A number in large type is what a chart or a form shows.
        return None if digits >= letters else 1 if size >= _TITLE else _LARGE_LEVEL
    if lines[-1][-1] in _NO_HEADING_ENDS:
        return None
    if bold:
        number = _SECTION.match(lines[0])
        return _BOLD_LEVEL if number is None else min(_LARGE_LEVEL + number[0].count("."), _MAX_LEVEL)
    return section_level(" ".join(lines)) if alone else None


def section_level(text: str) -> int | None:
    """The level of a section by its number, or by a name that many have; None where it has neither."""
    name, _, rest = text.casefold().partition(" ")
    if text.casefold() in _SECTIONS or (name in _SECTIONS and _AND.match(rest)):
        return _LARGE_LEVEL
    number = _NUMBERED.match(text)
    if number is None or len(text) > _MAX_NUMBERED or text[-1] in _NO_HEADING_ENDS or _YEAR.search(text):
        return None
    solid = "".join(text.split()[1:])
    if sum(map(str.isalpha, solid)) < _MIN_LETTER_SHARE * len(solid):
        return None
    if decimal := number["decimal"]:
        return min(_LARGE_LEVEL + decimal.rstrip(".").count("."), _MAX_LEVEL)
    return _ROMAN_LEVEL if number["roman"] else _LETTER_LEVEL


def is_caption(text: str) -> bool:
    """Whether the paragraph with this text is a caption."""
    return len(text) <= _MAX_CAPTION and _CAPTION.match(text) is not None


def is_large(size: float) -> bool:
    """Whether text of this size is a heading by its size alone."""
    return size >= _HEADING


def is_small(size: float) -> bool:
    """Whether text of this size may be that of footnotes."""
    return size <= _MAX_NOTE


def begins_note(text: str) -> bool:
    """Whether the text begins with the mark of a footnote."""
    return _NOTE_MARK.match(text) is not None
