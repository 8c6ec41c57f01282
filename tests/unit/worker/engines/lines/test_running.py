"""Running heads and feet without a number, by the signs that tell them from text."""

import pytest

from libs.page.block import Block, BlockKind, Line, Rect
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose

HEIGHT, WIDTH = 2000, 800
RUNNING = {BlockKind.PAGE_HEADER, BlockKind.PAGE_FOOTER, BlockKind.PAGE_NUMBER}


def line(text: str, left: float, top: float, width: float, height: float = 20.0) -> Line:
    right, bottom = left + width, top + height
    return Line(text=text, box=((left, top), (right, top), (right, bottom), (left, bottom)))


def text(count: int = 50) -> list[Line]:
    return [line("some words that run to the margin of the page", 50, 300 + 26 * i, 700) for i in range(count)]


def running(*others: Line, rules: tuple[Rect, ...] = (), body: list[Line] | None = None) -> list[tuple[BlockKind, str]]:
    lines = (*(text() if body is None else body), *others)
    page: tuple[Block, ...] = lay_out(PageLines(pose=Pose(width=WIDTH, height=HEIGHT), lines=lines, rules=rules))
    return [(block.kind, block.text) for block in page if block.kind in RUNNING]


def test_small_lines_far_from_the_text_in_the_outer_margin_are_running_heads_and_feet() -> None:
    found = running(line("Downloaded from a site", 50, 60, 300), line("www.example.org", 50, 1900, 200))
    assert found == [
        (BlockKind.PAGE_HEADER, "Downloaded from a site"),
        (BlockKind.PAGE_FOOTER, "www.example.org"),
    ]


def test_lines_that_only_together_stand_apart_are_taken_together() -> None:
    found = running(
        line("Downloaded from a site", 50, 40, 300), line("In Action", 50, 66, 120), line("447", 710, 66, 40)
    )
    assert [text for _, text in found] == ["Downloaded from a site", "In Action", "447"]


def test_left_middle_and_right_text_of_one_row_are_a_running_foot() -> None:
    found = running(
        line("Revision: 2.4", 50, 1790, 130), line("P/N 119-036", 345, 1790, 110), line("10 June 2019", 630, 1790, 120)
    )
    assert found == [(BlockKind.PAGE_FOOTER, "Revision: 2.4 P/N 119-036 10 June 2019")]


def test_row_across_the_page_with_a_number_needs_less_space_where_boxes_reach_over_their_lines() -> None:
    body = [line("some words that run to the margin of the page", 50, 200 + 26 * i, 700, 34) for i in range(50)]
    head = [line("400", 50, 160, 40), line("HUSBANDRY.", 345, 160, 110), line("[Ch. XIX.", 650, 160, 100)]
    assert [text for _, text in running(*head, body=body)] == ["400", "HUSBANDRY. [Ch. XIX."]
    assert running(head[0], head[2], body=body) == []


def test_space_of_a_running_foot_is_measured_to_the_text_not_to_the_page_number_above_it() -> None:
    found = running(line("199", 710, 1850, 40), line("Published by a press", 50, 1890, 250))
    assert [text for _, text in found] == ["199", "Published by a press"]


def test_line_below_a_rule_that_is_as_wide_as_the_text_is_a_running_foot_wherever_the_text_ends() -> None:
    foot = line("author@example.org", 50, 1690, 200)
    assert running(foot) == []
    assert running(foot, rules=((50, 1640, 750, 1641),)) == [(BlockKind.PAGE_FOOTER, "author@example.org")]


def test_page_number_between_two_texts_is_a_block_of_its_own() -> None:
    found = running(line("A Journal", 50, 1900, 130), line("12", 390, 1900, 20), line("May 1999", 650, 1900, 100))
    assert found == [
        (BlockKind.PAGE_FOOTER, "A Journal"),
        (BlockKind.PAGE_NUMBER, "12"),
        (BlockKind.PAGE_FOOTER, "May 1999"),
    ]


