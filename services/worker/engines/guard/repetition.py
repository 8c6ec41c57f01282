"""Loops: a generative model may repeat the same few words until it is cut off.

A loop is a period of units (tokens, or pieces of text about as long) that is repeated several times and over at least
200 units of words. Real pages repeat too, so a period with little or no text in it must go on for longer: rows of empty
table cells, dot leaders of a table of contents, columns of zeros or of "Yes".

A model may also count while it repeats itself: "Item 7, Item 8, ...". With its numbers masked such a text repeats; so
does a table of numbers. It is a loop only where each number is one of a series with a constant step, and it must go on
for longer.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

# Chosen, not measured on a model: higher values let loops waste more tokens before they end, lower ones stop real
# tables. A loop found too early costs the page another attempt.

#: Units in the longest period that is searched for: a row of 12 cells has some 75, a paragraph 200.
MAX_PERIOD = 512
#: Units in the longest period that has to repeat `TIMES`; a longer one repeats by chance less often: `LONG_TIMES`.
SHORT_PERIOD = 64
#: Repetitions from which a period counts as a loop.
TIMES, LONG_TIMES = 6, 4
#: Units over which a period must repeat to be a loop: one with a letter, with a digit but no letter, or with neither.
WORDS_UNITS, NUMBERS_UNITS, EMPTY_UNITS = 200, 600, 2000
#: The same of a period that counts and is all letters; divided by the square of their share where there are others: the
#: rows of a table may be numbered, and otherwise say "No" in every column.
COUNTING_UNITS = 600

# Units at the end of a text that are looked at.
_SEARCHED = max(EMPTY_UNITS + MAX_PERIOD, LONG_TIMES * MAX_PERIOD)
# Tags, whole or cut by the period's ends, entities and LaTeX commands: no words of the page.
_MARKUP = re.compile(r"^[^<>]*>|<[^<>]{0,200}>|<[^<>]*$|&#?\w{1,10};|\\[A-Za-z]+")
# Pieces of about a token. Words are cut every four letters, since scripts without spaces make long ones; rows of one
# mark (rules, dots) likewise.
_UNITS = re.compile(r"<[^<>]{1,60}>|\w{1,4}|([^\w\s])\1{0,3}")
# The same with each number as one unit.
_COUNTED_UNITS = re.compile(r"<[^<>]{1,60}>|\d+|[^\W\d]{1,4}|([^\w\s])\1{0,3}")
# Units by which a place is compared with others, before longer pieces are.
_GRAM = 8
# Digits of a number that is compared with others; it bounds the work.
_MAX_DIGITS = 15


def ends_in_loop(units: Sequence[T], text_of: Callable[[Sequence[T]], str]) -> bool:
    """Whether the units so far end in a loop. Cheap without one, so it can be called every few units.

    `text_of` returns the text of some units; it is called only where the end repeats.
    """
    # The last unit first, so that each comparison is of two slices.
    recent = list(units[-_SEARCHED:])[::-1]
    allowed: list[int] = []
    for period in _periods(recent):
        # A multiple of a period that is allowed repeats the same text: the verdict would be the same, at the same cost.
        if any(period % shorter == 0 for shorter in allowed) or not _repeats(recent, period, WORDS_UNITS):
            continue
        sample = text_of(recent[: 3 * period][::-1])
        if _repeats(recent, period, _min_units(sample)):
            return True
        allowed.append(period)
    return False


def _periods(recent: list[T]) -> list[int]:
    """The distances at which the last units stand before, the shortest first."""
    found: list[int] = []
    longest = min(MAX_PERIOD, len(recent) // LONG_TIMES)
    at = 0
    while True:
        try:
            at = recent.index(recent[0], at + 1, longest + 1)
        except (ValueError, IndexError):
            return found
        if recent[:_GRAM] == recent[at : at + _GRAM]:
            found.append(at)


def has_loop(text: str) -> bool:
    """Whether a whole answer loops anywhere. Units are pieces of text, somewhat fewer than tokens."""
    return _has_plain_loop(text) or _has_counting_loop(text)


def _has_plain_loop(text: str) -> bool:
    units = [found.group() for found in _UNITS.finditer(text)]
    for period, start, end in _runs(units):
        if end - start >= _min_length(period, _min_units("".join(units[end - 3 * period : end]))):
            return True
    return False


def _has_counting_loop(text: str) -> bool:
    units = [found.group() for found in _COUNTED_UNITS.finditer(text)]
    masked = ["0" if unit.isdigit() else unit for unit in units]
    for period, start, end in _runs(masked):
        sample = "".join(masked[end - 3 * period : end])
        letters = sum(map(str.isalpha, _MARKUP.sub("", sample)))
        enough = letters and end - start >= COUNTING_UNITS * (len(sample) / letters) ** 2
        if enough and _counts(units[start:end], period):
            return True
    return False


def _counts(units: Sequence[str], period: int) -> bool:
    """Whether each number of the period goes on by the same step from one repetition to the next."""
    for place in range(period):
        if not units[place].isdigit():
            continue
        series = [int(unit[:_MAX_DIGITS]) for unit in units[place::period]]
        if len({after - before for before, after in pairwise(series)}) > 1:
            return False
    return True


def _runs(units: Sequence[str]) -> list[tuple[int, int, int]]:
    """Where units repeat a period for long enough to be a loop of words: the period, and the run's start and end."""
    if len(units) < WORDS_UNITS:
        return []
    numbers: npt.NDArray[np.int64] = np.unique(np.array(units), return_inverse=True)[1]
    found = []
    for period in _candidates(numbers):
        changes = np.flatnonzero(numbers[period:] != numbers[:-period])
        ends = np.append(changes, len(units) - period)
        runs = np.diff(ends, prepend=-1) - 1  # lengths of the runs of units that each equal the unit one period before
        for at in np.flatnonzero(runs + period >= _min_length(period, WORDS_UNITS)):
            end = int(ends[at]) + period
            found.append((period, end - int(runs[at]) - period, end))
    return found


