"""Large initials begin the first of the rows beside them."""

import pytest

from libs.page.block import Line
from libs.page.markdown import to_markdown
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose


def line(text: str, left: float, top: float, width: float, height: float = 20.0) -> Line:
    right, bottom = left + width, top + height
    return Line(text=text, box=((left, top), (right, top), (right, bottom), (left, bottom)))


def markdown(*lines: Line) -> str:
    return to_markdown(lay_out(PageLines(pose=Pose(width=800, height=2000), lines=lines)))


def beside(*texts: str) -> list[Line]:
    return [line(text, 120, 300 + 26 * i, 630) for i, text in enumerate(texts)]


BELOW = [line("some words that run to the margin of the page", 50, 378 + 26 * i, 700) for i in range(6)]


@pytest.mark.parametrize("first", ["nce upon a time there was", "NCE UPON A TIME THERE WAS"])
def test_initial_is_the_first_letter_of_the_first_row(first: str) -> None:
    lines = beside(first, "a king who had three sons, of", "whom the second was a fool, and")
    assert markdown(line("O", 50, 302, 60, 70), *lines, *BELOW).startswith(f"O{first}\na king who had")


@pytest.mark.parametrize(
    ("text", "width", "height"),
    [
        ("5", 60, 70),  # a number
        ("One", 60, 70),
        ("O", 20, 22),  # as high as the text
    ],
)
def test_what_is_no_initial_stays_a_word(text: str, width: float, height: float) -> None:
    lines = beside("nce upon a time there was", "a king who had three sons, of", "whom the second was a fool, and")
    assert f"{text}nce" not in markdown(line(text, 50, 302, width, height), *lines, *BELOW)
