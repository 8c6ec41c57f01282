"""docling-serve's interface, as docling's client, Open WebUI and RAGFlow use it."""

import asyncio
import base64
import io
import json
import zipfile
from typing import Any

import httpx
import pytest

from libs.storage.memory import MemoryStore
from services.web.frontdoors.docling.asked import MAX_OPTIONS_BYTES, MAX_PAGE_BREAK, TaskId
from services.web.frontdoors.docling.result import Format, Wanted
from tests.endedjobs import end, fail, jobs, only_job
from tests.integration.web.frontdoors.conftest import BLANK, FAILED, PDF, READ, Serve

KEY = {"X-Api-Key": "any-text-at-all"}
FILES = {"files": ("minutes.pdf", PDF)}
PAGES = (READ, FAILED, BLANK)
SOURCE = {"kind": "file", "filename": "minutes.pdf", "base64_string": base64.b64encode(PDF).decode()}


async def converted(client: httpx.AsyncClient, store: MemoryStore, path: str = "file", **how: Any) -> httpx.Response:
    """The answer of a request that waits, whose job is ended meanwhile."""
    asked = asyncio.create_task(client.post(f"/v1/convert/{path}", headers=KEY, **how))
    if not await jobs(store):
        await end(await only_job(store), PAGES)
    answer = await asked
    assert answer.status_code == 200, answer.text
    return answer


