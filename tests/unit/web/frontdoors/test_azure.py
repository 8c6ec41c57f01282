"""Azure's analyzeResult of our pages: every word once, with a span that is what `content` has there."""

import asyncio
import html
import re

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.page.block import Block, BlockKind
from services.web.frontdoors.azure.answer import analyze_result_json
from services.web.frontdoors.azure.content import ContentFormat
from services.web.frontdoors.azure.objects import AnalyzedPage, Figure, Paragraph, Span, Table, Warned
from services.web.frontdoors.azure.offsets import StringIndex
from services.web.outputs.page import PageDocument
from tests.unit.web.frontdoors.documents import (
    BY_MODEL,
    DOCUMENT,
    EVERY_KIND,
    blank,
    blocks,
    by_model,
    failed,
    line,
    markdown,
    page,
    words_of,
)
from tests.unit.web.frontdoors.streamed import pages_of, whole

FORMATS = list(ContentFormat)


class AnalyzeResult(msgspec.Struct, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """The whole answer, as a client reads it."""

    api_version: str
    model_id: str
    string_index_type: StringIndex
    content_format: ContentFormat
    content: str
    pages: list[AnalyzedPage]
    paragraphs: list[Paragraph]
    tables: list[Table]
    figures: list[Figure]
    warnings: list[Warned]
    styles: tuple[()]
    languages: tuple[()]


def analysis(
    *pages: PageDocument,
    content_format: ContentFormat = ContentFormat.TEXT,
    string_index: StringIndex = StringIndex.CODE_POINTS,
) -> AnalyzeResult:
    sent = analyze_result_json(
        pages_of(pages), model_id="prebuilt-layout", content_format=content_format, string_index=string_index
    )
    return msgspec.convert(asyncio.run(whole(sent)), AnalyzeResult)


def cut(result: AnalyzeResult, *spans: Span) -> str:
    assert all(span.offset >= 0 and span.offset + span.length <= len(result.content) for span in spans)
    return "".join(result.content[span.offset : span.offset + span.length] for span in spans)


def plain(written: str) -> str:
    """The characters that escaped ones stand for, of a word; so far as a word alone can tell."""
    return html.unescape(re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", written))


@pytest.mark.parametrize("content_format", FORMATS)
@given(blocks=blocks)
@example(blocks=[Block(kind=BlockKind.CODE, text="&amp; \\* ```")])
@example(blocks=[Block(kind=BlockKind.LIST_ITEM, text="(a) (a)", marker="(a)")])
def test_each_word_is_there_once_and_its_span_is_what_is_written(
    content_format: ContentFormat, blocks: list[Block]
) -> None:
    result = analysis(failed(1), page(*blocks, page_no=2), content_format=content_format)
    words = result.pages[1].words
    as_latex = content_format is ContentFormat.MARKDOWN
    assert sorted(word.content for word in words) == words_of(blocks, latex=as_latex)
    ends = [0, *(word.span.offset + word.span.length for word in words)]
    for word, end in zip(words, ends, strict=False):
        written = cut(result, word.span)
        assert word.span.offset >= end
        assert written == word.content or plain(written) == word.content
    assert " ".join(each.content for each in result.pages[1].lines).split() == [word.content for word in words]


@pytest.mark.parametrize("content_format", FORMATS)
@given(text=markdown)
def test_each_word_of_a_model_is_there_once_and_inside_the_content(content_format: ContentFormat, text: str) -> None:
    document = by_model(text)
    result = analysis(document, content_format=content_format)
    as_latex = content_format is ContentFormat.MARKDOWN
    assert sorted(word.content for word in result.pages[0].words) == words_of(document.blocks, latex=as_latex)
    assert all(cut(result, word.span) for word in result.pages[0].words)


@given(blocks=blocks, index=st.sampled_from(StringIndex))
def test_spans_count_as_the_client_does(blocks: list[Block], index: StringIndex) -> None:
    pages = [page(*blocks), page(*blocks, page_no=2)]
    result = analysis(*pages, string_index=index)
    width = {StringIndex.CODE_POINTS: 4, StringIndex.UTF16: 2}[index]
    content = result.content.encode(f"utf-{8 * width}-le", "surrogatepass")
    for each in result.pages:
        for word in each.words:
            start = width * word.span.offset
            written = content[start : start + width * word.span.length].decode(f"utf-{8 * width}-le", "surrogatepass")
            assert written == word.content


def test_lines_are_as_printed_and_cells_are_lines_of_their_own() -> None:
    texts = [each.content for each in analysis(EVERY_KIND).pages[0].lines]
    assert texts == [
        "ACME & sons", "Annual", "report", "Results", "Sales have transformed", "2 * 3 * 4 <b>", "one", "two", "below",
        "counted", "Year & sum", "2025", "7 <USD>", "net", "9", "Table 1: sums", "agreed", "refused", "E = mc2",
        "if a < b:", "a &= 1", "A ship", "Figure 1", "1. See there.", "17",
    ]  # fmt: skip


def test_a_word_has_its_share_of_the_line_in_inches_or_pixels() -> None:
    block = Block(kind=BlockKind.PARAGRAPH, text="one four", lines=(line("one four", 150, left=300),))
    (inches,) = analysis(page(block)).pages
    assert (inches.unit, inches.width, inches.height) == ("inch", 8.5, 11.0)
    assert [word.polygon for word in inches.words] == [
        (2.0, 1.0, 2.1, 1.0, 2.1, 1.0667, 2.0, 1.0667),
        (2.1333, 1.0, 2.2667, 1.0, 2.2667, 1.0667, 2.1333, 1.0667),
    ]
    (pixels,) = analysis(page(block, picture=True)).pages
    assert (pixels.unit, pixels.width, pixels.height) == ("pixel", 1275, 1650)
    assert pixels.words[0].polygon == (300, 150, 315, 150, 315, 160, 300, 160)
    assert pixels.lines[0].polygon == (300, 150, 340, 150, 340, 160, 300, 160)


def test_a_line_that_runs_to_the_left_is_split_from_the_right() -> None:
    block = Block(kind=BlockKind.PARAGRAPH, text="אב גדהו", lines=(line("אב גדהו", left=0),))
    first, last = analysis(page(block, picture=True)).pages[0].words
    assert first.polygon is not None and last.polygon is not None
    assert (first.polygon[0], first.polygon[2], last.polygon[0], last.polygon[2]) == (25, 35, 0, 20)


def test_table_has_a_cell_for_every_place() -> None:
    result = analysis(EVERY_KIND)
    (table,) = result.tables
    assert (table.row_count, table.column_count) == (3, 2)
    assert [(c.row_index, c.column_index, c.kind, c.content, c.column_span) for c in table.cells] == [
        (0, 0, "columnHeader", "Year & sum", 2),
        (1, 0, "rowHeader", "2025", 1),
        (1, 1, None, "7 <USD>\nnet", 1),
        (2, 0, None, "", 1),
        (2, 1, None, "9", 1),
    ]
    assert [cut(result, *cell.spans) for cell in table.cells] == ["Year & sum", "2025", "7 <USD> net", "", "9"]
    assert cut(result, *table.spans) == "Year & sum\t\n2025\t7 <USD> net\n\t9"
    assert table.bounding_regions[0].polygon[:2] == (0.1, 1.3333)
    assert table.caption is not None and table.caption.content == "Table 1: sums"


def test_paragraphs_have_roles_and_spans() -> None:
    result = analysis(EVERY_KIND)
    roles = {paragraph.content: paragraph.role for paragraph in result.paragraphs}
    assert {text: role for text, role in roles.items() if role} == {
        "ACME & sons": "pageHeader",
        "Annual\nreport": "title",
        "Results": "sectionHeading",
        "E = mc2": "formulaBlock",
        "1. See there.": "footnote",
        "17": "pageNumber",
    }
    (listed,) = [paragraph for paragraph in result.paragraphs if paragraph.content == "one\ntwo"]
    assert cut(result, *listed.spans) == "• one\n  two"
    assert all(each.bounding_regions[0].page_number == 1 for each in result.paragraphs)


@pytest.mark.parametrize("content_format", FORMATS)
def test_check_boxes_are_selection_marks(content_format: ContentFormat) -> None:
    result = analysis(EVERY_KIND, content_format=content_format)
    marks = result.pages[0].selection_marks
    assert [(mark.state, cut(result, mark.span)) for mark in marks] == [("selected", "☑"), ("unselected", "☐")]
    assert [mark.polygon is None for mark in marks] == [False, True]


def test_figures_are_numbered_on_their_page_and_have_their_caption() -> None:
    (figure,) = analysis(EVERY_KIND).figures
    assert figure.id == "1.1"
    assert figure.caption is not None and figure.caption.content == "Figure 1"
    (without_text,) = analysis(page(Block(kind=BlockKind.FIGURE), page_no=7)).figures
    assert (without_text.id, without_text.spans) == ("7.1", ())
    assert without_text.bounding_regions[0].polygon == (0, 0, 8.5, 0, 8.5, 11, 0, 11)


def test_running_heads_are_comments_in_markdown_that_they_cannot_end() -> None:
    head = Block(kind=BlockKind.PAGE_HEADER, text="ACME --> & x")
    result = analysis(page(head), content_format=ContentFormat.MARKDOWN)
    assert result.content == '<!-- PageHeader="ACME --&gt; & x" -->'
    assert [cut(result, word.span) for word in result.pages[0].words] == ["ACME", "--&gt;", "&", "x"]


@pytest.mark.parametrize("content_format", FORMATS)
def test_every_page_is_there_and_one_that_failed_is_seen_in_each_part(content_format: ContentFormat) -> None:
    result = analysis(*DOCUMENT, content_format=content_format)
    said = "[page 2 failed: It is torn-- ask for a new one.]"
    assert [each.page_number for each in result.pages] == [1, 2, 3, 4]
    assert cut(result, *result.pages[1].spans) == said
    assert [each.content for each in result.pages[1].lines] == [said]
    assert [(warning.code, warning.target) for warning in result.warnings][:1] == [("PageFailed", "/pages/2")]
    assert (result.pages[1].width, result.pages[2].lines) == (None, ())
    between = result.content.count("<!-- PageBreak -->")
    assert between == (3 if content_format is ContentFormat.MARKDOWN else 0)


def test_words_that_a_model_wrote_are_found_in_its_markup() -> None:
    result = analysis(BY_MODEL, content_format=ContentFormat.MARKDOWN)
    found = {word.content: cut(result, word.span) for word in result.pages[0].words}
    assert found["bold"] == "bold"
    assert found["title"] == "ti*tle"
    assert found["the"] == "the"
    assert found["page"] == "page"
    assert found["*"] == "\\*"
    assert found["H2O"] == "H<sub>2</sub>O"
    assert [mark.state for mark in result.pages[0].selection_marks] == ["selected"]
    assert all(word.polygon is None for word in result.pages[0].words)


def test_pages_stand_one_after_the_other_in_the_content() -> None:
    result = analysis(*DOCUMENT, content_format=ContentFormat.MARKDOWN)
    shown = [cut(result, *each.spans) for each in result.pages]
    assert "\n\n<!-- PageBreak -->\n\n".join(shown) == result.content
    assert shown[0] and shown[3]
    assert analysis(blank(1)).content == ""
    assert (result.api_version, result.model_id) == ("2024-11-30", "prebuilt-layout")


def test_the_turn_of_the_text_is_the_angle_of_the_page() -> None:
    angles = [
        analysis(page(rotation=turn, skew=skew)).pages[0].angle
        for turn, skew in [(90, 0), (270, 0), (180, 0), (0, 1.5)]
    ]
    assert angles == [-90, 90, 180, -1.5]
