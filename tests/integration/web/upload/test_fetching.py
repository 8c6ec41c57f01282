"""`POST /upload` with an address in place of the file."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from libs.jobstate.commit import load
from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from tests.inprocess import ClientInProcess
from tests.listening import serving

PDF = b"%PDF-1.7 a document"
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}


def answer(content: bytes, *headers: str) -> bytes:
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(content)}", *headers])
    return f"{head}\r\n\r\n".encode() + content


async def send(
    client: httpx.AsyncClient, url: str, headers: dict[str, str] | None = None, **fields: str
) -> httpx.Response:
    form = {name: (None, value) for name, value in {"url": url, **fields}.items()}
    return await client.post("/upload", files=form, headers=headers or {})


async def stored(store: MemoryStore) -> list[str]:
    return [stat.path async for stat in store.list("")]


async def test_the_document_at_an_allowed_address_becomes_a_job(serve: Callable[..., ClientInProcess]) -> None:
    store = MemoryStore()
    async with serving(answer(PDF)) as server:
        client = serve(store, fetch_hosts=f"http://127.0.0.1:{server.port}")
        accepted = await send(client, f"http://127.0.0.1:{server.port}/folder/a%20scan.pdf?key=1", pages="1-2")
    assert accepted.status_code == 202, accepted.text
    files = SessionFiles(store=store, user_hash=layout.user_hash(None), session_id=accepted.json()["job_id"])
    job = await load(files)
    assert (job.file_info.filename, job.file_info.file_size, job.options.pages) == ("a scan.pdf", len(PDF), "1-2")
    assert (await store.read(files.path("a scan.pdf"))).data == PDF


async def test_nothing_is_fetched_by_default(serve: Callable[..., ClientInProcess]) -> None:
    store = MemoryStore()
    async with serving(answer(PDF)) as server:
        refused = await send(serve(store), f"http://127.0.0.1:{server.port}/a.pdf")
        assert server.connections == 0
    assert (refused.status_code, refused.json()["title"]) == (422, "Address not fetched")
    assert "FETCH_HOSTS" in refused.json()["hint"]
    assert await stored(store) == []


@pytest.mark.parametrize(
    ("content", "settings", "status"),
    [
        (answer(b"<html>no document"), {}, 415),
        (answer(b""), {}, 400),
        (answer(PDF + bytes(100)), {"upload_max_bytes": 50}, 413),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", {}, 422),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + PDF + bytes(3000), {}, 422),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n\r\n", {}, 422),
    ],
    ids=["type", "empty", "size", "missing", "breaks off", "redirect elsewhere"],
)
async def test_what_is_no_document_is_refused_and_nothing_of_it_stays(
    serve: Callable[..., ClientInProcess], content: bytes, settings: dict[str, Any], status: int
) -> None:
    store = MemoryStore()
    async with serving(content) as server:
        client = serve(store, fetch_hosts=f"http://127.0.0.1:{server.port}", **settings)
        refused = await send(client, f"http://127.0.0.1:{server.port}/a.pdf")
    assert refused.status_code == status, refused.text
    assert await stored(store) == []


async def test_a_file_and_an_address_together_are_refused(serve: Callable[..., ClientInProcess]) -> None:
    store = MemoryStore()
    both = await serve(store, fetch_hosts="*").post(
        "/upload", files={"file": ("a.pdf", PDF), "url": (None, "https://example.com/a.pdf")}
    )
    assert (both.status_code, both.json()["title"]) == (400, "File and address")
    assert await stored(store) == []


async def test_a_second_try_with_the_key_is_the_same_job_and_fetches_nothing(
    serve: Callable[..., ClientInProcess],
) -> None:
    store = MemoryStore()
    async with serving(answer(PDF), answer(PDF + b" that changed")) as server:
        client = serve(store, fetch_hosts=f"http://127.0.0.1:{server.port}")
        url = f"http://127.0.0.1:{server.port}/a.pdf"
        first, second = await send(client, url, KEY), await send(client, url, KEY)
        assert (second.status_code, second.json()) == (202, first.json())
        assert server.connections == 1
        other = await send(client, f"{url}?other", KEY)
        assert (other.status_code, other.json()["title"]) == (422, "Key used")


async def test_a_second_try_makes_the_job_of_a_document_that_a_crash_left_without_one(
    serve: Callable[..., ClientInProcess],
) -> None:
    store = MemoryStore()
    async with serving(answer(PDF)) as server:
        client = serve(store, fetch_hosts=f"http://127.0.0.1:{server.port}")
        url = f"http://127.0.0.1:{server.port}/a.pdf"
        job_id = (await send(client, url, KEY)).json()["job_id"]
        files = SessionFiles(store=store, user_hash=layout.user_hash(None), session_id=job_id)
        for path in (files.record_path, files.intake_path):
            await store.delete(path)
        assert (await send(client, url, KEY)).json()["job_id"] == job_id
        assert (await load(files)).file_info.file_size == len(PDF)
