"""A line that was found twice is kept once; lines that only touch are all kept."""

from hypothesis import given
from hypothesis import strategies as st

from libs.page.block import Line
from services.worker.engines.lines.repeats import distinct


def line(text: str, left: float, top: float, width: float, height: float = 20.0) -> Line:
    right, bottom = left + width, top + height
    return Line(text=text, box=((left, top), (right, top), (right, bottom), (left, bottom)), confidence=1.0)


def test_line_and_a_second_box_on_a_part_of_it_are_one_line() -> None:
    whole, part = line("The roofs of Paris", 100, 100, 300), line("roofs  of", 150, 102, 100)
    assert distinct([part, whole]) == (whole,)
    assert distinct([whole, part]) == (whole,)


def test_line_found_twice_is_kept_once() -> None:
    first, second = line("ROOFS OF", 100, 100, 200), line("Roofs of", 98, 101, 198)
    assert distinct([first, second]) == (first,)


def test_other_words_in_the_same_place_are_kept() -> None:
    lines = [line("The roofs of Paris", 100, 100, 300), line("91", 150, 110, 20)]
    assert distinct(lines) == tuple(lines)


def test_the_same_words_in_two_places_are_kept() -> None:
    lines = [line("Total", 100, 100, 60), line("Total", 100, 118, 60), line("Total", 155, 100, 60)]
    assert distinct(lines) == tuple(lines)
    assert distinct([]) == ()


@given(st.lists(st.builds(line, st.sampled_from(["a", "ab", "b", "c"]), *[st.integers(0, 60)] * 2, st.integers(5, 60))))
def test_no_word_is_lost(lines: list[Line]) -> None:
    kept = distinct(lines)
    assert {letter for one in kept for letter in one.text} == {letter for one in lines for letter in one.text}
    assert bool(kept) == bool(lines)
