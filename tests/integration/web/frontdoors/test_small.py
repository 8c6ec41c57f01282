"""The interfaces of MinerU 3, Tika, PaddleX and Marker."""

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from libs.storage.memory import MemoryStore
from tests.endedjobs import end, fail, jobs, only_job
from tests.integration.web.frontdoors.conftest import BLANK, FAILED, PDF, READ, Serve

PAGES = (READ, FAILED, BLANK)
BASE64 = base64.b64encode(PDF).decode()
COMMENT = "<!-- page 2 failed: It is torn. -->"
SAID = "[page 2 failed: It is torn.]"


async def sent(client: httpx.AsyncClient, store: MemoryStore, method: str, path: str, **how: Any) -> httpx.Response:
    """The answer of a request that waits, whose job is ended meanwhile."""
    asked = asyncio.create_task(client.request(method, path, **how))
    if not await jobs(store):
        await end(await only_job(store), PAGES)
    answer = await asked
    assert answer.status_code == 200, answer.text
    return answer


async def test_mineru_answers_with_markdown_and_the_list_of_contents(serve: Serve, store: MemoryStore) -> None:
    client, files = serve(), {"files": ("minutes.pdf", PDF)}
    answer = (
        await sent(client, store, "POST", "/file_parse", data={"return_content_list": "true"}, files=files)
    ).json()
    (result,) = answer["results"].values()
    assert list(answer["results"]) == ["minutes"]
    assert "# Minutes of May" in result["md_content"]
    assert COMMENT in result["md_content"]
    entries = json.loads(result["content_list"])
    assert [(entry["type"], entry["page_idx"]) for entry in entries] == [
        ("header", 0),
        ("text", 0),
        ("text", 0),
        ("table", 0),
        ("image", 0),
        ("text", 1),
    ]
    assert entries[1]["bbox"] == [100, 143, 900, 243]
    only = await sent(client, store, "POST", "/file_parse", data={"return_md": "true"}, files=files)
    assert list(only.json()["results"]["minutes"]) == ["md_content"]


async def test_a_task_of_mineru_is_polled_until_its_end(serve: Serve, store: MemoryStore) -> None:
    client, files = serve(), {"files": ("minutes.pdf", PDF)}
    begun = await client.post("/tasks", files=files)
    assert begun.status_code == 202
    task = begun.json()
    assert (task["status"], task["file_names"]) == ("pending", ["minutes.pdf"])
    assert (await client.get(task["result_url"])).status_code == 202
    await end(await only_job(store), PAGES)
    assert (await client.get(task["status_url"])).json()["status"] == "completed"
    result = (await client.get(task["result_url"])).json()
    assert COMMENT in result["results"]["minutes"]["md_content"]
    assert (await client.get("/tasks/" + "0" * 32)).status_code == 404


