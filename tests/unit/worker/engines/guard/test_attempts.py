"""The policy of attempts: bounded, never the same twice, and many tokens only where few were not enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.engines.guard.attempts import FIRST_TOKENS, Attempt, Verdict, next_try
from services.worker.engines.transcriber import Sampling

BAD = [Verdict.LENGTH, Verdict.LOOP, Verdict.EMPTY]
limits = st.integers(1, 20_000)


def samplings(verdicts: list[Verdict], max_tokens: int) -> list[Sampling]:
    """The samplings of a page whose attempts end in these verdicts."""
    tried: list[Attempt] = []
    for verdict in verdicts:
        sampling = next_try(tried, max_tokens=max_tokens)
        if sampling is None:
            break
        tried.append(Attempt(sampling=sampling, verdict=verdict))
    return [attempt.sampling for attempt in tried]


@given(verdicts=st.lists(st.sampled_from(BAD), min_size=9, max_size=9), max_tokens=limits)
def test_a_page_is_given_up_after_at_most_five_tries_no_two_of_them_alike(
    verdicts: list[Verdict], max_tokens: int
) -> None:
    tries = samplings(verdicts, max_tokens)
    assert 2 <= len(tries) <= 5
    assert len(set(map(repr, tries))) == len(tries)


@given(verdicts=st.lists(st.sampled_from(BAD), min_size=9, max_size=9), max_tokens=limits)
def test_temperature_and_tokens_never_fall_and_no_page_is_shown_larger(
    verdicts: list[Verdict], max_tokens: int
) -> None:
    tries = samplings(verdicts, max_tokens)
    assert tries[0] == Sampling(max_tokens=min(FIRST_TOKENS, max_tokens))
    assert [t.temperature for t in tries] == sorted(t.temperature for t in tries)
    assert [t.max_tokens for t in tries] == sorted(t.max_tokens for t in tries)
    assert all(0.85 <= t.scale <= 1 and t.max_tokens <= max_tokens for t in tries)


@given(verdicts=st.lists(st.sampled_from(BAD), min_size=9, max_size=9), max_tokens=limits)
def test_many_tokens_are_allowed_only_after_few_were_not_enough(verdicts: list[Verdict], max_tokens: int) -> None:
    tries = samplings(verdicts, max_tokens)
    longer = next((n for n, t in enumerate(tries) if t.max_tokens > FIRST_TOKENS), None)
    if longer is None:
        assert max_tokens <= FIRST_TOKENS or Verdict.LENGTH not in verdicts[: len(tries) - 1]
    else:
        assert verdicts[longer - 1] is Verdict.LENGTH
        assert tries[longer].scale == tries[longer - 1].scale
        assert tries[longer].temperature == tries[longer - 1].temperature


@given(verdicts=st.lists(st.sampled_from(BAD), max_size=3), max_tokens=limits)
@pytest.mark.parametrize("end", [Verdict.STOP, Verdict.REFUSED])
def test_nothing_is_tried_after_an_answer_that_counts(end: Verdict, verdicts: list[Verdict], max_tokens: int) -> None:
    tries = samplings([*verdicts, end, Verdict.LOOP], max_tokens)
    assert len(tries) <= len(verdicts) + 1


def test_a_page_cut_off_is_read_at_full_length_then_smaller_and_less_greedily() -> None:
    tries = samplings([Verdict.LENGTH] * 9, 8192)
    assert [t.max_tokens for t in tries] == [4096, 8192, 8192, 8192, 8192]
    assert [t.temperature for t in tries] == [0, 0, 0, 0.2, 0.5]
    assert len({t.scale for t in tries}) == 4
    assert [t.seed for t in tries] == [0, 0, 1, 2, 3]


def test_a_page_that_loops_is_never_read_at_full_length() -> None:
    tries = samplings([Verdict.LOOP] * 9, 8192)
    assert [(t.max_tokens, t.temperature) for t in tries] == [(4096, 0), (4096, 0), (4096, 0.2), (4096, 0.5)]


def test_a_page_found_empty_is_looked_at_once_more() -> None:
    assert len(samplings([Verdict.EMPTY] * 9, 8192)) == 2
