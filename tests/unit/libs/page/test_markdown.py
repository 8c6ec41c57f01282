"""Blocks as Markdown: every kind, and no printed character lost or taken for markup."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bench.accuracy import plain_text
from libs.page.block import Block, BlockKind, Cell
from libs.page.markdown import MarkdownOptions, to_markdown

words = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="\x85\xa0\xad"), min_size=1)
texts = st.lists(words, min_size=1, max_size=6).map(" ".join).filter(lambda t: t == " ".join(t.split()))


def text_block(*lines: str, kind: BlockKind = BlockKind.PARAGRAPH) -> Block:
    return Block(kind=kind, text="\n".join(lines))


def paragraph(*lines: str) -> str:
    return to_markdown([text_block(*lines)])


def seen(markdown_text: str) -> str:
    """What a reader sees: the text of the rendered page."""
    parser = MarkdownIt("commonmark")
    tokens = [t for token in parser.parse(markdown_text) for t in (token.children or [])]
    kinds = {token.type for token in parser.parse(markdown_text)}
    assert kinds <= {"paragraph_open", "inline", "paragraph_close"}, kinds
    assert {t.type for t in tokens} <= {"text", "softbreak", "text_special"}, {t.type for t in tokens}
    return "".join("\n" if t.type == "softbreak" else t.content for t in tokens)


def test_hyphen_at_the_end_of_a_line_stays_as_printed() -> None:
    assert paragraph("a well-", "known word") == "a well-\nknown word"


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
    assert to_markdown([text_block(text) for text in texts]) == "2. two\n\n3. three\n\n9\\. nine\n\ntext\n\n5. five"


def test_year_at_the_start_of_a_line_is_no_list() -> None:
    assert paragraph("It ended in", "1986. Then", "1) came") == "It ended in\n1986\\. Then\n1\\) came"


@settings(max_examples=300, deadline=None)
@given(st.lists(texts, min_size=1, max_size=4))
def test_any_characters_are_shown_as_they_were_read(lines: list[str]) -> None:
    lines = ["Lines", *lines]
    assert seen(paragraph(*lines)) == "\n".join(lines)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (Block(kind=BlockKind.TITLE, text="Two\nlines"), "# Two lines"),
        (Block(kind=BlockKind.HEADING, text="Deep", level=3), "### Deep"),
        (Block(kind=BlockKind.HEADING, text="Deeper than Markdown", level=9), "###### Deeper than Markdown"),
        (Block(kind=BlockKind.HEADING, text="Of no level"), "## Of no level"),
        (Block(kind=BlockKind.LIST_ITEM, text="one\ntwo", marker="•"), "- one\n  two"),
        (Block(kind=BlockKind.LIST_ITEM, text="one\ntwo", level=2), "  - one\n    two"),
        (Block(kind=BlockKind.LIST_ITEM, text="one\ntwo", marker="7."), "7. one\n  two"),
        (Block(kind=BlockKind.LIST_ITEM, text="one", marker="(a)"), "- (a) one"),
        (Block(kind=BlockKind.CHECK_BOX, text="Yes", checked=True), "☑ Yes"),
        (Block(kind=BlockKind.CHECK_BOX, text="No", checked=False), "☐ No"),
        (Block(kind=BlockKind.FORMULA, text="x2", latex="x^2"), "$$\nx^2\n$$"),
        (Block(kind=BlockKind.FORMULA, text="x = 1"), "x = 1"),
        (Block(kind=BlockKind.FIGURE, text="A ship"), "<img>A ship</img>"),
        (Block(kind=BlockKind.CAPTION, text="Figure 1"), "Figure 1"),
        (Block(kind=BlockKind.FOOTNOTE, text="1. See there."), "1. See there."),
        (Block(kind=BlockKind.CODE, text="a *= b\n  c"), "```\na *= b\n  c\n```"),
        (Block(kind=BlockKind.CODE, text="a ``` b"), "````\na ``` b\n````"),
        (Block(kind=BlockKind.PARAGRAPH, text="bold", markdown="**bold**"), "**bold**"),
    ],
)
def test_every_kind_of_block_has_its_markdown(block: Block, expected: str) -> None:
    assert to_markdown([block]) == expected


def test_figure_without_a_description_takes_no_room() -> None:
    assert to_markdown([text_block("a"), Block(kind=BlockKind.FIGURE), text_block("b")]) == "a\n\nb"


RUNNING = [
    text_block("Annual report", kind=BlockKind.PAGE_HEADER),
    text_block("The text."),
    text_block("Confidential", kind=BlockKind.PAGE_FOOTER),
    text_block("17", kind=BlockKind.PAGE_NUMBER),
]


def test_running_heads_feet_and_page_numbers_are_left_out_unless_asked_for() -> None:
    assert to_markdown(RUNNING) == "The text."
    assert to_markdown(RUNNING, MarkdownOptions(headers=True)) == "Annual report\n\nThe text.\n\nConfidential\n\n17"


def table(*cells: Cell) -> Block:
    return Block(kind=BlockKind.TABLE, cells=cells)


SIMPLE = table(
    Cell(row=0, column=0, text="a", header=True),
    Cell(row=0, column=1, text="b|c", header=True),
    Cell(row=1, column=0, text="two\nlines"),
    Cell(row=1, column=1, text="<b>*d*</b> *e*"),
)


def test_table_is_html_with_its_spans_and_header_cells() -> None:
    spanning = table(
        Cell(row=0, column=0, text="a & b", header=True, column_span=2),
        Cell(row=1, column=0, text="<c>", row_span=2),
        Cell(row=1, column=1, text="d"),
        Cell(row=2, column=1, text="e"),
    )
    html = (
        '<table>\n<tr><th colspan="2">a &amp; b</th></tr>\n'
        '<tr><td rowspan="2">&lt;c&gt;</td><td>d</td></tr>\n<tr><td>e</td></tr>\n</table>'
    )
    assert to_markdown([spanning]) == html
    assert to_markdown([spanning], MarkdownOptions(pipes=True)) == html


def test_table_without_spans_can_be_pipes() -> None:
    text = to_markdown([SIMPLE], MarkdownOptions(pipes=True))
    assert text.split("\n")[:2] == ["| a | b\\|c |", "| --- | --- |"]
    (body,) = [token for token in MarkdownIt("commonmark").enable("table").parse(text) if token.type == "tbody_open"]
    assert body.map == [2, 3]
    inline = [token for token in MarkdownIt("commonmark").enable("table").parse(text) if token.type == "inline"]
    seen_cells = ["".join(child.content for child in token.children or []) for token in inline]
    assert seen_cells == ["a", "b|c", "two lines", "<b>*d*</b> *e*"]
