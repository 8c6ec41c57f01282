"""Mistral's interface: files and `POST /v1/ocr`, as its clients and those of LiteLLM's proxy send it."""

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from libs.storage import layout
from libs.storage.memory import MemoryStore
from services.web.sweeper import EXPIRY_EVERY
from services.web.userfiles import KEPT
from tests.clock import StorageClock
from tests.endedjobs import end, jobs, only_job
from tests.integration.web.frontdoors.conftest import BLANK, FAILED, PDF, READ, Serve

MISTRAL = {"Authorization": "Bearer any-text-at-all"}
DATA_URL = "data:application/pdf;base64," + base64.b64encode(PDF).decode()
PAGES = (READ, FAILED, BLANK)


def document_of(address: str) -> dict[str, Any]:
    return {"model": "mistral-ocr-latest", "document": {"type": "document_url", "document_url": address}}


async def read(client: httpx.AsyncClient, store: MemoryStore, **how: Any) -> dict[str, Any]:
    """The answer to a request, whose job is ended meanwhile."""
    asked = asyncio.create_task(client.post("/v1/ocr", headers=MISTRAL, **how))
    if not await jobs(store):
        await end(await only_job(store), PAGES)
    answer = await asked
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_every_page_is_in_the_answer_and_a_failed_one_says_so(serve: Serve, store: MemoryStore) -> None:
    answer = await read(serve(), store, json=document_of(DATA_URL))
    assert [page["index"] for page in answer["pages"]] == [0, 1, 2]
    assert answer["model"] == "mistral-ocr-latest"
    assert answer["usage_info"] == {"pages_processed": 3, "doc_size_bytes": len(PDF)}
    first, second, third = answer["pages"]
    assert "# Minutes of May" in first["markdown"]
    assert "Council" in first["markdown"], "without extract_header nothing is taken out"
    assert "| Sum |" in first["markdown"]
    assert first["dimensions"] == {"dpi": 150, "height": 140, "width": 100}
    assert second["markdown"] == "<!-- page 2 failed: It is torn. -->"
    assert second["dimensions"] is None
    assert third["markdown"] == ""


async def test_what_is_asked_for_stands_beside_the_markdown(serve: Serve, store: MemoryStore) -> None:
    asked = {
        **document_of(DATA_URL),
        "table_format": "html",
        "extract_header": True,
        "include_blocks": True,
        "confidence_scores_granularity": "word",
        "someday": {"unknown": 1},
    }
    (page, *_) = (await read(serve(), store, json=asked))["pages"]
    assert page["header"] == "Council"
    assert "Council" not in page["markdown"]
    assert "[tbl-0.html](tbl-0.html)" in page["markdown"]
    (table,) = page["tables"]
    assert table["format"] == "html"
    assert "<th>Sum</th>" in table["content"]
    assert "![img-0.png](img-0.png)\n\nA seal" in page["markdown"]
    assert [(i["id"], i["top_left_x"], i["bottom_right_y"]) for i in page["images"]] == [("img-0.png", 10, 120)]
    types = [block["type"] for block in page["blocks"]]
    assert types == ["header", "title", "text", "table", "image"]
    scores = page["confidence_scores"]
    assert scores["average_page_confidence_score"] == 0.9
    for word in scores["word_confidence_scores"]:
        assert page["markdown"][word["start_index"] :].startswith(word["text"])
    assert [word["text"] for word in scores["word_confidence_scores"]] == ["Minutes", "of", "May"]


