"""What all doors share: one reading for the same document, waits that cost nothing, keys, and the setting."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.types import Message

from libs.config import ConfigError
from libs.jobstate.job import Job
from libs.storage import layout
from libs.storage.memory import MemoryStore
from services.serving.problem import Problem
from services.web.auth import apikey, keyring
from services.web.auth.apikey import Scope
from services.web.config import WebConfig
from services.web.frontdoors import waiting
from services.web.frontdoors.document import MAX_JSON_BYTES, held_json
from services.web.frontdoors.doors import DOORS, open_doors
from services.web.frontdoors.paddlex.door import Body
from services.web.frontdoors.reading import FAILED_KEPT
from services.web.receiving import MAX_HELD_BYTES
from tests.clock import StorageClock
from tests.endedjobs import end, fail, jobs, only_job
from tests.inprocess import ClientInProcess
from tests.integration.web.frontdoors.conftest import BLANK, FAILED, PDF, READ, Serve
from tests.waiting import until

NAME = {"X-Filename": "minutes%20of%20May.pdf", "Content-Type": "application/pdf"}
PAGES = (READ, FAILED, BLANK)


def put(client: httpx.AsyncClient, content: bytes = PDF, **headers: str) -> "asyncio.Task[httpx.Response]":
    return asyncio.create_task(client.put("/process", content=content, headers={**NAME, **headers}))


async def job_of(client: ClientInProcess, store: MemoryStore) -> Job:
    return await end(await only_job(store), PAGES)


async def test_a_page_is_an_entry_of_the_list(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    asked = put(client, Authorization="Bearer k")
    await job_of(client, store)
    answer = await asked
    assert answer.status_code == 200
    first, second, third = answer.json()
    assert first["page_content"] == READ.text
    assert first["metadata"] == {
        "source": "minutes of May.pdf",
        "page": 0,
        "page_label": 1,
        "total_pages": 3,
        "engine": "rapidocr",
        "trust": None,
        "error": None,
    }
    assert second["page_content"] == "<!-- page 2 failed: It is torn. -->"
    assert second["metadata"]["error"] == "It is torn."
    assert third["page_content"] == ""


async def test_a_client_that_gives_up_and_tries_again_joins_its_first_try(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    for _ in range(5):
        asked = put(client)
        await only_job(store)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
    asked = put(client)
    assert len(await jobs(store)) == 1
    await job_of(client, store)
    assert len((await asked).json()) == 3
    # What is read is answered at once, by another process too, and a tries' copies are gone.
    assert (await put(serve())).json() == (await asked).json()
    assert len(await jobs(store)) == 1
    assert len([path async for path in store.list(layout.USERS) if path.path.endswith(".pdf")]) == 1
    assert [stat.path async for stat in store.list(layout.ACTIVE)] == []


async def test_tries_at_a_time_make_one_job(serve: Serve, store: MemoryStore) -> None:
    clients = [serve(), serve()]
    tries = [put(clients[number % 2]) for number in range(6)]
    await only_job(store)
    await until(lambda: _waiting(clients) == 6)
    await job_of(clients[0], store)
    answers = [answer.json() for answer in await asyncio.gather(*tries)]
    assert answers == [answers[0]] * 6
    assert len(await jobs(store)) == 1


def _waiting(clients: list[ClientInProcess]) -> int:
    return sum(client.web.feeds.watchers for client in clients)


async def test_other_content_options_or_owners_are_other_readings(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    body = {"document": {"type": "document_url", "document_url": "data:application/pdf," + PDF.decode()}}
    tries = [
        put(client),
        put(client, PDF + b" "),
        put(client, PDF, **{"X-User-Email": "ada@example.org"}),
        asyncio.create_task(client.post("/v1/ocr", json={**body, "pages": [0]})),
        asyncio.create_task(client.post("/v1/ocr", json=body)),  # the same as the first
    ]
    await until(lambda: _waiting([client]) == 5)
    assert len(await jobs(store)) == 4
    for asked in tries:
        asked.cancel()
    await asyncio.gather(*tries, return_exceptions=True)


async def test_a_failed_document_is_not_read_again_by_impatient_tries(
    serve: Serve, store: MemoryStore, clock: StorageClock
) -> None:
    client = serve()
    asked = put(client)
    job = await fail(await only_job(store), "The document is encrypted.")
    for answer in (await asked, await put(client), await put(serve())):
        assert answer.status_code == 422
        assert answer.json()["detail"] == "The document is encrypted."
        assert answer.json()["job_id"] == job.job_id
    assert await jobs(store) == [job.job_id]
    clock.now += FAILED_KEPT * 2
    asked = put(client)
    await until(lambda: _waiting([client]) == 1)
    assert len(await jobs(store)) == 2
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)


async def test_a_document_that_its_owner_deletes_ends_the_wait(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    asked = put(client)
    job_id = (await only_job(store)).session_id
    assert (await client.delete(f"/api/jobs/{job_id}")).status_code == 204
    answer = await asked
    assert answer.status_code == 404
    again = put(client)
    await until(lambda: _waiting([client]) == 1)
    (other,) = await jobs(store)
    assert other != job_id
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)


async def test_a_cancelled_reading_is_refused(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    asked = put(client)
    job_id = (await only_job(store)).session_id
    await client.post(f"/api/jobs/{job_id}/cancel")
    assert (await asked).status_code == 409


async def test_a_process_that_ends_sends_its_clients_on(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    asked = put(client)
    await only_job(store)
    await until(lambda: _waiting([client]) == 1)
    client.web.feeds.drain()
    answer = await asked
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    asked = put(serve())
    await job_of(client, store)
    assert (await asked).status_code == 200


async def test_blanks_come_before_an_answer_that_takes_long(
    serve: Serve, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "NEXT_SECONDS", 0.01)
    client = serve()
    asked = put(client)
    files = await only_job(store)
    await until(lambda: _waiting([client]) == 1)
    await end(files, PAGES)
    answer = await asked
    assert answer.status_code == 200
    assert answer.text.startswith(" ")
    assert len(json.loads(answer.text)) == 3


async def test_what_fails_after_the_first_blank_cuts_the_answer_off(
    serve: Serve, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "FIRST_SECONDS", 0.0)
    client = serve()
    asked = put(client)
    files = await only_job(store)
    await until(lambda: _waiting([client]) == 1)
    await fail(files, "It is torn.")
    with pytest.raises(waiting.CutOff):
        await asked
    monkeypatch.undo()
    assert (await put(client)).json()["detail"] == "It is torn.", "the next try is told"


@pytest.mark.parametrize(
    ("content", "status", "limit"), [(b"plain text", 415, 99), (b"", 400, 99), (PDF + bytes(99), 413, 50)]
)
async def test_what_is_no_document_is_refused(
    serve: Serve, store: MemoryStore, content: bytes, status: int, limit: int
) -> None:
    answer = await put(serve(upload_max_bytes=limit), content)
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert [stat.path async for stat in store.list("")] == []


async def test_where_no_key_is_needed_any_text_counts_as_none_but_a_wrong_key(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    wrong = f"gnosis_{'0' * 16}_{'0' * 64}"
    for headers in headers_of("k"):
        assert (await client.get("/v1/files", headers=headers)).status_code == 200, headers
    for headers in headers_of(wrong):
        assert (await client.get("/v1/files", headers=headers)).status_code == 401, headers
    # Our own interface has no client that cannot do without: there it is a mistake.
    assert (await client.get("/api/jobs", headers={"X-Api-Key": "k"})).status_code == 401
    assert (await client.get("/api/jobs", headers={"Authorization": "Bearer k"})).status_code == 401


async def test_a_key_counts_in_whichever_header_a_client_has_for_it(serve: Serve, store: MemoryStore) -> None:
    made, text = apikey.issue(email="ada@example.org", scopes=(Scope.WRITE,), at=datetime.now(UTC), days=1)
    await keyring.save_new(store, made)
    client = serve(api_keys=True)
    for headers in headers_of(text):
        assert (await client.get("/v1/files", headers=headers)).status_code == 200, headers
    for headers in [*headers_of("k"), {}, {"X-User-Email": "ada@example.org"}]:
        assert (await client.get("/v1/files", headers=headers)).status_code == 401, headers
    # Which of two counts, no client knows.
    two = {"X-Api-Key": text, "Authorization": f"Bearer {text}"}
    assert (await client.get("/v1/files", headers=two)).status_code == 401


def headers_of(key: str) -> list[dict[str, str]]:
    return [
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"token {key}"},
        {"X-Api-Key": key},
        {"Ocp-Apim-Subscription-Key": key},
        {"unstructured-api-key": key},
    ]


async def test_only_the_doors_that_the_setting_names_are_open(serve: Serve) -> None:
    async def found(client: httpx.AsyncClient) -> list[int]:
        answers = [await client.get("/v1/files"), await client.put("/process", content=b"x")]
        return [answer.status_code for answer in answers]

    assert await found(serve()) == [200, 415]
    assert await found(serve(front_doors="openwebui")) == [404, 415]
    assert await found(serve(front_doors=" Mistral , openwebui ")) == [200, 415]
    assert await found(serve(front_doors="none")) == [404, 404]


def test_a_door_that_there_is_not_stops_the_start() -> None:
    assert open_doors(WebConfig().front_doors) == DOORS
    with pytest.raises(ConfigError, match=r"there is no door 'mistrel'.*mistral, "):
        open_doors("mistrel,openwebui")


async def test_two_doors_have_no_address_in_common() -> None:
    addresses = [(route.path, method) for door in DOORS for route in door.routes for method in route.methods or ()]
    assert len(addresses) == len(set(addresses))


async def test_a_document_in_json_counts_as_held_until_it_is_stored(serve: Serve) -> None:
    client = serve()

    async def receive() -> Message:
        return {"type": "http.request", "body": b'{"file": "QUJD"}'}

    def body() -> AbstractAsyncContextManager[Body]:
        scope = {"type": "http", "headers": [], "app": SimpleNamespace(state=SimpleNamespace(web=client.web))}
        return held_json(Request(scope, receive), Body, hint="Send JSON.")

    with client.web.held_bodies.of(MAX_HELD_BYTES - MAX_JSON_BYTES):
        async with body() as held:
            assert held.file == "QUJD"
            with pytest.raises(Problem, match="Busy"):
                await body().__aenter__()
        async with body() as held:
            assert held.file == "QUJD"


async def test_a_name_that_is_none_is_made_one(serve: Serve, store: MemoryStore) -> None:
    client = serve()
    asked = put(client, PDF, **{"X-Filename": "..%2F..%2F%00%FFetc%2Fpasswd"})
    job: Any = await job_of(client, store)
    assert job.file_info.raw_file == "passwd"
    assert (await asked).status_code == 200
