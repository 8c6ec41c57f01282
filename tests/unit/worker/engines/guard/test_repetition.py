"""Loops of a generative model: found soon after they reach the threshold, and never on a page that only repeats."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.engines.guard.repetition import (
    COUNTING_UNITS,
    EMPTY_UNITS,
    LONG_TIMES,
    MAX_PERIOD,
    NUMBERS_UNITS,
    SHORT_PERIOD,
    TIMES,
    WORDS_UNITS,
    ends_in_loop,
    has_loop,
)

EVERY = 16  # units between two calls, as an engine makes them
LETTERS = "abcdefghijklmnopqrstuvwxyz"
PROSE = [f"{a}{b}{c}{d}" for a in "bdfg" for b in "aeiou" for c in "klmnprst" for d in "aeiou"]


def joined(units: Sequence[str]) -> str:
    return "".join(units)


def stopped_at(units: Sequence[str]) -> int | None:
    """Units after which an engine that looks every few units stops."""
    return next((n for n in range(EVERY, len(units) + EVERY, EVERY) if ends_in_loop(units[:n], joined)), None)


def threshold(period: int, least: int = WORDS_UNITS) -> int:
    return max((TIMES if period <= SHORT_PERIOD else LONG_TIMES) * period, least)


def words_of(length: int, seed: int) -> list[str]:
    """Some words, each once."""
    return random.Random(seed).sample(PROSE, length)


lengths = st.one_of(st.integers(1, SHORT_PERIOD), st.integers(1, MAX_PERIOD))
periods = st.builds(words_of, lengths, st.integers())


@given(before=st.lists(st.sampled_from(PROSE), max_size=300), period=periods)
def test_a_loop_is_found_as_soon_as_it_reaches_the_threshold(before: list[str], period: list[str]) -> None:
    units = before + (period * WORDS_UNITS)[: threshold(len(period))]
    assert ends_in_loop(units, joined)
    assert ends_in_loop(list(range(9)) + [PROSE.index(u) + 10 for u in units], lambda ids: PROSE[ids[0] - 10])


@given(before=st.lists(st.sampled_from(PROSE), max_size=100), period=periods)
def test_an_engine_that_looks_every_few_units_stops_soon_after(before: list[str], period: list[str]) -> None:
    units = before + (period * WORDS_UNITS)[: threshold(len(period)) + EVERY]
    assert stopped_at(units) is not None


@given(period=periods)
def test_one_unit_short_of_the_threshold_is_no_loop(period: list[str]) -> None:
    units = (period * WORDS_UNITS)[: threshold(len(period)) - 1]
    assert not ends_in_loop(units, joined)
    assert not has_loop(" ".join(units))


@given(length=st.integers(0, 3000), seed=st.integers())
def test_text_that_does_not_repeat_itself_never_loops(length: int, seed: int) -> None:
    # Real pages repeat words, but hardly four in a row.
    words = random.Random(seed).choices(PROSE, k=length)
    for n in range(0, length + 1, EVERY):
        assert not ends_in_loop(words[:n], joined)
    assert not has_loop(" ".join(words))


@given(units=st.lists(st.sampled_from("ab|. 0"), max_size=WORDS_UNITS - 1))
def test_less_than_the_least_is_never_a_loop(units: list[str]) -> None:
    assert not ends_in_loop(units, joined)
    assert not has_loop("".join(units))


@given(length=st.integers(MAX_PERIOD + 1, MAX_PERIOD + 90), seed=st.integers())
def test_a_period_that_is_too_long_is_no_loop(length: int, seed: int) -> None:
    period = words_of(length, seed)
    assert not ends_in_loop(period * 6, joined)
    assert not has_loop(" ".join(period * 6))


REAL_PAGES = {
    "pipes": ["|", "  ", "|", "  ", "|", "\n"],
    "cells": ["<td", ">", "</", "td", ">", "\n"],
    "rows": ["<tr>", "<td>", "</td>", "<td>", "</td>", "</tr>"],
    "cut tags": ["td", "></", "td", "><"],
    "dots": ["....", "...."],
    "spaced dots": [" .", " ."],
    "rules": ["|", "---", "|", "---"],
    "underscores": ["____", "____"],
    "nbsp": ["<td>", "&nbsp;", "</td>"],
    "quads": ["\\quad", " "],
    "boxes": ["☐", " "],
}


@pytest.mark.parametrize("units", REAL_PAGES.values(), ids=REAL_PAGES)
def test_empty_cells_and_dots_may_go_on_for_long(units: list[str]) -> None:
    long = (units * EMPTY_UNITS)[:EMPTY_UNITS]
    assert stopped_at(long[:-1]) is None
    assert not has_loop(joined(long[: EMPTY_UNITS // 4]))
    assert ends_in_loop(long, joined)


@pytest.mark.parametrize("period", [1, 2, 3])
def test_rows_of_empty_cells_have_their_text_read_once_a_look(period: int) -> None:
    asked: list[Sequence[str]] = []

    def text_of(units: Sequence[str]) -> str:
        asked.append(units)
        return joined(units)

    assert not ends_in_loop(["|", "  ", "."][:period] * 300, text_of)
    assert len(asked) == 1


@pytest.mark.parametrize("units", [["|", " 0", ".", "00", " "], ["<td>", "0", "</td>"]], ids=["pipes", "cells"])
def test_columns_of_zeros_may_go_on_for_a_while(units: list[str]) -> None:
    long = (units * NUMBERS_UNITS)[:NUMBERS_UNITS]
    assert stopped_at(long[:-1]) is None
    assert not has_loop(joined(long[: NUMBERS_UNITS // 2]))
    assert ends_in_loop(long, joined)


@pytest.mark.parametrize(
    "text",
    ["the same again, ", "a < b ", "x > y ", "無限", "нет ", "Table 1\n"],
    ids=["words", "less", "more", "cjk", "cyrillic", "caption"],
)
def test_words_between_marks_are_words(text: str) -> None:
    units = [text[at : at + 3] for at in range(0, len(text), 3)]
    assert ends_in_loop((units * WORDS_UNITS)[: threshold(len(units))], joined)


@given(before=st.integers(0, 400), period=periods, after=st.integers(0, 400), seed=st.integers())
def test_a_whole_answer_with_a_loop_anywhere_is_known(before: int, period: list[str], after: int, seed: int) -> None:
    words = random.Random(seed)
    looped = (period * WORDS_UNITS)[: threshold(len(period))]
    text = words.choices(PROSE, k=before) + looped + words.choices(PROSE, k=after)
    assert has_loop(" ".join(text))


def test_a_page_of_a_table_with_numbered_rows_is_no_loop() -> None:
    rows = [f"| {n} | No | No | n/a | 0.00 |" for n in range(120)]
    assert not has_loop("\n".join(rows))
    assert not ends_in_loop("\n".join(rows), joined)


YES = ["<td", ">", "Yes", "</", "td", ">", "\n"]


@pytest.mark.parametrize("cells", [64, 100])
def test_cells_that_all_say_yes_are_a_table(cells: int) -> None:
    assert stopped_at(YES * cells) is None
    assert not has_loop(joined(YES * cells))


def test_cells_that_never_end_are_a_loop_whatever_they_say() -> None:
    assert stopped_at(YES * EMPTY_UNITS) is not None
    assert has_loop(joined(YES * EMPTY_UNITS))


def test_rows_of_twelve_cells_that_repeat_are_a_loop() -> None:
    row = ["<tr", ">"]
    for cell in range(12):
        row += ["<td", ">", PROSE[cell], PROSE[cell + 20], "</", "td", ">"]
    assert len(row) > SHORT_PERIOD
    assert stopped_at(row * 40) is not None
    assert has_loop(joined(row * 40))


@pytest.mark.parametrize("step", [1, 10, -1])
def test_a_list_that_only_counts_is_a_loop(step: int) -> None:
    items = [f"{5000 + n * step}. The committee adopted the proposal of the chairman.\n" for n in range(200)]
    assert has_loop("".join(items))
    assert not has_loop("".join(items[: COUNTING_UNITS // 40]))


def test_a_table_of_numbers_is_no_loop() -> None:
    rows = random.Random(1)
    for head in ("", "Item ", "The total of the year "):
        table = [f"| {head}{2000 + n} | {rows.randint(0, 9999)} | {rows.random():.2f} |\n" for n in range(150)]
        assert not has_loop("".join(table))
        assert not ends_in_loop("".join(table), joined)


def test_a_calendar_and_a_timetable_are_no_loops() -> None:
    assert not has_loop(" ".join(str(day) for day in range(1, 400)))
    assert not has_loop("\n".join(f"| {hour:02}:10 | {hour:02}:25 | {hour:02}:40 |" for hour in range(100)))
