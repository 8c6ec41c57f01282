"""From lines to Markdown: paragraphs, headings, lists, tables, and nothing lost or turned into markup."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.accuracy import plain_text
from services.worker.engines.engine import Line
from services.worker.engines.lines.block import Block, BlockKind, blocks
from services.worker.engines.lines.markdown import render
from services.worker.engines.lines.order import regions


def line(text: str, left: float, top: float, width: float, height: float = 20.0) -> Line:
    right, bottom = left + width, top + height
    return Line(text=text, box=((left, top), (right, top), (right, bottom), (left, bottom)), confidence=1.0)


def markdown(lines: list[Line]) -> str:
    return render(blocks(regions(lines)))


def prose(top: float, count: int, left: float = 50) -> list[Line]:
    return [line("some words that run to the margin of the page", left, top + 26 * i, 700) for i in range(count)]


def paragraph(*lines: str) -> str:
    return render([Block(kind=BlockKind.PARAGRAPH, lines=lines)])


def seen(markdown_text: str) -> str:
    """What a reader sees: the text of the rendered page."""
    parser = MarkdownIt("commonmark")
    tokens = [t for token in parser.parse(markdown_text) for t in (token.children or [])]
    kinds = {token.type for token in parser.parse(markdown_text)}
    assert kinds <= {"paragraph_open", "inline", "paragraph_close"}, kinds
    assert {t.type for t in tokens} <= {"text", "softbreak", "text_special"}, {t.type for t in tokens}
    return "".join("\n" if t.type == "softbreak" else t.content for t in tokens)


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


def test_hyphen_at_the_end_of_a_line_stays_as_printed() -> None:
    assert paragraph("a well-", "known word") == "a well-\nknown word"


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


@pytest.mark.parametrize(
    "printed",
    [
        "# 7 of the list",
        "> quoted",
        "- dash",
        "+ plus",
        "* star",
        "---",
        "* * *",
        "===",
        "```",
        "~~~ tilde",
        "<b>bold</b> and <!-- hidden -->",
        "&lt; and &copy; and &#64;",
        "*) a note *",
        "a *word* and **two**",
        "_under_ and __two__",
        "`code` and ``more``",
        "[text](https://example.org)",
        "[text][1]",
        "[1]: /somewhere",
        "![alt](x.png)",
        "C:\\*.txt and \\# and a \\",
        "a\\",
        "<https://example.org>",
        "2 * 3 * 4 _ 5 _ 6 < 7 > 8 & 9",
        "R&D at <5 %, snake_case_name",
    ],
)
def test_printed_characters_are_never_taken_for_markup(printed: str) -> None:
    assert seen(paragraph(printed)) == printed
    assert seen(paragraph("before", printed, "after")) == f"before\n{printed}\nafter"
    assert plain_text(paragraph(printed)) == printed


@pytest.mark.parametrize(
    "printed",
    ["R&D at <5 %", "snake_case", "5 * 3", "#hashtag", "-5 degrees", "A. B. Smith", "[sic]", "C:\\temp", "a > b"],
)
def test_ordinary_text_is_written_as_it_is(printed: str) -> None:
    assert paragraph(printed) == printed


def test_number_that_a_list_would_count_wrongly_is_no_list() -> None:
    texts = ["2. two", "3. three", "9. nine", "text", "5. five"]
    page = [Block(kind=BlockKind.PARAGRAPH, lines=(text,)) for text in texts]
    assert render(page) == "2. two\n\n3. three\n\n9\\. nine\n\ntext\n\n5. five"


def test_year_at_the_start_of_a_line_is_no_list() -> None:
    assert paragraph("It ended in", "1986. Then", "1) came") == "It ended in\n1986\\. Then\n1\\) came"


words = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="\x85\xa0\xad"), min_size=1)
texts = st.lists(words, min_size=1, max_size=6).map(" ".join).filter(lambda t: t == " ".join(t.split()))
placed = st.builds(line, texts, st.floats(0, 1500), st.floats(0, 2000), st.floats(10, 900), st.floats(10, 70))


@settings(max_examples=200, deadline=None)
@given(st.lists(placed, max_size=30))
def test_every_word_that_goes_in_comes_out_once(lines: list[Line]) -> None:
    before = Counter(word for one in lines for word in one.text.split())
    after = Counter(plain_text(markdown(lines)).split())
    assert after == before


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4))
def test_any_characters_are_shown_as_they_were_read(lines: list[str]) -> None:
    lines = ["Lines", *lines]
    assert seen(paragraph(*lines)) == "\n".join(lines)


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
