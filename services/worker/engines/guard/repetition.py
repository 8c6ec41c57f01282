"""Loops: a generative model may repeat the same few words until it is cut off.

A loop is a period of at most 64 units (tokens, or pieces of text about as long), repeated at least six times and over
at least 200 units. Real pages repeat too, so a period without words must go on for longer: rows of empty table cells,
dot leaders of a table of contents, columns of zeros.
"""

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")

# Chosen, not measured on a model: higher values let loops waste more tokens before they end, lower ones stop real
# tables. A loop found too early costs the page another attempt.

#: Units in the longest period that is searched for.
MAX_PERIOD = 64
#: Repetitions from which a period counts as a loop.
TIMES = 6
#: Units over which a period must repeat to be a loop: one with a letter, with a digit but no letter, or with neither.
WORDS_UNITS, NUMBERS_UNITS, EMPTY_UNITS = 200, 600, 2000

# Tags, whole or cut by the period's ends, entities and LaTeX commands: no words of the page.
_MARKUP = re.compile(r"^[^<>]*>|<[^<>]{0,200}>|<[^<>]*$|&#?\w{1,10};|\\[A-Za-z]+")
# Pieces of about a token. Words are cut every four letters, since scripts without spaces make long ones; rows of one
# mark (rules, dots) likewise.
_UNITS = re.compile(r"<[^<>]{1,60}>|\w{1,4}|([^\w\s])\1{0,3}")


def ends_in_loop(units: Sequence[T], text_of: Callable[[Sequence[T]], str]) -> bool:
    """Whether the units so far end in a loop. Cheap without one, so it can be called every few units.

    `text_of` returns the text of some units; it is called only where the end repeats.
    """
    tail = list(units[-(EMPTY_UNITS + MAX_PERIOD) :])
    last, allowed = tail[-1:], list[int]()
    for period in range(1, min(MAX_PERIOD, len(tail) // TIMES) + 1):
        # A multiple of a period that is allowed repeats the same text: the verdict would be the same, at the same cost.
        if [tail[-1 - period]] != last or any(period % shorter == 0 for shorter in allowed):
            continue
        if not _repeats(tail, period, WORDS_UNITS):
            continue
        if _repeats(tail, period, _min_units(text_of(tail[-3 * period :]))):
            return True
        allowed.append(period)
    return False


def has_loop(text: str) -> bool:
    """Whether a whole answer loops anywhere. Units are pieces of text, somewhat fewer than tokens."""
    units = [found.group() for found in _UNITS.finditer(text)]
    if len(units) < WORDS_UNITS:
        return False
    numbers = np.unique(np.array(units), return_inverse=True)[1]
    for period in range(1, MAX_PERIOD + 1):
        changes = np.flatnonzero(numbers[period:] != numbers[:-period])
        ends = np.append(changes, len(units) - period)
        runs = np.diff(ends, prepend=-1) - 1  # lengths of the runs of units that each equal the unit one period before
        for at in np.flatnonzero(runs + period >= _min_length(period, WORDS_UNITS)):
            end, run = int(ends[at]), int(runs[at])
            sample = "".join(units[end - 2 * period : end + period])
            if run + period >= _min_length(period, _min_units(sample)):
                return True
    return False


def _repeats(tail: list[T], period: int, units: int) -> bool:
    """Whether the last `units` units, or more, repeat a period of this length."""
    equal = _min_length(period, units) - period
    return len(tail) >= equal + period and tail[-equal:] == tail[-equal - period : -period]


def _min_length(period: int, units: int) -> int:
    return max(TIMES * period, units)


def _min_units(text: str) -> int:
    """Units over which a period must repeat to be a loop, by its text (some periods long)."""
    words = _MARKUP.sub("", text)
    if any(c.isalpha() for c in words):
        return WORDS_UNITS
    return NUMBERS_UNITS if any(c.isdigit() for c in words) else EMPTY_UNITS
