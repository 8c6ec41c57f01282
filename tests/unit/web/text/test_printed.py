"""Printed lines found again in the text that was made from them."""

from hypothesis import example, given
from hypothesis import strategies as st

from libs.page.block import Block, BlockKind, Line
from services.web.text.printed import parts_of
from services.worker.engines.lines import hyphen

WORDS = st.text("ab-\u00ad1.é&<", min_size=1, max_size=6)
LINES = st.lists(st.lists(WORDS, min_size=1, max_size=5).map(" ".join), min_size=1, max_size=6)


def block(text: str, *lines: str) -> Block:
    box = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))
    return Block(kind=BlockKind.PARAGRAPH, text=text, lines=tuple(Line(text=line, box=box) for line in lines))


def test_each_line_is_the_part_that_it_was_printed_as() -> None:
    assert parts_of(block("one two\nthree", "one two", "three")) == [(0, "one two\n"), (1, "three")]


def test_lines_that_stand_side_by_side_share_a_line_of_the_text() -> None:
    assert parts_of(block("Total 12.00\nend", "Total", "12.00", "end")) == [(0, "Total "), (1, "12.00\n"), (2, "end")]


def test_a_divided_word_belongs_to_both_of_its_lines() -> None:
    assert parts_of(block("a transformed\nend", "a trans-", "formed end")) == [(0, "a trans"), (1, "formed\nend")]


def test_a_marker_that_the_text_leaves_out_is_no_part_of_it() -> None:
    assert parts_of(block("first\nsecond", "(1) first", "second")) == [(0, "first\n"), (1, "second")]
    assert parts_of(block("text", "•", "text")) == [(1, "text")]


def test_text_that_is_not_made_of_the_lines_is_one_part() -> None:
    assert parts_of(block("another text", "some text")) == [(None, "another text")]
    assert parts_of(block("no lines")) == [(None, "no lines")]
    assert parts_of(block("", "lost")) == [(None, "")]


@given(LINES)
@example(["-", "a"])
def test_no_character_of_the_text_is_lost_whatever_the_lines(lines: list[str]) -> None:
    text = "\n".join(hyphen.join(lines, hyphen.words_of(lines)))
    parts = parts_of(block(text, *lines))
    assert "".join(part.text for part in parts) == text
    known = [part.line for part in parts if part.line is not None]
    assert known == sorted(set(known))