def _candidates(numbers: npt.NDArray[np.int64]) -> list[int]:
    """The periods that the units may repeat: distances at which runs of `_GRAM` units stand again several times.

    Looked for at once, since looks at all periods together cost milliseconds. In each repetition of a period that is
    no multiple of a shorter one, some such run stands for the first time since the repetition before.
    """
    places = len(numbers) - _GRAM + 1
    grams = np.zeros(places, dtype=np.uint64)
    for offset in range(_GRAM):
        # A hash with wrap-around; its factor is that of Knuth's linear congruential generator.
        grams = (
            grams * np.uint64(6364136223846793005) + numbers[offset : offset + places].astype(np.uint64) + np.uint64(1)
        )
    order = np.argsort(grams, kind="stable")
    again = grams[order[1:]] == grams[order[:-1]]
    distances = (order[1:] - order[:-1])[again]
    periods, counts = np.unique(distances[distances <= MAX_PERIOD], return_counts=True)
    return [int(period) for period in periods[counts >= LONG_TIMES - 1]]


def _repeats(recent: list[T], period: int, units: int) -> bool:
    """Whether the last `units` units, or more, repeat a period of this length; the last unit comes first."""
    equal = _min_length(period, units) - period
    return len(recent) >= equal + period and recent[:equal] == recent[period : period + equal]


def _min_length(period: int, units: int) -> int:
    return max((TIMES if period <= SHORT_PERIOD else LONG_TIMES) * period, units)


def _min_units(sample: str) -> int:
    """Units over which a period must repeat to be a loop, by the text of some of it.

    Of cells that all say "Yes" most is markup: they have to repeat for longer, as real tables do.
    """
    words = "".join(_MARKUP.sub("", sample).split())
    if any(c.isalpha() for c in words):
        sample = "".join(sample.split())
        is_text = 2 * len(words) >= len(sample)
        return WORDS_UNITS if is_text else min(EMPTY_UNITS, WORDS_UNITS * len(sample) // len(words))
    return NUMBERS_UNITS if any(c.isdigit() for c in words) else EMPTY_UNITS
