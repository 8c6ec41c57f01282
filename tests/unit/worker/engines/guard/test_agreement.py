"""Agreement of two texts: full for the same text, near none for an invented one, in between where a part is missing."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.engines.guard.agreement import (
    agreement,
    is_evidence,
    knows_letters,
    letter_agreement,
    number_agreement_with_ocr,
)
from tests.transcripts import CHINESE, INVENTED, PAGE

OTHER_CHINESE = "那是十一月的一个沉闷的夜晚，我看到了自己辛勤劳动的成果，心中充满了焦虑与痛苦。"

texts = st.text(max_size=300)


@given(text=texts)
def test_a_text_agrees_fully_with_itself(text: str) -> None:
    assert agreement(text, text) == 1.0


@given(one=texts, other=texts)
def test_agreement_is_mutual_and_within_bounds(one: str, other: str) -> None:
    assert 0 <= agreement(one, other) == agreement(other, one) <= 1


@given(seed=st.integers())
def test_the_order_of_words_does_not_matter(seed: int) -> None:
    shuffled = PAGE.split()
    random.Random(seed).shuffle(shuffled)
    assert agreement(" ".join(shuffled), PAGE) == 1.0


@pytest.mark.parametrize(("page", "other"), [(PAGE, INVENTED), (CHINESE, OTHER_CHINESE)], ids=["latin", "dense"])
def test_an_invented_page_hardly_agrees(page: str, other: str) -> None:
    assert agreement(other, page) < 0.15


@pytest.mark.parametrize("page", [PAGE, CHINESE], ids=["latin", "dense"])
def test_a_missing_half_shows_and_so_does_one_added(page: str) -> None:
    half = page[: len(page) // 2]
    assert 0.5 < agreement(half, page) < 0.75
    assert 0.5 < agreement(page, half) < 0.75


@given(gone=st.integers(0, 9))
def test_the_more_is_missing_the_less_the_agreement(gone: int) -> None:
    kept = PAGE.split()
    tenth = len(kept) // 10
    figures = [agreement(" ".join(kept[: len(kept) - n * tenth]), PAGE) for n in range(gone + 1)]
    assert figures == sorted(figures, reverse=True)


@pytest.mark.parametrize(
    ("written", "layer"),
    [
        ("# Annual **Report**\n\n| Year | Total |\n|---|---|\n| 2030 | 5 |", "Annual Report Year Total 2030 5"),
        ("<table><tr><td>Annual</td><td>Report</td></tr></table>", "Annual Report"),
        ("H<sub>2</sub>O and $x_{1}^2$", "H2O and x12"),
        ("the whole agreement", "the whole agree-\nment"),
        ("a well-known AGREEMENT", "a well-known agreement"),
        ("office file", "o\ufb03ce \ufb01le"),
        ("Text <img>A picture of a dog on a lawn</img> ends", "Text ends"),
        ("Text ![A dog](dog.png) ends", "Text ends"),
        ("R&amp;D costs", "R&D costs"),
        (r"$\textbf{costs} = \frac{1}{2}$", "costs = 1 2"),
        ("<!-- page 3 --> costs", "costs"),
        ("Ｆｕｌｌ width", "Full width"),
        ("soft\u00adhyphen", "softhyphen"),
    ],
)
def test_marks_and_spelling_of_characters_do_not_matter(written: str, layer: str) -> None:
    assert agreement(written, layer) == 1.0


def test_a_real_layer_is_evidence() -> None:
    assert is_evidence(PAGE)
    assert is_evidence(CHINESE)
    assert is_evidence("Übergrößenträger für Äpfel: Straße, Brücke, Hügel, Flüsse, Wälder, Täler und Höhen.")


@pytest.mark.parametrize(
    "layer",
    [
        "",
        "Page 3",
        PAGE.replace("a", "\ufffd"),
        PAGE.replace("e", "\ue012"),
        PAGE.replace("t", "\x05"),
        "".join(chr(ord(c) + 3) if "a" <= c <= "z" else c for c in PAGE.lower()),
        "!\"#$ %&'( )*+, -./: ;<=> ?@[\\ ]^_` {|}~ " * 20 + "one two three four five six seven eight nine",
    ],
    ids=["none", "few", "replaced", "private", "control", "shifted", "symbols"],
)
def test_a_broken_layer_is_no_evidence(layer: str) -> None:
    assert not is_evidence(layer)


SUMS = "In 1993: 12.50, 3.99, 88.10, 1,250, 17, 2031, 44 and 7.5 of all."


def test_a_recogniser_may_leave_numbers_out_and_join_what_is_spaced_out() -> None:
    assert number_agreement_with_ocr(SUMS.replace("1993", "1 9 9 3"), SUMS) == 1.0
    assert number_agreement_with_ocr(SUMS, SUMS.replace("12.50, ", "")) == 1.0


def test_another_number_is_one_whatever_else_is_missing() -> None:
    changed = SUMS.replace("88.10", "86.10").replace("2031", "2081")
    assert number_agreement_with_ocr(changed, SUMS) == pytest.approx(7 / 9)
    assert number_agreement_with_ocr(SUMS.replace("12.50", "1250"), SUMS) == pytest.approx(8 / 9)


def test_a_reading_with_few_numbers_is_no_evidence() -> None:
    assert number_agreement_with_ocr(SUMS, "Of 1993 and 17 nothing else was read.") is None
    assert number_agreement_with_ocr(SUMS * 3, SUMS) is None


def test_a_mistaken_letter_changes_fewer_runs_of_letters_than_words() -> None:
    misread = PAGE.replace("headquarters", "headquartcrs").replace("Management", "Managcment")
    assert 0.9 < letter_agreement(PAGE, misread) < 1
    assert letter_agreement(PAGE, INVENTED) < 0.3


def test_letters_that_a_recogniser_knows_none_of_are_noticed() -> None:
    greek = "\u1f10\u03bd \u1f00\u03c1\u03c7\u1fc7 \u1f26\u03bd \u1f41 \u03bb\u03cc\u03b3\u03bf\u03c2"
    assert not knows_letters(greek, "\u03bd \u03c1\u03c7 \u03bd \u03bb\u03b3\u03bf\u03c2")
    assert knows_letters(PAGE, PAGE.lower())
