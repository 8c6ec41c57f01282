"""From lines to blocks: paragraphs, headings, lists, tables, and nothing lost."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from bench.accuracy import plain_text
from libs.page.block import Block, BlockKind, Line
from libs.page.markdown import to_markdown
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
def test_every_word_that_goes_in_comes_out_once(lines: list[Line]) -> None:
    before = Counter(word for one in lines for word in one.text.split())
    after = Counter(plain_text(markdown(lines)).split())
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
    assert markdown(lines).endswith("</table>\n\n4.2 Results")


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