async def test_a_task_of_mineru_that_failed_has_no_result(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    task = (await client.post("/tasks", files={"files": ("minutes.pdf", PDF)})).json()
    await fail(await only_job(store), "The document is encrypted.")
    assert (await client.get(task["status_url"])).json()["status"] == "failed"
    answer = await client.get(task["result_url"])
    assert (answer.status_code, answer.json()["detail"]) == (409, "The document is encrypted.")


@pytest.mark.parametrize(
    ("asked", "ocr", "pages"),
    [
        ({}, "auto", None),
        ({"parse_method": "ocr", "start_page_id": "0", "end_page_id": "99999"}, "force", None),
        ({"parse_method": "txt", "start_page_id": "2"}, "text", "3-"),
        ({"start_page_id": "0", "end_page_id": "0"}, "auto", "1-1"),
    ],
)
async def test_mineru_counts_pages_from_zero(
    serve: Serve, store: MemoryStore, asked: Any, ocr: str, pages: str | None
) -> None:
    answer = await serve().post("/tasks", data=asked, files={"files": ("minutes.pdf", PDF)})
    assert answer.status_code == 202, answer.text
    options = (await end(await only_job(store), [READ])).options
    assert (options.ocr, options.pages) == (ocr, pages)


@pytest.mark.parametrize(
    "asked", [{"parse_method": "x"}, {"start_page_id": "-1"}, {"start_page_id": "3", "end_page_id": "1"}]
)
async def test_mineru_refuses_what_it_does_not_know(serve: Serve, store: MemoryStore, asked: Any) -> None:
    answer = await serve().post("/file_parse", data=asked, files={"files": ("minutes.pdf", PDF)})
    assert answer.status_code == 422
    assert [stat.path async for stat in store.list("")] == []


@pytest.mark.parametrize(
    ("method", "path", "member", "said"),
    [
        ("PUT", "/tika/text", "X-TIKA:content", SAID),
        ("PUT", "/tika/html", "X-TIKA:content", f"<p>{SAID}</p>"),
        ("PUT", "/tika/json/md", "tk:content", COMMENT),
        ("PUT", "/tika/json/text", "tk:content", SAID),
        ("POST", "/tika/form/text", "X-TIKA:content", SAID),
        ("POST", "/tika/form", "X-TIKA:content", f"<p>{SAID}</p>"),
    ],
)
async def test_tika_answers_in_json(
    serve: Serve, store: MemoryStore, method: str, path: str, member: str, said: str
) -> None:
    how: dict[str, Any] = {"content": PDF} if method == "PUT" else {"files": {"upload-file": ("a.pdf", PDF)}}
    answer = (await sent(serve(), store, method, path, **how)).json()
    assert "Minutes of May" in answer[member]
    assert said in answer[member]
    assert (answer["Content-Type"], answer["xmpTPg:NPages"]) == ("application/pdf", "3")
    assert answer["X-TIKA:EXCEPTION:warn"] == "1 of 3 pages could not be read."


async def test_tika_answers_with_the_content_alone(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    text = await sent(client, store, "PUT", "/tika", content=PDF, headers={"Accept": "text/plain"})
    assert text.headers["Content-Type"].startswith("text/plain")
    assert text.text.startswith("Minutes of May")
    html = await sent(client, store, "PUT", "/tika", content=PDF, headers={"Accept": "text/html"})
    assert html.text.startswith("<html ")
    assert html.text.count('<div class="page">') == 3
    (listed,) = (await sent(client, store, "PUT", "/rmeta/text", content=PDF)).json()
    assert SAID in listed["X-TIKA:content"]
    form = {"upload-file": ("minutes.pdf", PDF)}
    (listed,) = (await sent(client, store, "POST", "/rmeta/form/html", files=form)).json()
    assert f"<p>{SAID}</p>" in listed["X-TIKA:content"]
    assert (await sent(client, store, "POST", "/meta/form", files=form)).json()["resourceName"] == "minutes.pdf"
    for named in ('filename="May; 1.pdf"', "filename*=UTF-8''May%3B%201.pdf", 'FileName = "May; 1.pdf"'):
        headers = {"Content-Disposition": f"attachment; {named}"}
        meta = (await sent(client, store, "PUT", "/meta", content=PDF, headers=headers)).json()
        assert meta["resourceName"] == "May; 1.pdf", named
    for strange in ("", ";;", "filename*=x'y'%FF", 'filename="', "filename*999999999999999999999=a"):
        headers = {"Content-Disposition": strange}
        assert await sent(client, store, "PUT", "/meta", content=PDF, headers=headers)
    headers = {"Content-Disposition": 'attachment; filename="minutes.pdf"'}
    meta = (await sent(client, store, "PUT", "/meta", content=PDF, headers=headers)).json()
    assert (meta["resourceName"], "X-TIKA:content" in meta) == ("minutes.pdf", False)
    assert len(await jobs(store)) == 1


async def test_paddlex_answers_with_an_entry_for_each_page(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    answer = (await sent(client, store, "POST", "/layout-parsing", json={"file": BASE64, "fileType": 0})).json()
    assert (answer["errorCode"], answer["errorMsg"]) == (0, "Success")
    pages = answer["result"]["layoutParsingResults"]
    assert [page["markdown"]["text"] for page in pages] == [READ.text, COMMENT, ""]
    assert answer["result"]["dataInfo"] == {
        "type": "pdf",
        "numPages": 3,
        "pages": [{"width": 100, "height": 140}, {"width": 0, "height": 0}, {"width": 0, "height": 0}],
    }
    as_url = {"file": f"data:application/pdf;base64,{BASE64}"}
    assert (await sent(client, store, "POST", "/layout-parsing", json=as_url)).json()["result"] == answer["result"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"file": "%"}, 422), ({}, 422), ({"file": "http://127.0.0.1/a.pdf"}, 422), ({"file": "cGxhaW4gdGV4dA=="}, 415)],
)
async def test_paddlex_refuses_in_its_own_form(serve: Serve, store: MemoryStore, body: Any, status: int) -> None:
    answer = await serve().post("/layout-parsing", json=body)
    assert (answer.status_code, answer.json()["errorCode"]) == (status, status), answer.text
    assert answer.json()["errorMsg"]
    assert [stat.path async for stat in store.list("")] == []


async def test_marker_answers_with_the_whole_document(serve: Serve, store: MemoryStore) -> None:
    client, files = serve(), {"file": ("minutes.pdf", PDF)}
    answer = (await sent(client, store, "POST", "/marker", data={"output_format": "markdown"}, files=files)).json()
    assert (answer["success"], answer["format"], answer["page_count"]) == (True, "markdown", 3)
    assert "# Minutes of May" in answer["output"]
    assert COMMENT in answer["output"]
    assert [page["error"] for page in answer["metadata"]["page_stats"]] == [None, "It is torn.", None]
    asked = {"output_format": "html", "paginate_output": "true"}
    paged = (await sent(client, store, "POST", "/marker", data=asked, files=files)).json()
    assert paged["output"].count("data-page-id=") == 3


@pytest.mark.parametrize("asked", [{"output_format": "chunks"}, {"page_range": "x"}])
async def test_marker_refuses_in_its_own_form(serve: Serve, store: MemoryStore, asked: Any) -> None:
    answer = await serve().post("/marker", data=asked, files={"file": ("minutes.pdf", PDF)})
    assert (answer.status_code, answer.json()["success"]) == (422, False)
    assert answer.json()["error"]
    assert [stat.path async for stat in store.list("")] == []
