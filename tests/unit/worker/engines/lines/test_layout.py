"""From lines to blocks: paragraphs, headings, lists, tables, and nothing lost."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.accuracy import plain_text
from libs.page.block import Block, BlockKind, Line
from libs.page.markdown import MarkdownOptions, to_markdown
from services.worker.engines.lines.hyphen import DIVIDERS, HYPHENS
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose


def line(text: str, left: float, top: float, width: float, height: float = 20.0) -> Line:
    right, bottom = left + width, top + height
    return Line(text=text, box=((left, top), (right, top), (right, bottom), (left, bottom)), confidence=1.0)


def blocks(lines: list[Line]) -> tuple[Block, ...]:
    return lay_out(PageLines(pose=Pose(width=4000, height=4000), lines=tuple(lines)))


def markdown(lines: list[Line]) -> str:
    return to_markdown(blocks(lines))


def prose(top: float, count: int, left: float = 50) -> list[Line]:
    return [line("some words that run to the margin of the page", left, top + 26 * i, 700) for i in range(count)]


def test_wider_leading_parts_paragraphs() -> None:
    assert markdown(prose(0, 3) + prose(120, 3)).count("\n\n") == 1


def test_indented_first_line_begins_a_paragraph() -> None:
    lines = [*prose(0, 3), line("Indented it begins", 90, 78, 660), *prose(104, 3)]
    first, second = markdown(lines).split("\n\n")
    assert first.count("\n") == 2
    assert second.startswith("Indented it begins\n")


def test_larger_lines_are_headings_and_ordinary_ones_are_not() -> None:
    lines = [
        line("The title", 50, 0, 400, 50),
        *prose(100, 5),
        line("A section", 50, 260, 300, 30),
        *prose(320, 5),
    ]
    text = markdown(lines)
    assert text.startswith("# The title\n\nsome words")
    assert "\n\n## A section\n\n" in text
    assert text.count("#") == 3


def test_two_centred_lines_of_a_title_are_one_heading() -> None:
    lines = [
        line("On the reading of the pages", 100, 0, 600, 50),
        line("of old books", 250, 62, 300, 50),
        *prose(160, 6),
    ]
    assert markdown(lines).startswith("# On the reading of the pages of old books\n\nsome words")


def test_page_of_a_few_lines_has_no_headings() -> None:
    assert "#" not in markdown([line("Large", 0, 0, 300, 60), line("and small", 0, 90, 200, 20)])


def test_bullets_become_list_items() -> None:
    lines = [line("• first", 50, 0, 400), line("goes on", 70, 26, 300), line("• second", 50, 52, 400)]
    assert markdown(lines) == "- first\n  goes on\n\n- second"


def test_cells_that_stand_in_columns_become_an_html_table() -> None:
    lines = []
    for i, (name, price) in enumerate([("Tea", "1.20"), ("Coffee", "2.40"), ("Milk & <honey>", "3.00")]):
        lines += [line(name, 50, 40 * i, 150), line(price, 400, 40 * i, 60)]
    assert markdown(lines) == (
        "<table>\n<tr><td>Tea</td><td>1.20</td></tr>\n<tr><td>Coffee</td><td>2.40</td></tr>\n"
        "<tr><td>Milk &amp; &lt;honey&gt;</td><td>3.00</td></tr>\n</table>"
    )


def test_empty_cell_of_a_table_stays_empty() -> None:
    lines = []
    for i in range(4):
        lines += [line(f"row{i}", 50, 40 * i, 60), line(f"{i}.00", 400, 40 * i, 60)]
        if i != 2:
            lines.append(line("note", 600, 40 * i, 60))
    assert "<tr><td>row2</td><td>2.00</td><td></td></tr>" in markdown(lines)


def test_two_rows_are_no_table() -> None:
    lines = [line("a", 0, 0, 20), line("b", 300, 0, 20), line("c", 0, 40, 20), line("d", 300, 40, 20)]
    assert "<table>" not in markdown(lines)


words = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="\x85\xa0\xad"), min_size=1)
texts = st.lists(words, min_size=1, max_size=6).map(" ".join).filter(lambda t: t == " ".join(t.split()))
placed = st.builds(line, texts, st.floats(0, 1500), st.floats(0, 2000), st.floats(10, 900), st.floats(10, 70))


@settings(max_examples=200, deadline=None)
@given(st.lists(placed, max_size=30))
def test_every_character_that_goes_in_comes_out_once(lines: list[Line]) -> None:
    # But for hyphens at the ends of lines, which join or part words.
    before = Counter(character for one in lines for character in one.text)
    after = Counter(plain_text(to_markdown(blocks(lines), MarkdownOptions(headers=True))))
    for character in f"\n {HYPHENS}{DIVIDERS}":
        del before[character], after[character]
    assert after == before


def test_heading_across_columns_of_a_table_is_one_wide_cell() -> None:
    lines = []
    for i in range(6):
        if i == 3:
            lines += [line("Fruit", 50, 120, 60), line("all prices as of today, in pounds", 300, 120, 350)]
            continue
        lines += [line(f"row{i}", 50, 40 * i, 60), line("1.00", 300, 40 * i, 60), line("2.00", 600, 40 * i, 60)]
    row = '<tr><td>Fruit</td><td colspan="2">all prices as of today, in pounds</td></tr>'
    assert row in markdown(lines)


def test_large_initial_makes_no_heading() -> None:
    lines = [line("O", 50, 100, 50, 60), line("nce upon a time there was", 110, 100, 640), *prose(126, 6)]
    assert "#" not in markdown(lines)


def test_heading_below_a_table_whose_number_stands_apart_is_no_row_of_it() -> None:
    lines = []
    for i in range(4):
        lines += [line(f"a long label {i}", 50, 40 * i, 300), line("1.00", 600, 40 * i, 60)]
    lines += [line("4.2", 50, 160, 40), line("Results", 110, 160, 120)]
    assert markdown(lines).endswith("</table>\n\n### 4.2 Results")


def test_block_has_its_lines_and_the_rectangle_around_them() -> None:
    (block,) = blocks(prose(100, 2))
    assert (block.kind, block.text.count("\n")) == (BlockKind.PARAGRAPH, 1)
    assert block.box == (50, 100, 750, 146)
    assert block.lines == tuple(prose(100, 2))
    assert block.confidence == 1.0


def test_cell_has_the_rectangle_around_its_lines() -> None:
    lines = [line(text, left, 40 * i, 60) for i in range(3) for text, left in ((f"row{i}", 50), ("1.00", 300))]
    (table,) = blocks(lines)
    assert table.kind is BlockKind.TABLE
    assert [(cell.row, cell.column, cell.box) for cell in table.cells[2:4]] == [
        (1, 0, (50, 40, 110, 60)),
        (1, 1, (300, 40, 360, 60)),
    ]
    assert table.lines == tuple(lines)


def test_boxes_of_a_turned_page_are_those_of_the_stored_page() -> None:
    page = PageLines(pose=Pose(width=1000, height=2000, rotation=90), lines=(line("on its side", 100, 50, 400),))
    (block,) = lay_out(page)
    assert block.box == (50, 1500, 70, 1900)
    assert block.lines[0].box == ((50, 1900), (50, 1500), (70, 1500), (70, 1900))


@settings(max_examples=100, deadline=None)
@given(st.lists(placed, max_size=30))
def test_every_line_is_in_one_block(lines: list[Line]) -> None:
    after = [one.text for block in blocks(lines) for one in block.lines]
    assert sorted(after) == sorted(one.text for one in lines)


def test_word_that_a_line_divides_is_whole_in_the_text_and_divided_in_the_lines() -> None:
    lines = [line("a paragraph that divides the exam-", 50, 0, 700), line("ple which it gives", 50, 26, 400)]
    (block,) = blocks(lines)
    assert block.text == "a paragraph that divides the example\nwhich it gives"
    assert [one.text for one in block.lines] == ["a paragraph that divides the exam-", "ple which it gives"]


def book_page(*others: Line) -> list[Line]:
    return [*prose(300, 60), *others]


def running(page: tuple[Block, ...]) -> list[tuple[BlockKind, str]]:
    return [(block.kind, block.text) for block in page if block.kind is not BlockKind.PARAGRAPH]


def laid_out(lines: list[Line], height: int = 2000) -> tuple[Block, ...]:
    return lay_out(PageLines(pose=Pose(width=800, height=height), lines=tuple(lines)))


def test_page_number_and_running_head_are_blocks_of_their_own_in_their_place() -> None:
    lines = book_page(
        line("447", 50, 150, 40), line("A history of the harbour", 300, 150, 300), line("- xii -", 380, 1950, 60)
    )
    page = laid_out(lines)
    assert running(page) == [
        (BlockKind.PAGE_NUMBER, "447"),
        (BlockKind.PAGE_HEADER, "A history of the harbour"),
        (BlockKind.PAGE_NUMBER, "- xii -"),
    ]
    assert page[0].kind is BlockKind.PAGE_NUMBER
    assert "447" not in to_markdown(page)


@pytest.mark.parametrize("text", ["12 THE HISTORY OF ENGLAND", "THE HISTORY OF ENGLAND 12"])
def test_running_head_that_was_read_as_one_line_with_its_number_is_one_block(text: str) -> None:
    page = laid_out(book_page(line(text, 50, 150, 600)))
    assert running(page) == [(BlockKind.PAGE_HEADER, text)]


@pytest.mark.parametrize("text", ["Page 3 of 12", "Seite 3", "3/12", "[17]", "xiv"])
def test_page_numbers_are_known_in_their_usual_forms(text: str) -> None:
    assert running(laid_out(book_page(line(text, 380, 1950, 80)))) == [(BlockKind.PAGE_NUMBER, text)]


@pytest.mark.parametrize(
    "stray",
    [
        [line("It was told in the year 1865", 50, 270, 400), line("1865", 640, 270, 60)],  # no space to the text
        [line("1,250.00", 380, 1950, 80)],
        [line("A title without a number", 200, 150, 400)],
        [line("1", 380, 150, 40, 60)],  # the number of a chapter
        [line("a", 50, 1950, 20), line("b", 200, 1950, 20), line("c", 400, 1950, 20), line("12", 700, 1950, 30)],
    ],
)
def test_what_may_belong_to_the_text_stays_in_it(stray: list[Line]) -> None:
    page = laid_out(book_page(*stray))
    assert not {block.kind for block in page} & {BlockKind.PAGE_NUMBER, BlockKind.PAGE_HEADER, BlockKind.PAGE_FOOTER}
    for one in stray:
        assert one.text in to_markdown(page)


def test_number_at_the_end_of_a_short_receipt_is_no_page_number() -> None:
    lines = [line(f"Article {i}", 50, 100 + 50 * i, 200) for i in range(8)] + [line("12", 50, 960, 40)]
    assert "12" in to_markdown(laid_out(lines, height=1000))
