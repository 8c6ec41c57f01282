"""A disk that is nearly full: uploads are refused before it is, and what runs goes on."""

from pathlib import Path

import msgspec
import pytest

from libs.jobstate import record
from libs.storage import layout
from libs.storage.errors import OutOfSpace
from libs.storage.local import LocalStore
from libs.storage.session import SessionFiles
from services.web.system.probes import _disk
from tests.jobs import opened
from tests.tusclient import BODY_TYPE, PDF, Client

# No test machine has so much.
MORE_THAN_ANY_DISK = 1 << 60


def client_of(store: LocalStore) -> Client:
    client = Client(store)
    client.web = msgspec.structs.replace(client.web, finite=store)
    client.app.state.web = client.web
    return client


async def left(store: LocalStore) -> list[str]:
    return [stat.path async for stat in store.list("")]


@pytest.mark.parametrize("way", ["form", "tus"])
async def test_upload_is_refused_before_anything_of_it_is_stored(tmp_path: Path, way: str) -> None:
    store = LocalStore(tmp_path / "storage", reserve_bytes=MORE_THAN_ANY_DISK)
    client = client_of(store)
    if way == "tus":
        answer = await client.send("POST", "/api/uploads", Upload_Length=str(len(PDF)))
    else:
        form = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n',
            PDF,
            b"\r\n--b--\r\n",
        )
        answer = await client.send("POST", "/upload", *form, Content_Type="multipart/form-data; boundary=b")
    assert answer.status == 507
    assert b"Delete jobs" in answer.body
    assert await left(store) == []


async def test_upload_that_is_larger_than_the_room_is_refused_by_its_announced_length(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "storage")
    client = client_of(store)
    client.web = msgspec.structs.replace(
        client.web, config=msgspec.structs.replace(client.web.config, upload_max_bytes=MORE_THAN_ANY_DISK)
    )
    client.app.state.web = client.web
    assert (await client.send("POST", "/api/uploads", Upload_Length=str(1 << 55))).status == 507
    assert (await client.send("POST", "/api/uploads", Upload_Length=str(len(PDF)))).status == 201


async def test_part_that_arrives_when_room_has_become_scarce_is_refused_and_the_upload_goes_on_later(
    tmp_path: Path,
) -> None:
    store = LocalStore(tmp_path / "storage")
    client = client_of(store)
    created = await client.send("POST", "/api/uploads", Upload_Length=str(len(PDF)))
    address = created.headers["location"]
    store._reserve = MORE_THAN_ANY_DISK
    sent = {"Upload_Offset": "0", "Content_Type": BODY_TYPE}
    assert (await client.send("PATCH", address, PDF, headers=sent)).status == 507
    store._reserve = 0
    assert (await client.send("PATCH", address, PDF, headers=sent)).status == 204


async def test_running_jobs_write_their_records_and_jobs_are_deleted_on_a_disk_without_room(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "storage")
    client = client_of(store)
    job = opened()
    files = SessionFiles(store=store, user_hash=layout.user_hash(client.user), session_id=job.session_id)
    job = msgspec.structs.replace(job, user_email=client.user, user_hash=files.user_hash)
    store._reserve = MORE_THAN_ANY_DISK
    await store.write(files.record_path, record.encode(job))
    await store.write(files.lease_path("0001"), b"{}")
    await store.write(files.page_outcome_path(1), b"{}")
    with pytest.raises(OutOfSpace):
        await files.save_page_image(1, b"png")
    with pytest.raises(OutOfSpace):
        await store.write(files.path("a.pdf"), PDF)
    assert (await client.send("DELETE", f"/api/jobs/{job.job_id}")).status == 204
    assert await left(store) == [files.tombstone_path]


async def test_images_have_half_of_the_reserve_to_themselves(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "storage")
    files = SessionFiles(store=store, user_hash="a" * 12, session_id="0" * 32)
    # Other programs may write meanwhile, but not a quarter of what is free.
    store._reserve = await store.room() * 3 // 2
    await files.save_page_image(1, b"png")
    with pytest.raises(OutOfSpace):
        await store.write(files.part_path(0), PDF)


async def test_probe_says_that_uploads_are_refused(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "storage")
    client = client_of(store)
    assert await _disk(client.web) == "ok"
    store._reserve = MORE_THAN_ANY_DISK
    assert "uploads are refused" in await _disk(client.web)


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("a.pdf", 1.0),
        ("parts/0000000000000000", 1.0),
        ("page_001.png", 0.5),
        ("page_001_result.json", 0.0),
        ("page_001_result.txt", 0.0),
        ("combined_output.md", 0.0),
        ("combined_output.pdf", 1.0),
        ("combined_output.fault", 0.0),
        ("processing.json", 0.0),
        ("intake.json", 0.0),
        ("batches/extract.json", 0.0),
    ],
)
def test_reserve_is_kept_free_of_what_can_wait(name: str, share: float) -> None:
    assert layout.reserve_share(layout.session_prefix("a" * 12, "0" * 32) + name) == share


def test_reserve_is_kept_free_of_files_without_a_job() -> None:
    folder = layout.files_prefix("a" * 12) + "0" * 32
    assert [layout.reserve_share(f"{folder}/{name}") for name in ("content", "about.json")] == [1.0, 0.0]


def test_index_tombstones_and_the_services_own_files_always_find_room() -> None:
    paths = (layout.active_path("a", "b"), layout.tombstone_path("a", "b"), layout.WORKER_STATE)
    assert [layout.reserve_share(path) for path in paths] == [0.0, 0.0, 0.0]
