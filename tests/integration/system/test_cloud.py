"""Whole jobs in cloud mode: the services as they ship, Google's own clients, emulators of bucket and queue."""

import signal
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.cloudmode.cloud import BUCKET, OPERATOR, STATE_BUCKET, USER, Cloud, cloud
from tests.documents import pdf
from tests.emulators.gcs.faults import Fault
from tests.scripted import Script

PAGES = 12


def all_pages_once(services: Cloud) -> bool:
    return services.read_counts() == dict.fromkeys(range(1, PAGES + 1), 1)


def texts(services: Cloud, job_id: str) -> list[str]:
    combined = services.get(f"/api/jobs/{job_id}/result")
    assert combined.status_code == 200
    return [line for line in combined.text.splitlines() if line.startswith("Page ")]


def test_job_goes_from_upload_to_its_end_and_leaves_nothing_on_the_local_disk(tmp_path: Path) -> None:
    with cloud(tmp_path) as services:
        assert services.get("/version").json()["mode"] == "cloud"
        job_id = services.upload(pdf(tmp_path / "document.pdf", PAGES))
        job = services.ended(job_id)
        assert (job["status"], job["user_email"]) == ("completed", USER)
        assert all_pages_once(services)
        assert [line.split()[1] for line in texts(services, job_id)] == [str(n) for n in range(1, PAGES + 1)]
        image = services.get(f"/storage/{job['user_hash']}/{job_id}/page_001.png", Range="bytes=0-7")
        assert (image.status_code, image.content) == (206, b"\x89PNG\r\n\x1a\n")
        assert services.get("/ready").json() == {"ready": True}
        operator = {"Authorization": f"Bearer {OPERATOR}"}
        assert services.get("/ready", **operator).json()["queue"] == {
            "ocr-processing": {"status": "ok"},
            "ocr-extraction": {"status": "ok"},
            "ocr-webhooks": {"status": "ok"},
        }
        assert services.get("/cache/info").json()["engine"] == "scripted", "as the worker left it: no call wakes a GPU"
        assert services.client.delete(f"{services.url}/api/jobs/{job_id}").status_code == 204
        names = {
            bucket: [
                item["name"] for item in httpx.get(f"{services.bucket.url}/storage/v1/b/{bucket}/o").json()["items"]
            ]
            for bucket in (BUCKET, STATE_BUCKET)
        }
        assert {name.rsplit("/", 1)[0] for name in names[STATE_BUCKET]} == {"system/keys"}
        assert not [name for name in names[BUCKET] if "/keys/" in name], "where the extractor and the worker read"
        left = [name for name in names[BUCKET] if job_id in name]
        assert [name.split("/")[0] for name in left] == ["tombstones"]
        assert not services.storage.exists()


def test_nobody_gets_in_on_an_address_alone_and_only_the_queue_at_the_inner_doors(tmp_path: Path) -> None:
    with cloud(tmp_path) as services:
        bare = httpx.get(f"{services.url}/api/jobs", headers={"X-User-Email": USER})
        assert (bare.status_code, bare.headers["content-type"]) == (401, "application/problem+json")
        worker = f"http://127.0.0.1:{services.worker_port}"
        for address in (
            f"{services.url}/internal/sweep",
            f"{services.url}/internal/extract",
            f"{worker}/process-ocr-batch",
        ):
            # A service that refuses a request without reading its body closes the connection behind its answer, and
            # a request sent over it at that moment has none: each goes over its own.
            own = {"Connection": "close"}
            assert services.client.post(address, json={"session_id": "0" * 32}, headers=own).status_code == 401


@pytest.mark.slow
def test_job_goes_through_as_on_cloud_run_which_takes_the_signature_of_the_queues_tokens_away(tmp_path: Path) -> None:
    secret = "a-secret-that-both-services-are-given"
    with cloud(tmp_path, "--strip-signatures", K_SERVICE="gnosis", INTERNAL_TOKEN=secret) as services:
        job_id = services.upload(pdf(tmp_path / "document.pdf", PAGES))
        assert services.ended(job_id)["status"] == "completed"
        assert all_pages_once(services)


