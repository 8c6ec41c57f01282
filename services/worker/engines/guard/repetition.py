"""Loops: a generative model that has lost its way writes the same few words until it is cut off.

A loop is a period of at most 64 units (tokens, or pieces of text), six times over, for at least 200 units. Pages
repeat themselves honestly too, so what bears no word has to go on for longer: rows of empty table cells, dots that lead
to a page number, columns of zeros.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

MAX_PERIOD = 64
TIMES = 6
WORDS_UNITS, NUMBERS_UNITS, EMPTY_UNITS = 200, 600, 2000
"""For how many units a period may be repeated that holds a letter, a digit but no letter, or neither."""

# Tags, also those that the period's ends cut in two; entities; commands of LaTeX. None of it is a word on the page.
_MARKUP = re.compile(r"^[^<>]*>|<[^<>]{0,200}>|<[^<>]*$|&#?\w{1,10};|\\[A-Za-z]+")
# About a token each. Scripts without spaces make long words, and rules are long rows of dashes.
_UNITS = re.compile(r"<[^<>]{1,60}>|\w{1,4}|([^\w\s])\1{0,3}")


def ends_in_loop(units: Sequence[T], text_of: Callable[[Sequence[T]], str]) -> bool:
    """Whether the units so far end in a loop. Meant to be asked every few units: without a loop it is a quick no.

    `text_of` gives the text of some units; it is asked only where the end repeats itself.
    """
    tail = list(units[-(EMPTY_UNITS + MAX_PERIOD) :])
    last, honest = tail[-1:], list[int]()
    for period in range(1, min(MAX_PERIOD, len(tail) // TIMES) + 1):
        # What repeats every two units also does every four, with the same text and the same verdict.
        if [tail[-1 - period]] != last or any(period % shorter == 0 for shorter in honest):
            continue
        if not _repeats(tail, period, WORDS_UNITS):
            continue
        if _repeats(tail, period, _patience(text_of(tail[-3 * period :]))):
            return True
        honest.append(period)
    return False


def has_loop(text: str) -> bool:
    """Whether a whole answer loops anywhere, counted in words and punctuation marks: somewhat fewer than tokens."""
    units = [found.group() for found in _UNITS.finditer(text)]
    if len(units) < WORDS_UNITS:
        return False
    numbers = np.unique(np.array(units), return_inverse=True)[1]
    for period in range(1, MAX_PERIOD + 1):
        unlike = np.flatnonzero(numbers[period:] != numbers[:-period])
        ends = np.append(unlike, len(units) - period)
        runs = np.diff(ends, prepend=-1) - 1  # each is of as many units that equal the one a period before
        for at in np.flatnonzero(runs + period >= _least(period, WORDS_UNITS)):
            end, run = int(ends[at]), int(runs[at])
            sample = "".join(units[end - 2 * period : end + period])
            if run + period >= _least(period, _patience(sample)):
                return True
    return False


def _repeats(tail: list[T], period: int, units: int) -> bool:
    """Whether the last units repeat a period of this length for at least so many units."""
    equal = _least(period, units) - period
    return len(tail) >= equal + period and tail[-equal:] == tail[-equal - period : -period]


def _least(period: int, units: int) -> int:
    return max(TIMES * period, units)


def _patience(text: str) -> int:
    """For how many units this text, some periods long, may go on."""
    words = _MARKUP.sub("", text)
    if any(c.isalpha() for c in words):
        return WORDS_UNITS
    return NUMBERS_UNITS if any(c.isdigit() for c in words) else EMPTY_UNITS
