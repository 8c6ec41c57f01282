"""List items: bullets, and numbers or letters that count up; what only looks like one is none."""

import pytest

from libs.page.block import BlockKind, Line
from libs.page.markdown import to_markdown
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.lines.line_box import level
from services.worker.engines.lines.listing import items
from services.worker.engines.lines.order import rows
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose

UNIT = 20.0


def lines(*texts: tuple[float, str]) -> tuple[Line, ...]:
    """A line below the other, each with its left edge, 10 pixels a character."""
    found = []
    for at, (left, text) in enumerate(texts):
        top, right = 100 + 26.0 * at, left + 10 * len(text)
        box = ((left, top), (right, top), (right, top + UNIT), (left, top + UNIT))
        found.append(Line(text=text, box=box))
    return tuple(found)


def markers(*texts: tuple[float, str]) -> list[tuple[int, str, int]]:
    found = items(rows(level(lines(*texts))), UNIT)
    return [(at, item.marker, item.level) for at, item in found.items()]


@pytest.mark.parametrize(
    ("texts", "marks"),
    [
        (["1. One", "2. Two"], ["1.", "2."]),
        (["9) Nine", "10) Ten"], ["9)", "10)"]),
        (["(a) First", "(b) Second"], ["(a)", "(b)"]),
        (["[7] Smith", "[8] Jones"], ["[7]", "[8]"]),
        (["i. One", "ii. Two", "iii. Three", "iv. Four"], ["i.", "ii.", "iii.", "iv."]),
        (["1 Smith", "2 Jones", "3 Miller"], ["1", "2", "3"]),
        (["• One", "• Two"], ["•", "•"]),
        (["▪ alone"], ["▪"]),
    ],
)
def test_items_are_marked_as_lists_are(texts: list[str], marks: list[str]) -> None:
    assert [marker for _, marker, _ in markers(*((50, text) for text in texts))] == marks


@pytest.mark.parametrize(
    "texts",
    [
        ["1. alone"],
        ["1. One", "3. Three"],
        ["1 Smith", "2 Jones"],  # without a sign behind them, two numbers say little
        ["in the year", "1999. It was the year before", "2000. Another"],
        ["a man", "b flat", "c sharp"],
        ["1.5 metres", "2.5 metres"],
        ["•"],
    ],
)
def test_what_does_not_count_up_is_no_list(texts: list[str]) -> None:
    assert markers(*((50, text) for text in texts)) == []


def test_several_dashes_at_one_place_are_a_list() -> None:
    found = markers(
        (50, "To read a page, say"), (70, "- that it is one, and"), (90, "of which document"), (70, "- when")
    )
    assert found == [(1, "-", 1), (3, "-", 1)]


def test_dash_that_is_alone_or_that_of_a_dialogue_is_no_list() -> None:
    assert markers((70, "- that it is one, and"), (90, "of which document")) == []
    dialogue = ((70, "- It is late, said the one of"), (50, "the two."), (70, "- It is, said the other."))
    assert markers(*dialogue) == []


def test_numbers_in_a_sentence_that_fills_its_lines_are_no_list() -> None:
    sentence = (
        (50, "sensitivity equals the local one. Since the"),
        (50, "i) noise in one is proportional to the first,"),
        (50, "ii) noise in the other is so to the second,"),
        (50, "and both are equal"),
    )
    assert markers(*sentence) == []
    assert [mark for _, mark, _ in markers(sentence[0], (50, "Said:"), *sentence[1:])] == ["i)", "ii)"]


def test_numbers_in_different_places_are_no_list() -> None:
    assert markers((50, "1. One"), (400, "2. Two")) == []


def test_indented_items_are_of_a_list_in_the_list() -> None:
    found = markers(
        (50, "1. One"), (90, "a. in it"), (90, "b. as well"), (50, "2. Two"), (90, "a. again"), (90, "b. so")
    )
    assert [level for _, _, level in found] == [1, 2, 2, 1, 2, 2]


def test_lines_of_an_item_stay_with_it_and_what_begins_left_of_it_does_not() -> None:
    page = PageLines(
        pose=Pose(width=1000, height=1400),
        lines=lines(
            (50, "A text that runs up to the margin of the page, to say what follows"),
            (80, "1. an item that is longer than a line, so that the rest of it is"),
            (110, "set below its text"),
            (80, "2. another"),
            (50, "and the text goes on as if nothing had happened, up to the margin"),
        ),
    )
    found = lay_out(page)
    assert [(block.kind, block.marker, block.text.count("\n")) for block in found] == [
        (BlockKind.PARAGRAPH, "", 0),
        (BlockKind.LIST_ITEM, "1.", 1),
        (BlockKind.LIST_ITEM, "2.", 0),
        (BlockKind.PARAGRAPH, "", 0),
    ]
    assert (
        "\n\n1. an item that is longer than a line, so that the rest of it is\n  set below its text\n\n2. another"
        in (to_markdown(found))
    )


def test_check_boxes_say_whether_they_are_ticked() -> None:
    page = PageLines(
        pose=Pose(width=1000, height=1400),
        lines=lines((50, "☐ a plain box"), (50, "☒ a ticked box"), (50, "☐ Yes ☐ No")),
    )
    found = [(block.kind, block.checked, block.text) for block in lay_out(page)]
    assert found == [
        (BlockKind.CHECK_BOX, False, "a plain box"),
        (BlockKind.CHECK_BOX, True, "a ticked box"),
        (BlockKind.PARAGRAPH, None, "☐ Yes ☐ No"),
    ]
