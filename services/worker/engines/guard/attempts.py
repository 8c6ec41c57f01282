"""The policy of attempts at a page: how many, and how each differs from the one before. Pure, and model-independent.

A model that fails on a page tends to fail again on the same pixels. So each attempt after a failure shows the page a
little smaller, and later ones sample at a higher temperature. A repetition penalty is no remedy: it damages tables.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from services.worker.engines.transcriber import Sampling

#: Tokens allowed in the first attempt. Chosen: hardly a page has more, and a model that never ends costs no more.
FIRST_TOKENS = 4096

# Chosen: rising temperature as olmOCR's pipeline retries. `scale` multiplies the page's sides; it stays below 1, since
# an enlarged page could exceed the model's limits. `max_tokens` is filled in by `next_try`.
_RETRIES = (
    Sampling(max_tokens=0, temperature=0.0, scale=0.95, seed=1),
    Sampling(max_tokens=0, temperature=0.2, scale=0.9, seed=2),
    Sampling(max_tokens=0, temperature=0.5, scale=0.97, seed=3),
)


class Verdict(StrEnum):
    """The result of an attempt."""

    STOP = "stop"  #: the model ended by itself: its text counts
    LENGTH = "length"  #: the model was cut off at `max_tokens`
    LOOP = "loop"  #: the model repeated itself
    EMPTY = "empty"  #: the model wrote nothing, though the page is not blank
    REFUSED = "refused"  #: the model cannot read this page at all


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt that has ended."""

    sampling: Sampling
    verdict: Verdict


def next_try(tried: Sequence[Attempt], *, max_tokens: int, coolest: float = 0.0) -> Sampling | None:
    """The sampling of the next attempt after `tried`; None where the page is read or another attempt is useless.

    `coolest` is the temperature of the first attempt, and the lowest of the others.

    A page that was cut off at fewer than `max_tokens` is read once more with the same sampling and `max_tokens`. A page
    that the model finds empty twice is not tried again.
    """
    few = min(FIRST_TOKENS, max_tokens)
    if not tried:
        return Sampling(max_tokens=few, temperature=coolest)
    last = tried[-1]
    if last.verdict in (Verdict.STOP, Verdict.REFUSED):
        return None
    if last.verdict is Verdict.LENGTH and last.sampling.max_tokens < max_tokens:
        return msgspec.structs.replace(last.sampling, max_tokens=max_tokens)
    if [attempt.verdict for attempt in tried].count(Verdict.EMPTY) > 1:
        return None
    seeds = {attempt.sampling.seed for attempt in tried}
    retry = next((retry for retry in _RETRIES if retry.seed not in seeds), None)
    return retry and msgspec.structs.replace(
        retry, max_tokens=max(few, last.sampling.max_tokens), temperature=max(coolest, retry.temperature)
    )
