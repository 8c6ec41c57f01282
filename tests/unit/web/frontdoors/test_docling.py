"""A DoclingDocument of our pages: every word once, names that lead to their items, and results of tasks."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import given

from libs.jobstate.status import JobStatus
from libs.page.block import Block, BlockKind
from services.web.frontdoors.docling.items import Origin
from services.web.frontdoors.docling.result import Format, Wanted, document_json, result_json, task
from services.web.outputs.page import PageDocument
from tests.jobs import START, extracted, opened, read
from tests.unit.web.frontdoors.documents import (
    DOCUMENT,
    EVERY_KIND,
    blocks,
    by_model,
    failed,
    line,
    markdown,
    page,
    words_of,
)
from tests.unit.web.frontdoors.streamed import pages_of, whole

ORIGIN = Origin(filename="a.b.pdf", mimetype="application/pdf", binary_hash=7)
PARTIAL = extracted(4).settled({n: read(failed=n == 2) for n in range(1, 5)}, START).combining(START).end(START)


def document(*pages: PageDocument) -> dict[str, Any]:
    found: dict[str, Any] = asyncio.run(whole(document_json(pages_of(pages), ORIGIN)))
    return found


def items_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [item for name in ("texts", "groups", "tables", "pictures") for item in found[name]]


def words_in(found: dict[str, Any]) -> list[str]:
    texts = [item["text"] for item in found["texts"]]
    texts += [cell["text"] for table in found["tables"] for cell in table["data"]["table_cells"]]
    texts += [said["text"] for picture in found["pictures"] for said in picture["annotations"]]
    return sorted(word for text in texts for word in text.split())


@given(blocks=blocks)
def test_each_word_is_there_once(blocks: list[Block]) -> None:
    assert words_in(document(page(*blocks), page(page_no=2))) == words_of(blocks, latex=True)


def test_a_caption_of_a_table_without_cells_is_a_text() -> None:
    found = document(page(Block(kind=BlockKind.TABLE), Block(kind=BlockKind.CAPTION, text="Table 1")))
    assert ([text["text"] for text in found["texts"]], found["tables"]) == (["Table 1"], [])


@given(text=markdown)
def test_each_word_of_a_model_is_there_once(text: str) -> None:
    assert words_in(document(by_model(text))) == words_of(by_model(text).blocks, latex=True)


@given(blocks=blocks)
def test_every_item_is_named_by_one_parent_and_names_it(blocks: list[Block]) -> None:
    found = document(page(*blocks), failed(), page(*blocks, page_no=3))
    items = {item["self_ref"]: item for item in items_of(found)}
    everything = {"#/body": found["body"], **items}
    assert list(items) == [
        f"#/{name}/{at}" for name in ("texts", "groups", "tables", "pictures") for at in range(len(found[name]))
    ]
    named = Counter(child["$ref"] for item in everything.values() for child in item["children"])
    assert named == Counter(dict.fromkeys(items, 1))
    for ref, item in everything.items():
        assert all(items[child["$ref"]]["parent"] == {"$ref": ref} for child in item["children"])


def test_texts_have_docling_s_labels() -> None:
    found = document(EVERY_KIND)
    assert [(item["label"], item["text"]) for item in found["texts"] if item["label"] != "text"] == [
        ("page_header", "ACME & sons"),
        ("title", "Annual report"),
        ("section_header", "Results"),
        ("list_item", "one two"),
        ("list_item", "below"),
        ("list_item", "counted"),
        ("caption", "Table 1: sums"),
        ("checkbox_selected", "agreed"),
        ("checkbox_unselected", "refused"),
        ("formula", "E = mc^2"),
        ("code", "if a < b:\n  a &= 1"),
        ("caption", "Figure 1"),
        ("footnote", "1. See there."),
        ("page_footer", "17"),
    ]
    furniture = [item["text"] for item in found["texts"] if item["content_layer"] == "furniture"]
    assert furniture == ["ACME & sons", "17"]
    (heading,) = [item for item in found["texts"] if item["label"] == "section_header"]
    assert heading["level"] == 1
    (table,), (picture,) = found["tables"], found["pictures"]
    assert [found["texts"][int(ref["$ref"].split("/")[-1])]["text"] for ref in table["captions"]] == ["Table 1: sums"]
    assert picture["annotations"][0]["text"] == "A ship"


def test_items_of_a_list_are_in_its_group_and_deeper_ones_below_their_item() -> None:
    levels = [("one", 1), ("deep", 2), ("deeper", 4), ("two", 1)]
    items = [Block(kind=BlockKind.LIST_ITEM, text=text, level=level, marker="1.") for text, level in levels]
    found = document(page(*items, Block(kind=BlockKind.PARAGRAPH, text="between"), items[0]))
    parents = {item["text"]: item["parent"]["$ref"] for item in found["texts"][:4]}
    assert parents == {"one": "#/groups/0", "deep": "#/groups/1", "deeper": "#/groups/2", "two": "#/groups/0"}
    assert [group["parent"]["$ref"] for group in found["groups"]] == ["#/body", "#/texts/0", "#/texts/1", "#/body"]
    assert [(item["enumerated"], item["marker"]) for item in found["texts"] if item["label"] == "list_item"] == [
        (True, "1.")
    ] * 5
    assert [child["$ref"] for child in found["body"]["children"]] == ["#/groups/0", "#/texts/4", "#/groups/3"]


def test_places_are_in_points_from_the_lower_left_and_those_of_cells_from_the_upper_left() -> None:
    block = Block(kind=BlockKind.PARAGRAPH, text="a", box=(150, 300, 450, 330), lines=(line("a"),))
    (text,) = document(page(block))["texts"]
    assert text["prov"] == [
        {
            "page_no": 1,
            "bbox": {"l": 72.0, "t": 648.0, "r": 216.0, "b": 633.6, "coord_origin": "BOTTOMLEFT"},
            "charspan": [0, 1],
        }
    ]
    (text,) = document(page(block, picture=True))["texts"]
    assert text["prov"][0]["bbox"] == {"l": 150, "t": 1350, "r": 450, "b": 1320, "coord_origin": "BOTTOMLEFT"}
    cell = document(EVERY_KIND)["tables"][0]["data"]["table_cells"][0]
    assert cell["bbox"] == {"l": 7.2, "t": 96.0, "r": 199.2, "b": 105.6, "coord_origin": "TOPLEFT"}


def test_a_place_that_reaches_beyond_the_page_ends_at_its_edge() -> None:
    block = Block(kind=BlockKind.PARAGRAPH, text="a", box=(-3, 1600, 1280, 1653))
    (text,) = document(page(block, picture=True))["texts"]
    assert text["prov"][0]["bbox"] == {"l": 0, "t": 50, "r": 1275, "b": 0, "coord_origin": "BOTTOMLEFT"}


def test_table_has_its_cells_with_spans_and_headers() -> None:
    data = document(EVERY_KIND)["tables"][0]["data"]
    assert (data["num_rows"], data["num_cols"]) == (3, 2)
    ends = [(cell["end_row_offset_idx"], cell["end_col_offset_idx"]) for cell in data["table_cells"]]
    assert ends == [(1, 2), (2, 1), (2, 2), (3, 2)]
    assert [(cell["column_header"], cell["row_header"]) for cell in data["table_cells"]] == [
        (True, False),
        (False, True),
        (False, False),
        (False, False),
    ]


def test_every_page_is_there_and_one_that_failed_says_why() -> None:
    found = document(*DOCUMENT)
    assert list(found["pages"]) == ["1", "2", "3", "4"]
    assert found["pages"]["1"]["size"] == {"width": 612.0, "height": 792.0}
    (said,) = [item for item in found["texts"] if item["prov"][0]["page_no"] == 2]
    assert said["text"] == "[page 2 failed: It is torn-- ask for a new one.]"


async def result(*formats: Format, page_break: str = "") -> Any:
    wanted = Wanted(formats=frozenset(formats), page_break=page_break)
    return await whole(result_json(pages_of(DOCUMENT), PARTIAL, wanted, ORIGIN, seconds=1.5))


async def test_a_result_has_the_forms_that_were_asked_for() -> None:
    sent = await result(*Format)
    shown = sent["document"]
    assert shown["json_content"] == await whole(document_json(pages_of(DOCUMENT), ORIGIN))
    assert (shown["filename"], shown["doctags_content"]) == ("a.b.pdf", None)
    assert "<!-- page 2 failed: It is torn- - ask for a new one. -->" in shown["md_content"]
    assert "[page 2 failed: It is torn-- ask for a new one.]" in shown["text_content"]
    assert "<p>Page 2 failed: It is torn-- ask for a new one.</p>" in shown["html_content"]
    only = (await result(Format.MD))["document"]
    assert [only[name] for name in ("json_content", "html_content", "text_content")] == [None] * 3


async def test_the_page_break_that_a_client_names_stands_between_all_pages() -> None:
    sent = await result(Format.MD, page_break="\f")
    pages = sent["document"]["md_content"].split("\f")
    assert len(pages) == 4
    assert pages[2].strip() == ""


async def test_a_result_with_a_failed_page_is_a_partial_success() -> None:
    sent = await result(Format.MD)
    assert (sent["status"], sent["processing_time"]) == ("partial_success", 1.5)
    assert [(error["page_no"], error["error_message"]) for error in sent["errors"]] == [
        (2, "It is torn-- ask for a new one.")
    ]
    assert sent["confidence"]["mean_score"] == sent["confidence"]["pages"]["1"]["ocr_score"]
    assert "2" not in sent["confidence"]["pages"]


@pytest.mark.parametrize(
    ("job", "status", "counts"),
    [
        (opened(), "pending", (0, 0, 0, 0)),
        (opened().load(START), "started", (0, 0, 0, 0)),
        (PARTIAL, "success", (1, 0, 1, 0)),
        (opened().extraction_failed("It has no pages.", START), "failure", (1, 0, 0, 1)),
        (opened().cancel(START), "failure", (1, 0, 0, 1)),
    ],
)
def test_a_task_has_the_state_of_its_job(job: Any, status: str, counts: tuple[int, ...]) -> None:
    shown = task(job)
    meta = shown.task_meta
    assert shown.task_status == status
    assert (meta.num_processed, meta.num_succeeded, meta.num_partially_succeeded, meta.num_failed) == counts
    assert (shown.error_message is None) == (status != "failure")
    assert job.status is not JobStatus.FAILED or shown.error_message == "It has no pages."
    assert job.status is not JobStatus.CANCELLED or f"/api/jobs/{job.job_id}/retry" in (shown.error_message or "")
