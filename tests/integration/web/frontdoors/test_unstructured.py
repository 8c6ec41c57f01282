"""Unstructured's interface, as its client uses it: whole documents, and parts of them."""

import asyncio
from typing import Any

import httpx
import pytest

from libs.storage.memory import MemoryStore
from tests.endedjobs import end, jobs, only_job
from tests.integration.web.frontdoors.conftest import BLANK, FAILED, PDF, READ, Serve

KEY = {"unstructured-api-key": "any-text-at-all"}
FILES = {"files": ("minutes.pdf", PDF)}
PAGES = (READ, FAILED, BLANK)


async def parted(client: httpx.AsyncClient, store: MemoryStore, files: Any = FILES, **data: Any) -> Any:
    """The elements of a document, whose job is ended meanwhile."""
    asked = asyncio.create_task(client.post("/general/v0/general", headers=KEY, data=data, files=files))
    if not await jobs(store):
        await end(await only_job(store), PAGES)
    answer = await asked
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_document_is_a_list_of_elements(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    elements = await parted(client, store, strategy="hi_res", **{"languages[]": ["eng", "deu"]})
    assert [(each["type"], each["metadata"]["page_number"]) for each in elements] == [
        ("Header", 1),
        ("Title", 1),
        ("NarrativeText", 1),
        ("Table", 1),
        ("Image", 1),
        ("UncategorizedText", 2),
    ]
    assert elements[5]["text"] == "[page 2 failed: It is torn.]"
    first = elements[1]["metadata"]
    assert (first["filename"], first["filetype"], first["languages"]) == (
        "minutes.pdf",
        "application/pdf",
        ["eng", "deu"],
    )
    assert "coordinates" not in first
    assert elements[2]["metadata"]["parent_id"] == elements[1]["element_id"]


async def test_a_part_of_a_document_is_counted_from_its_first_page(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    asked = {
        "starting_page_number": "21",
        "coordinates": "true",
        "include_page_breaks": "true",
        "split_pdf_page": "false",
    }
    elements = await parted(client, store, **asked)
    assert [each["metadata"]["page_number"] for each in elements if each["type"] == "PageBreak"] == [22, 23]
    assert {each["metadata"]["page_number"] for each in elements} == {21, 22, 23}
    assert elements[1]["metadata"]["coordinates"]["layout_width"] == 100


async def test_several_files_are_a_list_of_lists(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    await parted(client, store)
    two = [("files", ("minutes.pdf", PDF)), ("files", ("again.pdf", PDF))]
    first, second = await parted(client, store, two)
    assert [each["text"] for each in first] == [each["text"] for each in second]
    assert {each["metadata"]["filename"] for each in second} == {"again.pdf"}
    assert len(await jobs(store)) == 1


async def test_the_client_finds_the_page_that_it_asks_after_parts(serve: Serve, store: MemoryStore) -> None:
    assert (await serve().get("/general/docs", headers=KEY)).status_code == 200


@pytest.mark.parametrize(
    ("strategy", "ocr"), [("auto", "auto"), ("fast", "text"), ("ocr_only", "force"), ("hi_res", "auto")]
)
async def test_the_strategy_is_the_mode_of_the_job(serve: Serve, store: MemoryStore, strategy: str, ocr: str) -> None:
    asked = asyncio.create_task(
        serve().post("/general/v0/general", headers=KEY, data={"strategy": strategy}, files=FILES)
    )
    assert (await end(await only_job(store), [READ])).options.ocr == ocr
    assert (await asked).status_code == 200


@pytest.mark.parametrize(
    ("asked", "files", "status"),
    [
        ({"strategy": "slow"}, FILES, 422),
        ({"output_format": "text/csv"}, FILES, 422),
        ({"starting_page_number": "0"}, FILES, 422),
        ({"starting_page_number": "-1"}, FILES, 422),
        ({}, {"files": ("a.txt", b"plain text")}, 415),
        ({}, {"other": ("a.pdf", PDF)}, 400),
        ({}, [("files", (f"{number}.pdf", PDF)) for number in range(11)], 400),
    ],
)
async def test_what_cannot_be_read_is_refused_and_leaves_nothing(
    serve: Serve, store: MemoryStore, asked: Any, files: Any, status: int
) -> None:
    answer = await serve().post("/general/v0/general", headers=KEY, data=asked, files=files)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"]
    assert [stat.path async for stat in store.list("")] == []
