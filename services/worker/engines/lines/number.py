"""Texts that are numbers, as tables have them."""

import re

# With signs, marks of currency and percent, separators, brackets.
_NUMBER = re.compile(r"[\s(+\-–−±<>~$€£¥%]*\d[\d\s.,:/'’%$€£¥)*\-–]*")
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
# What stands for a number that cannot be given.
_MISSING = re.compile(r"[*.\-–—]+")


def is_number(text: str) -> bool:
    """Whether the text is a number; a year is one."""
    return _NUMBER.fullmatch(text) is not None


def is_figure(text: str) -> bool:
    """Whether the text is a number but no year, which may name a column."""
    return is_number(text) and _YEAR.fullmatch(text) is None


def stands_for_number(text: str) -> bool:
    """Whether the text is a number, or the sign that none can be given."""
    return is_number(text) or _MISSING.fullmatch(text) is not None
