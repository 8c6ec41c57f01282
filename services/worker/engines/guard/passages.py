"""Passages of a text that a second reading of the page does not have: what a model invents between what is printed.

A sentence too many hardly changes how far two readings of a page agree by their words. So each place of the text is
looked for by itself: whether its next letters stand anywhere in the other reading. Letters that a recogniser mistakes
are spread over the page; an invention is a run of letters of which none is known. The order of blocks does not matter.
"""

from itertools import accumulate

from services.worker.engines.guard.agreement import grams, letters

#: Letters of a passage, some eight words. In a shorter one a few mistaken words decide.
PASSAGE = 48


def lowest_support(text: str, other: str) -> float | None:
    """The share of places with letters that `other` has too, in the passage of `text` where it is lowest.

    From 0, an invention, to 1. None for a text that is shorter than a passage.
    """
    ours, known = grams(letters(text)), frozenset(grams(letters(other)))
    if len(ours) < PASSAGE:
        return None
    # How many places are supported before each place.
    before = list(accumulate((gram in known for gram in ours), initial=0))
    return min(end - start for start, end in zip(before, before[PASSAGE:], strict=False)) / PASSAGE
