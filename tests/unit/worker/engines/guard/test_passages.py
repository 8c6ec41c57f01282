"""Passages that a second reading does not have: found wherever they stand, and not taken for mistaken letters."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.page.trust import LOW_PASSAGE
from services.worker.engines.guard.passages import PASSAGE, lowest_support
from tests.transcripts import INVENTED, PAGE

SENTENCE = "Further details of the arrangement have never been made public by the parties."


def support(text: str, other: str) -> float:
    found = lowest_support(text, other)
    assert found is not None
    return found


def misread(text: str, share: float, seed: int) -> str:
    """The text as a recogniser with this share of wrong letters reads it."""
    chance = random.Random(seed)
    return "".join(chance.choice("abcdefghij") if c.isalpha() and chance.random() < share else c for c in text)


@given(at=st.integers(0, len(PAGE)))
def test_a_sentence_that_is_not_on_the_page_is_found_wherever_it_stands(at: int) -> None:
    assert support(PAGE[:at] + SENTENCE + PAGE[at:], PAGE) < LOW_PASSAGE


@given(seed=st.integers(0, 1000))
def test_letters_that_are_mistaken_here_and_there_are_no_invention(seed: int) -> None:
    assert support(PAGE, misread(PAGE, 0.03, seed)) > LOW_PASSAGE


def test_the_order_of_blocks_does_not_matter() -> None:
    first, second = PAGE.split(". ", 1)
    assert support(PAGE, f"{second} {first}") > 0.9


def test_a_text_of_another_page_has_no_support() -> None:
    assert support(INVENTED, PAGE) < 0.05


def test_markup_and_descriptions_of_pictures_are_no_text_of_the_page() -> None:
    written = "# " + PAGE.replace("index", "<b>index</b>") + f"\n\n<img>{INVENTED}</img>"
    assert support(written, PAGE) > 0.8


@pytest.mark.parametrize("text", ["", "A few words only.", "a" * (PASSAGE + 3)])
def test_a_text_shorter_than_a_passage_says_nothing(text: str) -> None:
    assert lowest_support(text, PAGE) is None
