"""From the rows of a region to blocks: where headings begin and end, and what only looks like one."""

from libs.page.block import Block, BlockKind, Line
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose

PROSE = "some words that run to the margin of the page"


def line(text: str, left: float, top: float, width: float, height: float = 20.0) -> Line:
    right, bottom = left + width, top + height
    return Line(text=text, box=((left, top), (right, top), (right, bottom), (left, bottom)))


def prose(top: float, count: int) -> list[Line]:
    return [line(PROSE, 50, top + 26 * i, 700) for i in range(count)]


def laid_out(lines: list[Line], bold: frozenset[int] = frozenset()) -> list[Block]:
    return list(lay_out(PageLines(pose=Pose(width=800, height=2000), lines=tuple(lines), bold=bold)))


def headings(lines: list[Line], bold: frozenset[int] = frozenset()) -> list[tuple[int | None, str]]:
    kinds = (BlockKind.TITLE, BlockKind.HEADING)
    return [(block.level, block.text) for block in laid_out(lines, bold) if block.kind in kinds]


def test_paragraphs_of_one_line_each_are_apart_although_most_steps_are_wide() -> None:
    lines = [*prose(300, 4), *(line(f"Point {i} was adopted.", 50, 432 + 60 * i, 300) for i in range(6))]
    assert [block.text for block in laid_out(lines)][1:] == [f"Point {i} was adopted." for i in range(6)]


def test_bold_line_with_a_number_above_its_text_is_a_heading_and_no_item() -> None:
    lines = [
        line("1. Opening", 50, 300, 200),
        line("It was opened at four.", 50, 355, 300),
        line("2. Questions", 50, 440, 200),
        line("There were none.", 50, 495, 300),
        *prose(580, 4),
    ]
    assert headings(lines, frozenset({0, 2})) == [(2, "1. Opening"), (2, "2. Questions")]


def test_heading_above_a_smaller_one_at_another_place_is_one_of_its_own() -> None:
    below = [line("some words of a column", 250, 320 + 26 * i, 500) for i in range(12)]
    lines = [line("Storage", 50, 200, 150, 46), line("The small disk", 250, 250, 200, 40), *below]
    assert [text for _, text in headings(lines)] == ["Storage", "The small disk"]


def test_lines_of_one_heading_that_begin_at_one_place_stay_together() -> None:
    lines = [line("A title that is longer", 50, 200, 400, 44), line("than a line", 50, 250, 200, 40), *prose(320, 12)]
    assert [text for _, text in headings(lines)] == ["A title that is longer\nthan a line"]


def test_section_number_and_space_above_make_a_heading_of_the_size_of_the_text() -> None:
    lines = [*prose(300, 8), line("IV. Results", 330, 540, 140), *prose(570, 8)]
    assert headings(lines) == [(2, "IV. Results")]
    without_space = [*prose(300, 8), line("IV. Results", 330, 508, 140), *prose(534, 8)]
    assert headings(without_space) == []


def test_heading_with_a_number_that_goes_on_in_the_next_line_stays_whole() -> None:
    large = [line("9. Withholding From", 50, 200, 400, 40), line("Employees' Wages", 50, 250, 350, 40), *prose(320, 12)]
    assert headings(large) == [(1, "9. Withholding From\nEmployees' Wages")]
    small = [*prose(300, 8), line("IV. Results that are long", 50, 540, 650), line("and go on", 50, 566, 90)]
    assert headings([*small, *prose(620, 8)]) == [(2, "IV. Results that are long\nand go on")]


def test_caption_in_bold_is_no_heading() -> None:
    lines = [*prose(300, 8), line("Table 2: Reactions", 50, 540, 300), *prose(600, 8)]
    found = laid_out(lines, frozenset({8}))
    assert [block.kind for block in found] == [BlockKind.PARAGRAPH, BlockKind.CAPTION, BlockKind.PARAGRAPH]


def test_title_that_is_most_of_its_page_is_a_heading_of_many_lines() -> None:
    title = [line("A long title of a report on water", 50, 200 + 50 * i, 600, 40) for i in range(5)]
    lines = [*title, line("By A. Smith and B. Jones", 50, 520, 400, 28), line("Open report 97", 50, 640, 200, 24)]
    assert [text.count("\n") for _, text in headings(lines)] == [4]


def test_sum_in_large_type_is_no_heading() -> None:
    lines = [line("Revenue", 50, 200, 300, 30), line("17,81,841 crore", 50, 240, 300, 44), *prose(320, 12)]
    assert headings(lines) == [(2, "Revenue")]