async def test_figures_have_a_limit_and_a_least_size(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    assert (await read(client, store, json={**document_of(DATA_URL), "image_limit": 0}))["pages"][0]["images"] == []
    large = await read(client, store, json={**document_of(DATA_URL), "image_min_size": 31})
    assert large["pages"][0]["images"] == []
    assert "A seal" in large["pages"][0]["markdown"]


async def test_a_stored_file_is_read_by_its_id_and_by_its_address(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    made = await client.post("/v1/files", headers=MISTRAL, data={"purpose": "ocr"}, files={"file": ("m.pdf", PDF)})
    assert made.status_code == 200
    file = made.json()
    assert (file["object"], file["bytes"], file["filename"], file["purpose"]) == ("file", len(PDF), "m.pdf", "ocr")
    address = (await client.get(f"/v1/files/{file['id']}/url?expiry=1", headers=MISTRAL)).json()["url"]
    assert address == f"http://localhost/v1/files/{file['id']}/content"
    content = await client.get(address, headers=MISTRAL)
    assert (content.headers["Content-Type"], content.content) == ("application/octet-stream", PDF)

    by_address = await read(client, store, json=document_of(address))
    by_id = await read(client, store, json={"model": None, "document": {"type": "file", "file_id": file["id"]}})
    by_image = {"document": {"type": "image_url", "image_url": {"url": address.replace("localhost", "gnosis:7799")}}}
    assert by_id["pages"] == by_address["pages"] == (await read(client, store, json=by_image))["pages"]
    assert len(await jobs(store)) == 1, "the same document: one reading"

    listed = (await client.get("/v1/files?page=0&page_size=10", headers=MISTRAL)).json()
    assert (listed["total"], [one["id"] for one in listed["data"]]) == (1, [file["id"]])
    described = (await client.get(f"/v1/files/{file['id']}", headers=MISTRAL)).json()
    assert described == {**file, "deleted": False}
    deleted = await client.delete(f"/v1/files/{file['id']}", headers=MISTRAL)
    assert deleted.json() == {"id": file["id"], "object": "file", "deleted": True}
    assert [stat.path async for stat in store.list(layout.FILES)] == []
    for gone in (f"/v1/files/{file['id']}", f"/v1/files/{file['id']}/content"):
        assert (await client.get(gone, headers=MISTRAL)).status_code == 404
    assert len(await jobs(store)) == 1, "the file is gone, and not what was read of it"


async def test_a_file_is_its_owners_alone(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    ada, grace = {"X-User-Email": "ada@example.org"}, {"X-User-Email": "grace@example.org"}
    file = (await client.post("/v1/files", headers=ada, files={"file": ("m.pdf", PDF)})).json()
    for method, address in (("GET", ""), ("GET", "/content"), ("GET", "/url"), ("DELETE", "")):
        answer = await client.request(method, f"/v1/files/{file['id']}{address}", headers=grace)
        assert answer.status_code == 404
    asked = {"document": {"type": "file", "file_id": file["id"]}}
    assert (await client.post("/v1/ocr", headers=grace, json=asked)).status_code == 404
    assert (await client.get("/v1/files", headers=grace)).json()["data"] == []
    assert (await client.get(f"/v1/files/{file['id']}/content", headers=ada)).content == PDF


async def test_files_that_nobody_reads_are_deleted_after_their_time(
    serve: Serve, store: MemoryStore, clock: StorageClock
) -> None:
    client = serve()
    file = (await client.post("/v1/files", headers=MISTRAL, files={"file": ("m.pdf", PDF)})).json()
    await client.web.sweeper.sweep()
    clock.now += EXPIRY_EVERY
    await client.web.sweeper.sweep()
    assert (await client.get(f"/v1/files/{file['id']}", headers=MISTRAL)).status_code == 200
    clock.now += KEPT
    assert (await client.get(f"/v1/files/{file['id']}", headers=MISTRAL)).status_code == 404
    await client.web.sweeper.sweep()
    assert [stat.path async for stat in store.list(layout.FILES)] == []


async def test_the_form_of_litellms_proxy_gets_the_same_answer(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    answer = await read(client, store, json=document_of(DATA_URL))
    form = await client.post(
        "/v1/ocr",
        headers=MISTRAL,
        data={"model": "mistral-ocr-latest", "include_blocks": "false", "table_format": "html"},
        files={"file": ("m.pdf", PDF, "application/pdf")},
    )
    assert form.status_code == 200, form.text
    assert [page["index"] for page in form.json()["pages"]] == [page["index"] for page in answer["pages"]]
    assert form.json()["pages"][0]["tables"][0]["format"] == "html"
    assert len(await jobs(store)) == 1


@pytest.mark.parametrize(
    ("pages", "option"),
    [([0, 1, 2, 7], "1-3,8"), ("0,2-4,3", "1,3-5"), ([], None), (None, None), ("5", "6"), ([3, 3], "4")],
)
async def test_pages_are_counted_from_zero(serve: Serve, store: MemoryStore, pages: Any, option: str | None) -> None:
    client = serve()
    asked = asyncio.create_task(client.post("/v1/ocr", headers=MISTRAL, json={**document_of(DATA_URL), "pages": pages}))
    files = await only_job(store)
    assert (await end(files, [READ])).options.pages == option
    await asked


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        (document_of("https://example.org/a.pdf"), 422, "fetches no documents"),
        (document_of("http://169.254.169.254/v1/files/x/content"), 422, "fetches no documents"),
        (document_of("http://[::1"), 422, "fetches no documents"),
        (document_of("data:application/pdf;base64,%%%"), 422, "base64"),
        (document_of("data:application/pdf;base64"), 422, "comma"),
        (document_of("data:text/plain,Hello"), 415, "neither a PDF"),
        (document_of("data:,"), 400, "no bytes"),
        ({"document": {"type": "file", "file_id": "0" * 32}}, 404, "No such file"),
        ({"document": {"type": "file", "file_id": "../../x"}}, 404, "No such file"),
        ({"document": {"type": "document_url"}}, 422, "names none"),
        ({"model": "x"}, 422, "document"),
        ([], 422, "object"),
        ({**document_of(DATA_URL), "pages": [-1]}, 422, "pages"),
        ({**document_of(DATA_URL), "pages": "2-1"}, 422, "backwards"),
        ({**document_of(DATA_URL), "pages": "one"}, 422, "neither a page"),
        ({**document_of(DATA_URL), "document_annotation_format": {"type": "json_schema"}}, 422, "language model"),
        ({**document_of(DATA_URL), "table_format": "docx"}, 422, "docx"),
    ],
)
async def test_what_cannot_be_read_is_refused_and_leaves_nothing(
    serve: Serve, store: MemoryStore, asked: Any, status: int, said: str
) -> None:
    answer = await serve().post("/v1/ocr", headers=MISTRAL, json=asked)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["detail"]
    assert answer.json()["hint"]
    assert [stat.path async for stat in store.list("")] == []


async def test_a_large_json_body_is_refused_with_the_other_ways(serve: Serve, store: MemoryStore) -> None:
    answer = await serve().post("/v1/ocr", headers={**MISTRAL, "Content-Length": str(2**27)}, content=b"{}")
    assert answer.status_code == 413
    assert "multipart/form-data" in answer.json()["hint"]


@pytest.mark.parametrize(
    ("fields", "files", "status"),
    [
        ({"purpose": "fine-tune"}, {"file": ("m.pdf", PDF)}, 422),
        ({"purpose": "ocr"}, {"other": ("m.pdf", PDF)}, 400),
        ({"purpose": "ocr"}, {"file": ("m.txt", b"plain text")}, 415),
        ({"purpose": "ocr"}, {"file": ("m.pdf", b"")}, 400),
    ],
)
async def test_a_refused_file_leaves_nothing(
    serve: Serve, store: MemoryStore, fields: dict[str, str], files: Any, status: int
) -> None:
    answer = await serve().post("/v1/files", headers=MISTRAL, data=fields, files=files)
    assert answer.status_code == status, answer.text
    assert [stat.path async for stat in store.list("")] == []


async def test_two_files_in_one_form_are_refused(serve: Serve, store: MemoryStore) -> None:
    two = [("file", ("a.pdf", PDF)), ("file", ("b.pdf", PDF))]
    assert (await serve().post("/v1/files", headers=MISTRAL, files=two)).status_code == 400
    assert (await serve().post("/v1/ocr", headers=MISTRAL, files=two)).status_code == 400
    assert [stat.path async for stat in store.list("")] == []


async def test_files_count_as_stored_bytes(serve: Serve, store: MemoryStore) -> None:
    client = serve(stored_bytes_per_user=100_000)
    large = PDF + bytes(99_000)
    assert (await client.post("/v1/files", headers=MISTRAL, files={"file": ("m.pdf", large)})).status_code == 200
    client = serve(stored_bytes_per_user=100_000)
    answer = await client.post("/v1/files", headers=MISTRAL, files={"file": ("m.pdf", large)})
    assert answer.status_code == 507, json.dumps(answer.json())
