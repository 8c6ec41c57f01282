"""How often a page is tried, and how differently each time: pure policy, apart from any model.

A model that goes wrong on a page tends to go wrong again on the same pixels, so each try after a bad one shows the page
a little smaller, and later ones are less greedy. Repetition penalties are no remedy: they damage tables.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from services.worker.engines.transcriber import Sampling

FIRST_TOKENS = 4096
"""Hardly a page has more, and a model that runs on without an end costs no more than this at first."""

# Scales are those of the page's sides. A smaller page than the usual one is never too large for the model.
_RETRIES = (
    Sampling(max_tokens=0, temperature=0.0, scale=0.95, seed=1),
    Sampling(max_tokens=0, temperature=0.2, scale=0.9, seed=2),
    Sampling(max_tokens=0, temperature=0.5, scale=0.97, seed=3),
)


class Verdict(StrEnum):
    """What became of a try."""

    STOP = "stop"  # the model came to the page's end: its text counts
    LENGTH = "length"  # it was cut off at the most tokens it may write
    LOOP = "loop"  # it repeated itself
    EMPTY = "empty"  # it wrote nothing, though something is on the page
    REFUSED = "refused"  # it cannot read this page at all


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """A try that has ended."""

    sampling: Sampling
    verdict: Verdict


def next_try(tried: Sequence[Attempt], *, max_tokens: int) -> Sampling | None:
    """How to read the page next, after these tries; None where another would be in vain or is not needed.

    `max_tokens` are allowed only after a page was cut off with fewer; then the same try goes on with them. A page that
    the model twice finds nothing on is not asked for again.
    """
    few = min(FIRST_TOKENS, max_tokens)
    if not tried:
        return Sampling(max_tokens=few)
    last = tried[-1]
    if last.verdict in (Verdict.STOP, Verdict.REFUSED):
        return None
    if last.verdict is Verdict.LENGTH and last.sampling.max_tokens < max_tokens:
        return msgspec.structs.replace(last.sampling, max_tokens=max_tokens)
    if [attempt.verdict for attempt in tried].count(Verdict.EMPTY) > 1:
        return None
    seeds = {attempt.sampling.seed for attempt in tried}
    retry = next((retry for retry in _RETRIES if retry.seed not in seeds), None)
    return retry and msgspec.structs.replace(retry, max_tokens=max(few, last.sampling.max_tokens))
