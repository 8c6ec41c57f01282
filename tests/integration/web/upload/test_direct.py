"""Uploads that go to the bucket itself: the routes in this process, the bucket behind a socket."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from libs.internal_token import InternalToken
from libs.jobstate import upload as uploads
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.gcs import GcsStore
from libs.storage.memory import MemoryStore
from libs.storage.session import exists
from libs.storage.store import DirectStore, ObjectStore
from services.serving.queue_identity import SharedSecret
from services.web.auth.identity import Identity
from services.web.config import WebConfig
from tests.emulators.gcs.bucket import Bucket
from tests.emulators.gcs.faults import Fault
from tests.emulators.gcs.server import Emulator
from tests.inprocess import ClientInProcess, in_process, outward_client
from tests.reachable import ReachableStore

ADA, EVE = "ada@example.org", "eve@example.org"
UNIT = 1 << 18
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 3000


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator() as emulator:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", emulator.url)
        yield emulator


@pytest.fixture
def bucket(emulator: Emulator) -> Bucket:
    return emulator.make_bucket("jobs")


@pytest.fixture
def store(bucket: Bucket) -> Iterator[GcsStore]:
    store = GcsStore(bucket.name)
    yield store
    store.close()


@pytest.fixture
async def outward() -> AsyncIterator[httpx.AsyncClient]:
    """Reaches the bucket as a client does, past the service."""
    async with outward_client() as client:
        yield client


def service(store: ObjectStore, outward: httpx.AsyncClient, *, user: str = ADA, **config: Any) -> ClientInProcess:
    client = in_process(
        WebConfig(**config),
        store=store,
        direct=store if isinstance(store, DirectStore) else None,
        identity=Identity([], trusts_header=True),
        queue_identity=SharedSecret(InternalToken("secret")),
        outward=outward,
    )
    client.headers["X-User-Email"] = user
    return client


async def begun(client: ClientInProcess, *, size: int = len(PDF), **fields: Any) -> dict[str, str]:
    answer = await client.post("/api/direct-uploads", json={"filename": "scan.pdf", "size": size, **fields})
    assert answer.status_code == 201, answer.text
    body: dict[str, str] = answer.json()
    assert answer.headers["location"] == f"/api/direct-uploads/{body['upload_id']}"
    return body


async def left(client: ClientInProcess, upload: dict[str, str]) -> list[str]:
    return [stat.path async for stat in client.web.store.list("") if upload["upload_id"] in stat.path]


async def test_a_file_that_went_to_the_bucket_becomes_a_job_like_any_other(
    store: GcsStore, outward: httpx.AsyncClient
) -> None:
    async with service(store, outward) as client:
        upload = await begun(client, pages="1-2", dpi=200, ocr="text")
        assert (await outward.put(upload["upload_url"], content=PDF)).status_code == 200
        answers = [await client.post(upload["complete"]) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [202, 202]
        assert answers[0].json() == answers[1].json()
        address = answers[0].headers["location"]
        job = (await client.get(f"{address}/status")).json()
        assert job["job_id"] == upload["upload_id"]
        assert job["file_info"]["filename"] == job["file_info"]["raw_file"] == "scan.pdf"
        assert (job["file_info"]["file_type"], job["file_info"]["file_size"]) == ("pdf", len(PDF))
        options = job["options"]
        assert (options["pages"], options["dpi"], options["engine"], options["ocr"]) == ("1-2", 200, None, "text")
        stored = await client.get(f"/storage/{job['user_hash']}/{job['job_id']}/scan.pdf")
        assert stored.content == PDF


async def test_the_address_is_forgotten_once_the_job_is_made(store: GcsStore, outward: httpx.AsyncClient) -> None:
    async with service(store, outward) as client:
        upload = await begun(client)
        await outward.put(upload["upload_url"], content=PDF)
        await client.post(upload["complete"])
        for path in await left(client, upload):
            assert upload["upload_url"].rpartition("=")[2].encode() not in (await store.read(path)).data


async def test_an_upload_goes_on_where_the_connection_broke(store: GcsStore, outward: httpx.AsyncClient) -> None:
    async with service(store, outward) as client:
        upload = await begun(client)
        url, size = upload["upload_url"], len(PDF)
        first = await outward.put(
            url, content=PDF[:UNIT], headers={"Content-Range": f"bytes 0-{UNIT - 1}/{size}"}, follow_redirects=False
        )
        asked = await outward.put(url, headers={"Content-Range": f"bytes */{size}"}, follow_redirects=False)
        assert (first.status_code, asked.status_code) == (308, 308)
        assert asked.headers["range"] == f"bytes=0-{UNIT - 1}"
        early = await client.post(upload["complete"])
        assert (early.status_code, early.json()["title"]) == (409, "Upload incomplete")
        rest = await outward.put(url, content=PDF[UNIT:], headers={"Content-Range": f"bytes {UNIT}-{size - 1}/{size}"})
        assert rest.status_code == 200
        assert (await client.post(upload["complete"])).status_code == 202


@pytest.mark.parametrize(("size", "status"), [(99, 201), (100, 201), (101, 413), (0, 400), (-1, 400)])
async def test_the_size_is_held_against_the_limit_before_anything_is_sent(
    store: GcsStore, outward: httpx.AsyncClient, size: int, status: int
) -> None:
    async with service(store, outward, upload_max_bytes=100) as client:
        answer = await client.post("/api/direct-uploads", json={"size": size})
        assert answer.status_code == status
        assert len([stat async for stat in store.list("")]) == (2 if status == 201 else 0)


@pytest.mark.parametrize(("before", "status"), [(1, 201), (2, 201), (3, 429)])
async def test_direct_uploads_count_among_the_active_jobs(
    store: GcsStore, outward: httpx.AsyncClient, before: int, status: int
) -> None:
    async with service(store, outward, active_jobs_per_user=3) as client:
        for _ in range(before):
            await begun(client)
        answer = await client.post("/api/direct-uploads", json={"size": 10})
        assert answer.status_code == status


async def test_the_bucket_takes_what_was_announced_and_no_more(store: GcsStore, outward: httpx.AsyncClient) -> None:
    async with service(store, outward) as client:
        upload = await begun(client, size=10)
        assert (await outward.put(upload["upload_url"], content=PDF)).status_code == 400
        assert (await client.post(upload["complete"])).status_code == 409


async def test_a_size_that_the_bucket_did_not_mind_is_minded_here(outward: httpx.AsyncClient) -> None:
    store = ReachableStore()
    async with service(store, outward) as client:
        upload = await begun(client, size=10)
        await store.arrive(upload["upload_url"], PDF)
        answer = await client.post(upload["complete"])
        assert (answer.status_code, answer.json()["title"]) == (422, "Wrong size")
        assert [path.split("/")[0] for path in await left(client, upload)] == ["tombstones"]


async def test_what_is_no_document_is_refused_and_goes(store: GcsStore, outward: httpx.AsyncClient) -> None:
    async with service(store, outward) as client:
        upload = await begun(client, size=3000)
        await outward.put(upload["upload_url"], content=b"Dear Sir" * 375)
        assert (await client.post(upload["complete"])).status_code == 415
        assert [path.split("/")[0] for path in await left(client, upload)] == ["tombstones"]
        assert (await client.post(upload["complete"])).status_code == 404


async def test_only_the_owner_may_complete_an_upload_or_give_it_up(store: GcsStore, outward: httpx.AsyncClient) -> None:
    async with service(store, outward) as client, service(store, outward, user=EVE) as other:
        upload = await begun(client)
        await outward.put(upload["upload_url"], content=PDF)
        before = await left(client, upload)
        assert (await other.post(upload["complete"])).status_code == 404
        assert (await other.delete(f"/api/direct-uploads/{upload['upload_id']}")).status_code == 404
        assert await left(client, upload) == before
        assert (await client.post(upload["complete"])).status_code == 202


async def test_an_upload_that_was_given_up_takes_nothing_any_more(store: GcsStore, outward: httpx.AsyncClient) -> None:
    async with service(store, outward) as client:
        upload = await begun(client)
        assert (await client.delete(f"/api/direct-uploads/{upload['upload_id']}")).status_code == 204
        assert (await outward.put(upload["upload_url"], content=PDF)).status_code == 499
        assert (await client.post(upload["complete"])).status_code == 404
        assert [path.split("/")[0] for path in await left(client, upload)] == ["tombstones"]


async def test_an_upload_that_is_a_job_is_not_given_up(store: GcsStore, outward: httpx.AsyncClient) -> None:
    async with service(store, outward) as client:
        upload = await begun(client)
        await outward.put(upload["upload_url"], content=PDF)
        await client.post(upload["complete"])
        answer = await client.delete(f"/api/direct-uploads/{upload['upload_id']}")
        assert (answer.status_code, answer.json()["title"]) == (409, "Upload complete")


async def test_an_upload_whose_time_is_over_is_refused_and_swept(store: GcsStore, outward: httpx.AsyncClient) -> None:
    async with service(store, outward, upload_expires_seconds=0.001, lease_seconds=0.001) as client:
        upload = await begun(client)
        while await store.now() <= uploads.decode(await upload_file(store, upload)).expires_at:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        assert (await client.post(upload["complete"])).status_code == 410
        await client.web.sweeper.sweep()
        assert [path.split("/")[0] for path in await left(client, upload)] == ["tombstones"]
        assert (await outward.put(upload["upload_url"], content=PDF)).status_code == 499


async def test_an_upload_that_cannot_be_closed_is_left_for_the_next_sweep(
    store: GcsStore, outward: httpx.AsyncClient, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.storage.retries.PATIENCE_SECONDS", 0.2)
    async with service(store, outward, upload_expires_seconds=0.001, lease_seconds=0.001) as client:
        upload = await begun(client)
        while await store.now() <= uploads.decode(await upload_file(store, upload)).expires_at:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        before = await left(client, upload)
        emulator.faults.order(Fault.UNAVAILABLE, method="DELETE", times=50)
        await client.web.sweeper.sweep()
        assert await left(client, upload) == before
        emulator.faults.forget()
        await client.web.sweeper.sweep()
        assert [path.split("/")[0] for path in await left(client, upload)] == ["tombstones"]


async def test_the_sweep_makes_the_job_when_the_client_does_not_come_back(
    store: GcsStore, outward: httpx.AsyncClient
) -> None:
    async with service(store, outward) as client:
        upload = await begun(client)
        await outward.put(upload["upload_url"], content=PDF)
        await client.web.sweeper.sweep()
        assert (await client.get(f"/api/jobs/{upload['upload_id']}/status")).json()["status"] == "queued"


async def test_two_who_complete_at_once_make_one_job(store: GcsStore, outward: httpx.AsyncClient) -> None:
    async with service(store, outward) as client, service(store, outward) as another:
        upload = await begun(client)
        await outward.put(upload["upload_url"], content=PDF)
        answers = await asyncio.gather(*(each.post(upload["complete"]) for each in (client, another, client)))
        assert [answer.status_code for answer in answers] == [202, 202, 202]
        assert len({answer.headers["location"] for answer in answers}) == 1
        assert len((await client.get("/api/jobs")).json()["jobs"]) == 1


async def test_the_ways_of_uploading_do_not_mix(store: GcsStore, outward: httpx.AsyncClient) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    async with service(store, outward) as client:
        direct = await begun(client)
        assert (await client.head(f"/api/uploads/{direct['upload_id']}", headers=tus)).status_code == 404
        answer = await client.post("/api/uploads", headers={**tus, "Upload-Length": "10"})
        resumable = answer.headers["location"].rpartition("/")[2]
        assert (await client.post(f"/api/direct-uploads/{resumable}/complete")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"size": "9"}',
        b'{"size": 9, "pages": "x"}',
        b'{"size": 9, "dpi": 9}',
        b'{"size": 9, "ocr": "no"}',
        b'{"size": 9, "to": "a"}',
    ],
    ids=["none", "no-size", "text", "pages", "dpi", "ocr", "unknown"],
)
async def test_an_order_that_makes_no_sense_begins_nothing(
    store: GcsStore, outward: httpx.AsyncClient, body: bytes
) -> None:
    async with service(store, outward) as client:
        answer = await client.post("/api/direct-uploads", content=body)
        assert answer.status_code == 422
        assert answer.json()["hint"]
        assert [stat async for stat in store.list("")] == []


async def test_a_bucket_that_opens_no_session_leaves_nothing_behind(
    store: GcsStore, outward: httpx.AsyncClient, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.storage.retries.PATIENCE_SECONDS", 0.2)
    async with service(store, outward) as client:
        emulator.faults.order(Fault.UNAVAILABLE, text="uploadType=resumable", times=50)
        answer = await client.post("/api/direct-uploads", json={"size": 10})
        emulator.faults.forget()
        assert answer.status_code == 503
        assert [stat async for stat in store.list("")] == []


async def test_an_installation_without_a_bucket_names_the_other_ways(outward: httpx.AsyncClient) -> None:
    async with service(MemoryStore(), outward) as client:
        answer = await client.post("/api/direct-uploads", json={"size": 10})
        assert (answer.status_code, answer.json()["title"]) == (404, "No direct uploads here")
        assert "/upload" in answer.json()["hint"]
        assert "/api/uploads" in answer.json()["hint"]
        assert (await client.get("/version")).json()["direct_uploads"] is False


async def test_only_the_page_of_a_service_with_a_bucket_may_connect_to_it(
    store: GcsStore, outward: httpx.AsyncClient, emulator: Emulator
) -> None:
    async with service(store, outward) as client, service(MemoryStore(), outward) as local:
        assert (await client.get("/version")).json()["direct_uploads"] is True
        policy = (await client.get("/")).headers["content-security-policy"]
        assert policy.endswith(f"; connect-src 'self' {emulator.url}")
        assert "connect-src" not in (await local.get("/")).headers["content-security-policy"]


async def test_a_job_that_was_deleted_stays_so_when_its_upload_is_completed_again(
    store: GcsStore, outward: httpx.AsyncClient
) -> None:
    async with service(store, outward) as client:
        upload = await begun(client)
        await outward.put(upload["upload_url"], content=PDF)
        await client.post(upload["complete"])
        assert (await client.delete(f"/api/jobs/{upload['upload_id']}")).status_code == 204
        assert (await client.post(upload["complete"])).status_code == 404
        path = layout.session_prefix(layout.user_hash(ADA), upload["upload_id"])
        assert not await exists(store, f"{path}scan.pdf")
        with pytest.raises(NotFound):
            await upload_file(store, upload)


async def upload_file(store: ObjectStore, upload: dict[str, str]) -> bytes:
    path = layout.session_prefix(layout.user_hash(ADA), upload["upload_id"]) + layout.UPLOAD
    return (await store.read(path)).data
