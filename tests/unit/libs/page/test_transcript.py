"""The Markdown of models as blocks: every kind is found, and no character is lost."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.page.block import Block, BlockKind, Cell
from libs.page.markdown import MarkdownOptions, to_markdown
from libs.page.raw_html import MAX_COLUMNS
from libs.page.transcript import parse


def kinds(markdown: str) -> list[tuple[BlockKind, str]]:
    return [(block.kind, block.text) for block in parse(markdown)]


def whole(blocks: tuple[Block, ...]) -> str:
    return to_markdown(blocks, MarkdownOptions(headers=True))


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("# A **title**", [(BlockKind.TITLE, "A title")]),
        ("### Deep", [(BlockKind.HEADING, "Deep")]),
        ("one `two`\n[three](https://x.example) &amp; $a_b$", [(BlockKind.PARAGRAPH, "one two\nthree & $a_b$")]),
        ("> quoted\n> twice", [(BlockKind.PARAGRAPH, "quoted\ntwice")]),
        ("```py\na = 1\n\nb\n```", [(BlockKind.CODE, "a = 1\n\nb")]),
        ("<page_number>12</page_number>", [(BlockKind.PAGE_NUMBER, "12")]),
        (
            "<page_number>12 of 30</page_number>\nText",
            [(BlockKind.PAGE_NUMBER, "12 of 30"), (BlockKind.PARAGRAPH, "Text")],
        ),
        ("Text\n<page_number>12</page_number>", [(BlockKind.PARAGRAPH, "Text"), (BlockKind.PAGE_NUMBER, "12")]),
        ("<img>A ship &amp; a boat</img>", [(BlockKind.FIGURE, "A ship & a boat")]),
        ('<img src="x" alt="A ship">', [(BlockKind.FIGURE, "A ship")]),
        ("[^1]: See there.", [(BlockKind.FOOTNOTE, "[^1]: See there.")]),
        ("☐ Yes\n☑ No", [(BlockKind.CHECK_BOX, "Yes"), (BlockKind.CHECK_BOX, "No")]),
        ("☐ Yes\nor no", [(BlockKind.PARAGRAPH, "☐ Yes\nor no")]),
        ("- [ ] a\n- [x] b", [(BlockKind.CHECK_BOX, "a"), (BlockKind.CHECK_BOX, "b")]),
        ("<watermark>DRAFT</watermark>", [(BlockKind.PARAGRAPH, "DRAFT")]),
        ("a<br>b", [(BlockKind.PARAGRAPH, "a\nb")]),
        ("one\n\n---\n\ntwo", [(BlockKind.PARAGRAPH, "one"), (BlockKind.PARAGRAPH, "two")]),
        ("", []),
        ("\n \n", []),
    ],
)
def test_every_kind_is_found_with_its_text(markdown: str, expected: list[tuple[BlockKind, str]]) -> None:
    assert kinds(markdown) == expected
    assert whole(parse(markdown)).split() == markdown.split()


def test_boxes_know_whether_they_are_ticked() -> None:
    assert [block.checked for block in parse("☐ a\n☑ b\n☒ c\n\n- [X] d\n- ☐ e")] == [False, True, True, True, False]


@pytest.mark.parametrize("formula", ["$$\nx^2 + \\frac{1}{2}\n$$", "\\[\nx^2 + \\frac{1}{2}\n\\]"])
def test_formula_is_latex_without_its_delimiters(formula: str) -> None:
    (block,) = parse(formula)
    assert (block.kind, block.latex) == (BlockKind.FORMULA, "x^2 + \\frac{1}{2}")


def test_items_of_a_list_know_their_depth_and_marker() -> None:
    markdown = "1. one\n   - deep\n     more\n\n   after\n2. two"
    found = [(block.kind, block.level, block.marker, block.text) for block in parse(markdown)]
    assert found == [
        (BlockKind.LIST_ITEM, 1, "1.", "one"),
        (BlockKind.LIST_ITEM, 2, "-", "deep\nmore"),
        (BlockKind.PARAGRAPH, None, "", "after"),
        (BlockKind.LIST_ITEM, 1, "2.", "two"),
    ]
    assert to_markdown(parse("- a\n- b")) == "- a\n- b"


def test_text_right_after_a_table_is_a_paragraph_of_its_own() -> None:
    markdown = "Before\n<table><tr><td>a</td></tr></table>\nAfter <b>one</b>\n<table>\n<tr><td>b</td></tr>\n</table>"
    assert kinds(markdown) == [
        (BlockKind.PARAGRAPH, "Before"),
        (BlockKind.TABLE, ""),
        (BlockKind.PARAGRAPH, "After one"),
        (BlockKind.TABLE, ""),
    ]


def test_html_table_is_placed_as_a_browser_places_it() -> None:
    (block,) = parse(
        '<table><thead><tr><th colspan="2">A<br>b</th><td rowspan=9>right</td></tr></thead>'
        '<tbody><tr><td rowspan="2">c &lt; d</td><td> e  f </td></tr>\n<tr><td>g'
        "</td></tr></tbody></table>"
    )
    assert block.cells == (
        Cell(row=0, column=0, text="A\nb", column_span=2, header=True),
        Cell(row=0, column=2, text="right", row_span=3, header=True),
        Cell(row=1, column=0, text="c < d", row_span=2),
        Cell(row=1, column=1, text="e f"),
        Cell(row=2, column=1, text="g"),
    )


def test_pipe_table_has_header_cells() -> None:
    (block,) = parse("| a | b |\n|---|---|\n| *1* | 2 |")
    assert block.cells == (
        Cell(row=0, column=0, text="a", header=True),
        Cell(row=0, column=1, text="b", header=True),
        Cell(row=1, column=0, text="1"),
        Cell(row=1, column=1, text="2"),
    )


def test_caption_in_a_table_is_a_block_before_it() -> None:
    markdown = "<table><caption>Table 1</caption><tr><td>a</td></tr></table>"
    assert kinds(markdown) == [(BlockKind.CAPTION, "Table 1"), (BlockKind.TABLE, "")]
    assert to_markdown(parse(markdown)) == "Table 1\n\n<table><tr><td>a</td></tr></table>"


@pytest.mark.parametrize(
    "markdown",
    [
        "<table>loose text<tr><td>a</td></tr></table>",
        f'<table><tr><td colspan="{MAX_COLUMNS}">a</td><td>b</td></tr></table>',
        "<table></table>",
        "<table><tr><td>never closed",
    ],
)
def test_what_is_no_table_of_cells_stays_as_it_was_written(markdown: str) -> None:
    (block,) = parse(markdown)
    assert (block.kind, block.cells, block.markdown) == (BlockKind.PARAGRAPH, (), markdown)


def test_span_without_end_takes_no_memory() -> None:
    (block,) = parse(f'<table><tr><td colspan="99999999" rowspan="{10**7}">a</td></tr></table>')
    assert block.cells == (Cell(row=0, column=0, text="a", column_span=MAX_COLUMNS),)


def test_thousands_of_page_numbers_and_unclosed_tables_are_read_to_the_end() -> None:
    numbers = parse("<page_number>1</page_number>\n" * 5000)
    assert [block.kind for block in numbers] == [BlockKind.PAGE_NUMBER] * 5000
    assert len(parse("<table>" * 20_000)) == 1


def test_running_text_without_the_page_number_is_what_is_left_by_default() -> None:
    assert to_markdown(parse("Text that\n<page_number>7</page_number>")) == "Text that"


PIECES = st.sampled_from(
    [
        *("# ", "- ", "1. ", "  - ", "> ", "☐ ", "- [x] ", "[^1]: ", "[x]: y", "    ", "\t", "\n", "\n\n", "---\n"),
        *("<table><tr><td>", "</td></tr></table>", "| a | b |\n|---|---|\n", "<img>", "</img>", "<b>", "<br>"),
        *("<page_number>3</page_number>", "<!-- c -->", "```\n", "$$\n", "\n$$", "***", "\\", "`", "=", "&amp;"),
        *("word ", "**bold** ", "two words\n"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_no_character_is_lost_whatever_a_model_writes(markdown: str) -> None:
    rendered = whole(parse(markdown))
    assert re.sub(r"\s", "", rendered) == re.sub(r"\s", "", markdown)


@settings(max_examples=200, deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_what_was_parsed_once_is_parsed_the_same_again(markdown: str) -> None:
    once = whole(parse(markdown))
    assert re.sub(r"\s", "", whole(parse(once))) == re.sub(r"\s", "", once)