@pytest.mark.slow
def test_job_survives_bad_weather_at_bucket_and_queue(tmp_path: Path) -> None:
    rates = ["--unavailable", "0.2", "--answer-lost", "0.2", "--doubled", "0.5", "--unheard", "0.3"]
    weather = {Fault.UNAVAILABLE: 0.1, Fault.BUSY: 0.05, Fault.RESET: 0.15, Fault.LOST: 0.05}
    with cloud(tmp_path, *rates, "--late-seconds", "0.5", weather=weather) as services:
        path = pdf(tmp_path / "document.pdf", PAGES)
        job_id = services.until(lambda: _try_upload(services, path), "an upload to be taken")
        assert services.ended(job_id, seconds=180)["status"] == "completed"
        services.bucket.faults.set({})
        assert [line.split()[1] for line in texts(services, job_id)] == [str(n) for n in range(1, PAGES + 1)]
        assert min(services.bucket.faults.happened[fault] for fault in weather) > 0


@pytest.mark.slow
def test_job_survives_the_loss_of_every_task_and_of_both_services(tmp_path: Path) -> None:
    with cloud(tmp_path, script=Script(seconds=0.2), lease_seconds=3) as services:
        job_id = services.upload(pdf(tmp_path / "document.pdf", PAGES))
        services.until(services.read_counts, "a page to be read")
        services.tasks.kill()
        services.kill("worker", signal.SIGKILL)
        services.kill("web", signal.SIGKILL)
        services.tasks.start()
        services.environ["EMULATED_KEYS_URL"] = services.tasks.keys_url
        services.start("web")
        services.start("worker")
        assert services.ended(job_id, seconds=120)["status"] == "completed"
        counts = Counter(services.read_counts())
        assert set(counts) == set(range(1, PAGES + 1))
        assert sum(counts.values()) <= PAGES + 2, "a page with a result was read again"


@pytest.mark.slow
def test_worker_told_to_stop_ends_in_time_and_the_job_goes_on_without_waiting_for_its_lease(tmp_path: Path) -> None:
    with cloud(tmp_path, script=Script(seconds=0.3), lease_seconds=300) as services:
        job_id = services.upload(pdf(tmp_path / "document.pdf", PAGES))
        services.until(services.read_counts, "a page to be read")
        assert services.kill("worker", signal.SIGTERM) == 0
        services.start("worker")
        # The lease outlives this test, so only a lease that was given back lets the job end.
        assert services.ended(job_id)["status"] == "completed"


@pytest.mark.slow
def test_a_file_goes_to_the_bucket_itself_and_its_address_into_no_log(tmp_path: Path) -> None:
    with cloud(tmp_path, LOG_LEVEL="DEBUG") as services:
        path = pdf(tmp_path / "document.pdf", PAGES)
        order = {"filename": path.name, "size": path.stat().st_size}
        upload = services.client.post(f"{services.url}/api/direct-uploads", json=order).json()
        assert httpx.put(upload["upload_url"], content=path.read_bytes(), trust_env=False).status_code == 200
        done = services.client.post(services.url + upload["complete"])
        assert done.status_code == 202
        assert services.ended(done.json()["job_id"])["status"] == "completed"
        assert all_pages_once(services)
        given_up = services.client.post(f"{services.url}/api/direct-uploads", json=order).json()
        services.client.delete(f"{services.url}/api/direct-uploads/{given_up['upload_id']}").raise_for_status()
        logs = "".join(log.read_text() for log in tmp_path.glob("*.log"))
        assert "job_created" in logs
        for secret in (upload["upload_url"], given_up["upload_url"]):
            assert secret.rpartition("=")[2] not in logs


def _try_upload(services: Cloud, path: Path) -> str | None:
    with path.open("rb") as file:
        answer = services.client.post(f"{services.url}/upload", files={"file": (path.name, file)})
    return str(answer.json()["job_id"]) if answer.status_code == 202 else None
