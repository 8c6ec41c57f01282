"""The door for agents, by the official package's own client."""

import base64
import json
from typing import Any

import httpx
import pytest

from libs.jobstate import outcome as outcomes
from libs.jobstate.commit import commit
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from tests.inprocess import ClientInProcess
from tests.integration.web.frontdoors.conftest import BLANK, FAILED, PDF, READ, Serve
from tests.required import need_package

need_package("mcp")

USER = {"X-User-Email": "ada@example.org"}
HEADERS = {**USER, "Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


async def call(client: httpx.AsyncClient, method: str, headers: dict[str, str] = HEADERS, **params: Any) -> list[Any]:
    """The messages that answer a request."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    answer = await client.post("/mcp", json=message, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    if answer.headers["Content-Type"].startswith("application/json"):
        return [answer.json()]
    return [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: {")]


async def tool(client: httpx.AsyncClient, called: str, **arguments: Any) -> dict[str, Any]:
    """What a tool returns."""
    result = (await call(client, "tools/call", name=called, arguments=arguments))[-1]["result"]
    assert not result.get("isError"), result
    found: dict[str, Any] = result["structuredContent"]
    return found


async def refusal(client: httpx.AsyncClient, name: str, **arguments: Any) -> str:
    """Why a tool fails."""
    result = (await call(client, "tools/call", name=name, arguments=arguments))[-1]["result"]
    assert result["isError"], result
    return str(result["content"][0]["text"])


async def read(store: MemoryStore, job_id: str) -> None:
    """The services read the job: a page is read, one fails, one is blank."""
    files = SessionFiles(store=store, user_hash=layout.user_hash(USER["X-User-Email"]), session_id=job_id)
    at = await store.now()
    pages = (READ, FAILED, BLANK)
    for page in pages:
        await store.write(files.page_outcome_path(page.page_no), outcomes.encode(page))
    found = {page.page_no: page.brief() for page in pages}
    await commit(files, lambda job: job.load(at).plan((1, 2, 3), total_pages=3, batch_size=3, parallelism=1, at=at))
    await commit(files, lambda job: job.rendered(dict.fromkeys((1, 2, 3), at), at).extracted(at))
    await commit(files, lambda job: job.settled(found, at).combining(at).end(at))


async def uploaded(client: ClientInProcess) -> str:
    answer = await client.post("/upload", files={"file": ("a.pdf", PDF)}, headers=USER)
    return str(answer.json()["job_id"])


async def test_the_tools_are_described(serve: Serve) -> None:
    async with serve() as client:
        tools = (await call(client, "tools/list"))[-1]["result"]["tools"]
    assert {tool["name"] for tool in tools} == {
        "read_document",
        "get_pages",
        "search_document",
        "list_documents",
        "retry_pages",
        "cancel",
    }
    assert all(tool["description"] for tool in tools)


async def test_a_document_that_is_read_is_returned_with_its_failed_page(serve: Serve, store: MemoryStore) -> None:
    async with serve() as client:
        job_id = await uploaded(client)
        await read(store, job_id)
        found = await tool(client, "read_document", job_id=job_id)
        again = await tool(client, "get_pages", job_id=job_id, pages="2-3")
    assert (found["job_id"], found["status"], found["total_pages"], found["next_page"]) == (job_id, "partial", 3, None)
    assert [page["status"] for page in found["pages"]] == ["completed", "failed", "completed"]
    assert "Minutes of May" in found["pages"][0]["markdown"]
    assert "It is torn." in found["pages"][1]["markdown"]
    assert [page["page"] for page in again["pages"]] == [2, 3]


async def test_base64_starts_a_job_and_progress_is_reported(serve: Serve, store: MemoryStore) -> None:
    content = base64.b64encode(PDF).decode()
    async with serve() as client:
        first = await uploaded(client)
        await read(store, first)
        message: dict[str, Any] = {
            "name": "read_document",
            "arguments": {"job_id": first},
            "_meta": {"progressToken": "p"},
        }
        messages = await call(client, "tools/call", **message)
        progress = [m["params"] for m in messages if m.get("method") == "notifications/progress"]
        assert [(p["progress"], p["total"]) for p in progress] == [(3, 3)]
        bad = await refusal(client, "read_document", base64=base64.b64encode(b"no document").decode(), filename="a")
        assert "Unsupported file" in bad
        assert "one of url" in await refusal(client, "read_document", base64=content, job_id=first)
        assert "not fetched" in await refusal(client, "read_document", url="https://example.com/a.pdf")


async def test_a_long_document_comes_in_parts(
    serve: Serve, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.web.frontdoors.mcp.tools.MAX_CHARACTERS", 30)
    async with serve() as client:
        job_id = await uploaded(client)
        await read(store, job_id)
        found = await tool(client, "read_document", job_id=job_id)
        rest = await tool(client, "get_pages", job_id=job_id, pages=f"{found['next_page']}-")
    assert [page["page"] for page in found["pages"]] == [1]
    assert [page["page"] for page in rest["pages"]] == [2], "a page is never cut"
    assert rest["next_page"] == 3


async def test_search_names_page_and_place(serve: Serve, store: MemoryStore) -> None:
    async with serve() as client:
        job_id = await uploaded(client)
        await read(store, job_id)
        found = await tool(client, "search_document", job_id=job_id, text="minutes  OF may")
        none = await tool(client, "search_document", job_id=job_id, text="nothing like it")
    assert found["found"] == [{"page": 1, "text": "Minutes of May", "box": [10, 20, 90, 34]}]
    assert none["found"] == []


async def test_documents_are_listed_cancelled_and_read_again(serve: Serve, store: MemoryStore) -> None:
    async with serve() as client:
        job_id = await uploaded(client)
        assert (await tool(client, "cancel", job_id=job_id))["status"] == "cancelled"
        assert [job["job_id"] for job in (await tool(client, "list_documents", status="cancelled"))["jobs"]] == [job_id]
        assert (await tool(client, "list_documents", name="other"))["jobs"] == []
        assert (await tool(client, "retry_pages", job_id=job_id))["run"] == 2
        assert "still running" in await refusal(client, "retry_pages", job_id=job_id)
        other = await uploaded(client)
        await read(store, other)
        assert (await tool(client, "retry_pages", job_id=other, pages="1"))["run"] == 2


async def test_another_users_document_is_not_found(serve: Serve, store: MemoryStore) -> None:
    stranger = {**HEADERS, "X-User-Email": "grace@example.org"}
    async with serve() as client:
        job_id = await uploaded(client)
        await read(store, job_id)
        for name in ("read_document", "get_pages", "cancel", "retry_pages"):
            params = {"name": name, "arguments": {"job_id": job_id}}
            result = (await call(client, "tools/call", headers=stranger, **params))[-1]["result"]
            assert result["isError"]
            assert "Minutes" not in json.dumps(result)


async def test_a_stranger_gets_no_further_than_the_door(serve: Serve) -> None:
    async with serve(api_keys=True) as client:
        answer = await client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=HEADERS)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