def test_rule_below_the_first_line_makes_it_a_running_head() -> None:
    head = line("OPEN ACCESS", 50, 90, 200)
    body = [*text(), line("A title in large letters", 50, 140, 500, 40)]
    assert running(head, body=body) == []
    assert running(head, body=body, rules=((50, 120, 750, 121),)) == [(BlockKind.PAGE_HEADER, "OPEN ACCESS")]


def test_line_that_runs_up_the_margin_is_a_running_head() -> None:
    stamp = Line(text="arXiv:1234.5678 [cs.CL] 1 Jan 2020", box=((20, 900), (20, 300), (36, 300), (36, 900)))
    assert running(stamp) == [(BlockKind.PAGE_HEADER, stamp.text)]


def test_number_alone_in_the_middle_below_all_text_is_a_page_number_wherever_the_text_ends() -> None:
    assert running(line("62", 390, 1660, 20)) == [(BlockKind.PAGE_NUMBER, "62")]


@pytest.mark.parametrize("number", ["v", "－15 －"])
def test_forms_of_page_numbers_that_are_rare(number: str) -> None:
    assert running(line(number, 385, 1900, 30)) == [(BlockKind.PAGE_NUMBER, number)]


def test_what_a_browser_prints_at_the_edges_is_a_running_head_and_foot_however_near_the_text_is() -> None:
    body = [line("some words that run to the margin of the page", 50, 60 + 26 * i, 700) for i in range(70)]
    found = running(
        line("A page of the web", 50, 16, 200, 14), line("site.example/a (1 of 3)", 50, 1960, 300), body=body
    )
    assert found == [
        (BlockKind.PAGE_HEADER, "A page of the web"),
        (BlockKind.PAGE_FOOTER, "site.example/a (1 of 3)"),
    ]


def test_number_far_below_a_table_is_a_page_number_although_a_figure_of_the_table_ends_above_it() -> None:
    cells = [line(t, x, 300 + 30 * i, 80) for i in range(40) for t, x in (("Ann", 50), (f"{40 + i}", 360), ("x", 670))]
    assert running(line("22", 390, 1900, 30), body=[*text(2), *cells]) == [(BlockKind.PAGE_NUMBER, "22")]


def test_number_in_a_corner_beyond_all_text_is_a_page_number_of_a_slide() -> None:
    slide = [line(f"Point {i}", 100, 300 + 200 * i, 300) for i in range(5)]
    assert running(line("7", 760, 1940, 12), body=slide) == [(BlockKind.PAGE_NUMBER, "7")]
    assert running(line("7", 100, 1940, 12), body=slide) == []


def test_title_of_a_table_at_the_top_of_the_page_is_no_running_head() -> None:
    cells = [line(text, left, 130 + 30 * i, 60) for i in range(4) for text, left in (("name", 50), (f"{i}.5", 690))]
    rules = tuple((50.0, y, 750.0, y + 1) for y in (125.0, 155.0, 250.0))
    assert running(line("Results of the year", 50, 95, 200), body=[*cells, *text()], rules=rules[1:]) == []
    assert running(line("Table 3: Results", 50, 95, 200), body=[*cells, *text()], rules=rules) == []


def test_number_in_a_corner_is_a_page_number_although_other_text_is_in_its_row() -> None:
    slide = [line(f"Point {i}", 100, 300 + 200 * i, 300) for i in range(5)]
    assert running(line("A Company", 60, 1900, 200), line("7", 760, 1900, 12), body=slide) == [
        (BlockKind.PAGE_NUMBER, "7")
    ]


def test_row_of_a_bill_is_no_running_foot() -> None:
    assert (
        running(line("12-01", 50, 1900, 50), line("A payment", 345, 1900, 110), line("14.000,00", 650, 1900, 100)) == []
    )


