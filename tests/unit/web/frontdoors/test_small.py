"""The answers of MinerU, Tika, PaddleX and Marker: every page is there, and one that failed is seen."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given

from libs.page.block import Block
from services.web.frontdoors.absent import page_markdown
from services.web.frontdoors.marker.answer import OutputFormat, output, page_stats
from services.web.frontdoors.mineru.answer import content_list
from services.web.frontdoors.mineru.answer import markdown as mineru_markdown
from services.web.frontdoors.paddlex.answer import page_size, parsed_page
from services.web.frontdoors.tika import answer as tika
from tests.unit.web.frontdoors.documents import DOCUMENT, EVERY_KIND, blank, blocks, failed, page, words_of

COMMENT = "<!-- page 2 failed: It is torn- - ask for a new one. -->"
SAID = "[page 2 failed: It is torn-- ask for a new one.]"


def texts_in(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for each in value:
                yield from texts_in(each)
        case dict():
            for key, each in value.items():
                if key not in ("type", "sub_type", "text_format"):
                    yield from texts_in(each)


def test_mineru_has_an_entry_for_each_block_with_its_place() -> None:
    entries = list(content_list(EVERY_KIND))
    assert entries[1] == {
        "type": "text",
        "text": "Annual\nreport",
        "text_level": 1,
        "bbox": [12, 12, 35, 27],
        "page_idx": 0,
    }
    assert [entry["type"] for entry in entries] == [
        "header", "text", "text", "text", "list", "list", "list", "table", "text", "text", "text", "equation", "code",
        "image", "text", "page_footnote", "page_number",
    ]  # fmt: skip
    assert entries[4]["list_items"] == ["• one\ntwo"]
    assert "bbox" not in entries[5]


@given(blocks=blocks)
def test_mineru_has_each_word_once(blocks: list[Block]) -> None:
    blocks = [block for block in blocks if not block.cells and not block.marker and block.checked is None]
    shown = [word for text in texts_in(list(content_list(page(*blocks)))) for word in text.split()]
    formulas = sum(bool(block.latex) for block in blocks)
    assert len(shown) == len(words_of(blocks, latex=True)) + 2 * formulas


def test_mineru_has_a_failed_page_in_both_forms() -> None:
    written = "".join(mineru_markdown(each, first=at == 0) for at, each in enumerate(DOCUMENT))
    assert COMMENT in written
    assert list(content_list(failed())) == [{"type": "text", "text": SAID, "page_idx": 1}]


def test_tika_has_every_page_in_each_form() -> None:
    assert "".join(map(tika.text, DOCUMENT)).count(SAID) == 1
    assert "".join(map(tika.markdown, DOCUMENT)).count(COMMENT) == 1
    pages = "".join(map(tika.xhtml, DOCUMENT))
    assert pages.count('<div class="page">') == 4
    assert f"<p>{SAID}</p>" in pages
    assert tika.text(EVERY_KIND).startswith("Annual\nreport\n\nResults")
    known = tika.metadata("application/pdf", "a.pdf", 4, 1)
    assert (known["xmpTPg:NPages"], known["X-TIKA:EXCEPTION:warn"]) == ("4", "1 of 4 pages could not be read.")
    assert "X-TIKA:EXCEPTION:warn" not in tika.metadata("application/pdf", "a.pdf", 4, 0)


def test_paddlex_has_an_entry_for_each_page() -> None:
    parsed = [parsed_page(each) for each in DOCUMENT]
    assert [each["prunedResult"]["page_index"] for each in parsed] == [0, 1, 2, 3]
    assert parsed[1]["markdown"]["text"] == COMMENT
    assert parsed[1]["prunedResult"]["parsing_res_list"][0]["block_content"] == SAID
    assert parsed[2]["markdown"]["text"] == ""
    first = parsed[0]["prunedResult"]["parsing_res_list"]
    assert [each["block_order"] for each in first] == list(range(1, 18))
    assert (first[1]["block_label"], first[1]["block_bbox"]) == ("doc_title", [15, 20, 45, 44])
    assert first[5]["block_bbox"] == [0, 0, 1275, 1650]
    assert [page_size(each) for each in (EVERY_KIND, failed())] == [
        {"width": 1275, "height": 1650},
        {"width": 0, "height": 0},
    ]


@pytest.mark.parametrize("paginated", [False, True])
@pytest.mark.parametrize("output_format", OutputFormat)
def test_marker_has_every_page(output_format: OutputFormat, paginated: bool) -> None:
    written = "".join(
        output(each, output_format, paginated=paginated, first=at == 0) for at, each in enumerate(DOCUMENT)
    )
    assert (COMMENT if output_format is OutputFormat.MARKDOWN else SAID) in written
    marks = [
        f"{{{n}}}{'-' * 48}" if output_format is OutputFormat.MARKDOWN else f'data-page-id="{n}"' for n in range(4)
    ]
    assert [mark in written for mark in marks] == [paginated] * 4


def test_marker_tells_of_each_page() -> None:
    assert [page_stats(each)["error"] for each in (EVERY_KIND, failed(), blank())] == [
        None,
        "It is torn-- ask for a new one.",
        None,
    ]


def test_a_blank_page_has_no_text_and_a_failed_one_always_has() -> None:
    assert page_markdown(blank()) == ""
    assert page_markdown(failed(error="")) == "<!-- page 2 failed: not read -->"
