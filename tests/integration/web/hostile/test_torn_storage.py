"""Objects that are damaged in the storage: their jobs say so, can be deleted, and stop no other job."""

import json
from pathlib import Path

import httpx
import pytest

from tests.integration.web.hostile.wire import NESTED, assert_problem
from tests.running import Running, running
from tests.scripted import Script


@pytest.mark.parametrize(
    "torn",
    [b"", b"{", b"\xff\xfe", b'{"job_id":"x"}', b'{"a":' + NESTED + b"}"],
    ids=["empty", "cut off", "no text", "no job", "nested"],
)
def test_a_torn_record_is_made_anew_and_can_be_deleted(services: Running, document: bytes, torn: bytes) -> None:
    answer = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", document)})
    found = answer.json()["job_id"]
    folder = services.storage / "users" / services.ended(found)["user_hash"] / found
    services.until(lambda: not list(services.storage.glob(f"active/*/{found}")), "the job to retire")
    (folder / "processing.json").write_bytes(torn)

    assert services.get("/api/jobs").status_code == 200
    # The record is made anew from the evidence beside it.
    assert services.ended(found)["status"] == "completed"
    assert services.get(f"/api/jobs/{found}/pages/1").status_code == 200
    assert services.get(f"/api/jobs/{found}/result").status_code == 200
    (folder / "processing.json").write_bytes(torn)
    assert_problem(httpx.delete(f"{services.url}/api/jobs/{found}", headers={"X-User-Email": "a@b.org"}), 404)
    assert httpx.delete(f"{services.url}/api/jobs/{found}").status_code == 204
    assert not folder.exists()
    assert services.get(f"/api/jobs/{found}/status").status_code == 404


def test_a_job_of_which_nothing_is_whole_says_so_and_can_be_deleted(services: Running, document: bytes) -> None:
    answer = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", document)})
    found = answer.json()["job_id"]
    folder = services.storage / "users" / services.ended(found)["user_hash"] / found
    services.until(lambda: not list(services.storage.glob(f"active/*/{found}")), "the job to retire")
    for name in ("intake.json", "processing.json"):
        (folder / name).write_bytes(b'{"a":' + NESTED + b"}")
    assert_problem(services.get(f"/api/jobs/{found}/status"), 409)
    assert httpx.delete(f"{services.url}/api/jobs/{found}").status_code == 204
    assert not folder.exists()


def test_a_torn_result_of_a_page_is_told(services: Running, document: bytes) -> None:
    answer = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", document)})
    found = answer.json()["job_id"]
    folder = services.storage / "users" / services.ended(found)["user_hash"] / found
    (folder / "page_001_result.json").write_bytes(b'{"page_no":1,')
    assert_problem(services.get(f"/api/jobs/{found}/pages/1"), 409)
    assert services.get(f"/api/jobs/{found}/result").status_code == 200


@pytest.mark.slow
def test_a_torn_object_of_one_job_does_not_stop_the_sweep_of_others(tmp_path: Path, document: bytes) -> None:
    with running(tmp_path, script=Script(), UPLOAD_STALL_SECONDS="5") as services:
        answer = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", document)})
        first = services.ended(answer.json()["job_id"])
        services.kill("worker")
        waiting = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", document)}).json()["job_id"]
        services.until(lambda: services.status(waiting)["current_step"] == "extraction_complete", "the page's image")
        services.kill("web")
        # The ids sort by time, so the sweep meets the torn job first.
        torn = services.storage / "active" / first["user_hash"] / first["job_id"]
        torn.parent.mkdir(parents=True, exist_ok=True)
        torn.write_bytes(b'{"a":' + NESTED + b"}")
        folder = services.storage / "users" / first["user_hash"] / first["job_id"]
        (folder / "batches" / "combine.json").unlink()
        record = json.loads((folder / "processing.json").read_bytes())
        record |= {"status": "processing", "updated_at": "2020-01-01T00:00:00Z"}
        (folder / "processing.json").write_text(json.dumps(record))
        services.start("web")
        services.start("worker")
        assert services.ended(waiting)["status"] == "completed"
        assert services.ended(first["job_id"])["status"] == "completed"