def test_space_of_a_row_across_the_page_is_measured_in_the_steps_of_the_text_beside_it() -> None:
    titles = [line(f"In large letters {i}", 50, 200 + 90 * i, 500) for i in range(12)]
    notes = [line("a note of several lines in small print " * 2, 50, 1600 + 24 * i, 700) for i in range(6)]
    foot = [line("Revision: 2.4", 50, 1764, 130), line("P/N 119", 345, 1764, 110), line("June 2019", 630, 1764, 120)]
    assert running(*foot, body=[*titles, *notes]) == [(BlockKind.PAGE_FOOTER, "Revision: 2.4 P/N 119 June 2019")]


@pytest.mark.parametrize(
    "stray",
    [
        line("Dear Sir or Madam", 50, 240, 200),  # apart, but not in the margin
        line("A title", 50, 60, 200, 40),
        line("and so it ends.", 50, 1600 + 26, 200),  # the last line of the text
        line("62", 50, 1660, 20),  # at the left
        line("Total 1,250.00", 50, 1790, 200),
        line("a line of text that is as long as a line of text can be, and so no running head " * 2, 50, 60, 700),
    ],
)
def test_what_has_no_sign_stays_in_the_text(stray: Line) -> None:
    assert running(stray) == []


LETTER = [line("some words that run to the margin of the page", 50, 300 + 26 * i, 700) for i in range(56)]


@pytest.mark.parametrize(
    ("stray", "body"),
    [
        # The signature of a letter, below what closes it.
        ([line("Jane Smith", 50, 1900, 110)], [*LETTER, line("Yours sincerely,", 50, 1782, 170)]),
        # The imprint of a title page, its year, and what stands at the top of a poster.
        ([line("LONDON", 345, 1880, 110)], [line("OF THE HARBOUR", 250, 300 + 60 * i, 300) for i in range(12)]),
        ([line("1851", 380, 1880, 40)], [line("OF THE HARBOUR", 250, 300 + 60 * i, 300) for i in range(12)]),
        ([line("The club presents", 250, 60, 300)], [line("a band", 350, 300 + 60 * i, 100) for i in range(12)]),
        # The last line of a receipt: thanks, and a sum without a point.
        ([line("Thank you", 345, 1900, 110)], [line("Coffee", 50, 300 + 40 * i, 90) for i in range(30)]),
        (
            [line("Total", 50, 1900, 60), line("1250", 690, 1900, 60)],
            [line(t, x, 900 + 40 * i, 60) for i in range(24) for t, x in (("Coffee", 50), (f"{400 + i}", 690))],
        ),
        # A heading with its number, in one box and in two; items, in two boxes and in one.
        ([line("2 RELATED WORK", 50, 254, 200)], text()),
        ([line("CHAPTER 4", 350, 254, 100)], text()),
        ([line("3.", 50, 150, 20), line("Results of the year", 90, 150, 200)], text()),
        (
            [line("7.", 50, 200, 20), line("the last of the things", 130, 200, 300)],
            [*(line(f"{8 + i}. another thing", 52, 260 + 60 * i, 300) for i in range(4)), *text()[10:]],
        ),
        # Names of the columns of a table, and the row of its end.
        (
            [line("Name", 50, 150, 60), line("Town", 370, 150, 60), line("Trade", 690, 150, 60)],
            [line(t, x, 220 + 30 * i, 60) for i in range(50) for t, x in (("Ann", 50), ("Rome", 370), ("Smith", 690))],
        ),
    ],
    ids=lambda lines: lines[0].text,
)
def test_what_may_as_well_be_text_stays_in_it(stray: list[Line], body: list[Line]) -> None:
    assert running(*stray, body=body) == []


def test_label_of_an_axis_beside_the_text_is_no_running_head() -> None:
    label = Line(text="Ships in 1851", box=((80, 900), (80, 700), (96, 700), (96, 900)))
    body = [line("some words that run to the margin of the page", 120, 300 + 26 * i, 630) for i in range(50)]
    assert running(label, body=body) == []


def test_number_below_a_few_lines_that_stands_far_from_the_corner_is_no_page_number() -> None:
    note = [line(word, 100, 300 + 200 * i, 80) for i, word in enumerate(("Apples", "Pears", "Plums", "Figs", "In all"))]
    assert running(line("12", 300, 1940, 30), body=note) == []