async def test_a_document_is_answered_in_the_forms_that_are_asked_for(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    asked = {
        "to_formats": ["md", "json"],
        "page_range": ["1", "9223372036854775807"],
        "md_page_break_placeholder": "\f",
    }
    answer = (await converted(client, store, data=asked, files=FILES)).json()
    shown = answer["document"]
    assert (shown["filename"], answer["status"]) == ("minutes.pdf", "partial_success")
    assert len(shown["md_content"].split("\f")) == 3
    assert "<!-- page 2 failed: It is torn. -->" in shown["md_content"]
    document = shown["json_content"]
    assert (document["schema_name"], document["name"], len(document["pages"])) == ("DoclingDocument", "minutes", 3)
    assert "Minutes of May" in [text["text"] for text in document["texts"]]
    assert (shown["html_content"], shown["doctags_content"]) == (None, None)
    assert [(error["page_no"], error["error_message"]) for error in answer["errors"]] == [(2, "It is torn.")]

    in_json = {"sources": [SOURCE], "options": {"to_formats": ["md", "json"], "md_page_break_placeholder": "\f"}}
    again = (await converted(client, store, "source", json=in_json)).json()
    assert again["document"] == shown
    assert len(await jobs(store)) == 1, "the same document: one reading"


async def test_a_task_is_polled_until_its_end_and_has_its_result(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    begun = await client.post("/v1/convert/file/async", headers=KEY, data={"to_formats": "text"}, files=FILES)
    assert begun.status_code == 200, begun.text
    task = begun.json()
    assert (task["task_type"], task["task_status"]) == ("convert", "pending")
    address = task["task_id"]

    early = await client.get(f"/v1/result/{address}", headers=KEY)
    assert early.status_code == 404
    assert early.json()["detail"] == "Task result not found. Please wait for a completion status."
    now = (await client.get(f"/v1/status/poll/{address}?wait=0.01", headers=KEY)).json()
    assert now["task_status"] == "pending"

    waiting = asyncio.create_task(client.get(f"/v1/status/poll/{address}?wait=20", headers=KEY))
    job = await end(await only_job(store), PAGES)
    ended = (await waiting).json()
    assert (ended["task_id"], ended["task_status"]) == (address, "success")
    assert ended["task_meta"]["num_partially_succeeded"] == 1

    result = await client.get(f"/v1/result/{address}", headers=KEY)
    assert result.status_code == 200
    shown = result.json()["document"]
    assert (shown["md_content"], shown["json_content"]) == (None, None)
    assert "[page 2 failed: It is torn.]" in shown["text_content"]
    plain = (await client.get(f"/v1/result/{job.job_id}", headers=KEY)).json()["document"]
    assert "# Minutes of May" in plain["md_content"], "a job's id alone is a task, too"


async def test_unknown_tasks_have_the_text_that_the_client_compares(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    ada, grace = {"X-User-Email": "ada@example.org"}, {"X-User-Email": "grace@example.org"}
    task = (await client.post("/v1/convert/file/async", headers=ada, files=FILES)).json()["task_id"]
    for address in (task, "0" * 32, "x", f"{'0' * 32}.WzFd", f"{task}.%%%", f"{task}.W10"):
        for path in ("/v1/status/poll/", "/v1/result/"):
            answer = await client.get(path + address, headers=grace)
            assert (answer.status_code, answer.json()["detail"]) == (404, "Task not found."), address


async def test_a_document_that_cannot_be_read_is_a_failed_task(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    task = (await client.post("/v1/convert/source/async", headers=KEY, json={"sources": [SOURCE]})).json()["task_id"]
    await fail(await only_job(store), "The document is encrypted.")
    polled = (await client.get(f"/v1/status/poll/{task}", headers=KEY)).json()
    assert (polled["task_status"], polled["error_message"]) == ("failure", "The document is encrypted.")
    result = await client.get(f"/v1/result/{task}", headers=KEY)
    assert result.status_code == 200
    assert result.json() == {
        "kind": "TaskFailureResult",
        "failure": {
            "category": "backend_failure",
            "message": "The document is encrypted.",
            "retryable": False,
            "phase": "execution",
            "details": {},
        },
    }
    sync = await client.post("/v1/convert/file", headers=KEY, files=FILES)
    assert (sync.status_code, sync.json()["detail"]) == (422, "The document is encrypted.")


async def test_an_archive_has_a_file_for_each_form(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    asked = {"to_formats": list(Format), "target_type": "zip"}
    answer = await converted(client, store, data=asked, files=FILES)
    assert answer.headers["Content-Type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        names = ["minutes.html", "minutes.json", "minutes.md", "minutes.txt"]
        assert sorted(archive.namelist()) == names
        assert all(b"Minutes of May" in archive.read(name) for name in names)
        assert len(json.loads(archive.read("minutes.json"))["pages"]) == 3
    begun = await client.post(
        "/v1/convert/source/async", headers=KEY, json={"sources": [SOURCE], "target": {"kind": "zip"}}
    )
    result = await client.get(f"/v1/result/{begun.json()['task_id']}", headers=KEY)
    with zipfile.ZipFile(io.BytesIO(result.content)) as archive:
        assert archive.namelist() == ["minutes.md"]


@pytest.mark.parametrize(
    ("asked", "ocr", "pages"),
    [
        ({}, "auto", None),
        ({"force_ocr": "true"}, "force", None),
        ({"do_ocr": "false"}, "text", None),
        ({"page_range": ["2", "5"]}, "auto", "2-5"),
        ({"page_range": "[2, 9223372036854775807]"}, "auto", "2-"),
        ({"ocr_lang": ["en", "de"], "pipeline": "standard", "do_chunking": "false"}, "auto", None),
    ],
)
async def test_options_that_matter_are_those_of_the_job(
    serve: Serve, store: MemoryStore, asked: Any, ocr: str, pages: str | None
) -> None:
    begun = await serve().post("/v1/convert/file/async", headers=KEY, data=asked, files=FILES)
    assert begun.status_code == 200, begun.text
    options = (await end(await only_job(store), [READ])).options
    assert (options.ocr, options.pages) == (ocr, pages)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"target_type": "presigned_url"}, "Presigned URL target requires artifact storage to be configured"),
        ({"target_type": "s3"}, "nowhere else"),
        ({"to_formats": "doctags"}, "doctags"),
        ({"page_range": ["0", "2"]}, "from 1"),
        ({"page_range": ["1", "2", "3"]}, "from 1"),
        ({"page_range": ["one", "2"]}, "page_range"),
        ({"do_ocr": "perhaps"}, "do_ocr"),
        ({"callbacks": '["http://127.0.0.1/"]'}, "calls no addresses"),
        ({"md_page_break_placeholder": "x" * (MAX_PAGE_BREAK + 1)}, "more than 100"),
    ],
)
async def test_what_is_not_done_is_refused_and_leaves_nothing(
    serve: Serve, store: MemoryStore, asked: Any, said: str
) -> None:
    for path in ("file", "file/async"):
        answer = await serve().post(f"/v1/convert/{path}", headers=KEY, data=asked, files=FILES)
        assert answer.status_code == 422, answer.text
        assert said in answer.json()["detail"]
    assert [stat.path async for stat in store.list("")] == []


@pytest.mark.parametrize(
    "body",
    [
        {"sources": []},
        {"sources": [SOURCE, SOURCE]},
        {"sources": [{"kind": "file"}]},
        {"sources": [{"kind": "http", "url": "https://example.org/a.pdf"}]},
        {"sources": [{"kind": "file", "base64_string": "%"}]},
        {"sources": [SOURCE], "options": {"to_formats": 7}},
        {"sources": [SOURCE], "target": {"kind": "put"}},
        {"sources": [SOURCE], "callbacks": [{"url": "http://127.0.0.1/"}]},
        {"sources": [SOURCE], "options": None},
        {"sources": [SOURCE], "options": {"other": "x" * MAX_OPTIONS_BYTES}},
        {"options": {}},
    ],
)
async def test_sources_that_cannot_be_read_are_refused(serve: Serve, store: MemoryStore, body: Any) -> None:
    answer = await serve().post("/v1/convert/source", headers=KEY, json=body)
    assert answer.status_code == 422, answer.text
    assert [stat.path async for stat in store.list("")] == []


def test_a_task_names_its_job_and_what_is_wanted() -> None:
    job_id = "5" * 32
    for task in (
        TaskId(job_id=job_id),
        TaskId(job_id=job_id, zipped=True),
        TaskId(job_id=job_id, wanted=Wanted(formats=frozenset(Format), page_break="\f--\u2028")),
    ):
        assert TaskId.parse(str(task)) == task
        assert str(task).startswith(job_id)
        assert str(task).replace(".", "").replace("-", "").replace("_", "").isalnum()
    with pytest.raises(ValueError, match="not a task"):
        TaskId.parse(f"{job_id}.WzFd")
