"""A worker whose engine needs the model: real processes and an emulated hub."""

import concurrent.futures
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from libs.internal_token import HEADER
from tests.documents import pdf
from tests.emulators.hub.model import COMMIT, NAME, made, place
from tests.emulators.hub.server import Hub
from tests.integration.system.test_metrics import samples
from tests.required import need_model_package
from tests.running import Running, running
from tests.scripted import Script

need_model_package("huggingface_hub")


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as hub:
        yield hub


@contextmanager
def services(folder: Path, hub: Hub, **environ: str) -> Iterator[Running]:
    """Web and worker, which answer; the engine may still be loading."""
    environ = {
        "OCR_ENGINE": "tests.modelled:create",
        "HF_ENDPOINT": hub.url,
        "MODEL_REVISION": "main",
        "HF_CACHE_HOST_PATH": str(folder / "cache"),
        **environ,
    }
    found = Running(folder, script=None, environ=environ)
    try:
        found.start("web")
        found.start("worker")
        found.until(lambda: reached(found, "/health"), "the worker to answer")
        found.until(lambda: answers(found), "web to answer")
        yield found
    finally:
        found.stop()


def worker(services: Running, path: str) -> str:
    return f"http://127.0.0.1:{services.worker_port}{path}"


def reached(services: Running, path: str) -> httpx.Response | None:
    try:
        return services.client.get(worker(services, path))
    except httpx.TransportError:
        return None


def answers(services: Running) -> bool:
    try:
        return services.get("/version").status_code == 200
    except httpx.TransportError:
        return False


def cache(services: Running) -> dict[str, Any]:
    found: dict[str, Any] = services.get("/cache/info").raise_for_status().json()
    return found


def warm(services: Running) -> httpx.Response:
    token = (services.storage / "system" / "internal_token").read_text()
    return httpx.post(worker(services, "/cache/warm"), headers={HEADER: token}, timeout=60, trust_env=False)


def written(services: Running) -> dict[str, Any]:
    """The status that the worker has written for web; empty before the first time."""
    try:
        found: dict[str, Any] = json.loads((services.storage / "system" / "worker.json").read_bytes())
    except FileNotFoundError:
        return {}
    return found


def test_job_that_comes_while_the_model_is_fetched_waits_and_is_read(tmp_path: Path, hub: Hub) -> None:
    hub.add(made(shard_bytes=400_000))
    hub.hold_from = 400_000
    with services(tmp_path, hub) as found:
        job_id = found.upload(pdf(tmp_path / "two.pdf", 2), ocr="force")
        report = found.until(lambda: (report := cache(found))["progress"] and report, "progress")
        ready = reached(found, "/ready")
        assert ready is not None
        assert (ready.status_code, ready.json()["engine_state"]) == (503, "loading")
        assert (report["present"], report["complete"], report["engine_state"]) == (report["present"], False, "loading")
        assert 0 <= report["progress"]["bytes_done"] <= report["progress"]["bytes_total"]
        assert found.status(job_id)["status"] in ("queued", "extracting", "processing")
        health = reached(found, "/health")
        assert health is not None
        assert (health.status_code, health.json()["model_cache"]["complete"]) == (200, False)
        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            warming = [threads.submit(warm, found) for _ in range(2)]
            hub.go_on()
            warmed = [answer.result() for answer in warming]
        job = found.ended(job_id)

        assert [answer.status_code for answer in warmed] == [200, 200]
        assert hub.asked["GET revision"] == 1, "the start, the job and both warms shared one load"
        assert job["status"] == "completed"
        assert {page["status"] for page in job["pages"].values()} == {"completed"}
        report = cache(found)
        assert (report["model"], report["revision"], report["commit"]) == (NAME, "main", COMMIT)
        assert (report["present"], report["complete"], report["offline"], report["needed"]) == (True, True, True, True)
        assert report["cache_root"] == str(tmp_path / "cache")
        assert report["size_bytes"] > 800_000
        assert report["source"].startswith("Downloaded from")
        found.until(lambda: written(found).get("cache", {}).get("complete"), "the status to be written")
        counted = samples(worker(found, ""))
        assert counted["gnosis_model_cache_total", ("miss",)] == 1
        assert ("gnosis_model_brought_seconds", ("hub",)) in counted
        assert counted["gnosis_engine_load_seconds", ("modelled",)] > 0


def test_load_that_failed_is_tried_again_by_a_warm_call_and_by_a_job(tmp_path: Path, hub: Hub) -> None:
    with services(tmp_path, hub) as found:
        health = found.until(
            lambda: (report := reached(found, "/health")) and report.status_code == 503 and report, "the load to fail"
        )
        assert "Correct MODEL_NAME" in health.json()["reason"]
        assert httpx.post(worker(found, "/cache/warm"), trust_env=False).status_code == 401
        refused = warm(found)
        assert refused.status_code == 503
        assert "Correct MODEL_NAME" in refused.json()["detail"]
        found.until(lambda: written(found).get("state") == "failed", "the status to be written")

        hub.add(made())
        answer = warm(found)

        assert answer.status_code == 200, answer.text
        assert (answer.json()["engine"], answer.json()["engine_state"]) == ("modelled", "ready")
        found.wait_ready()
        found.until(lambda: written(found).get("state") == "ready", "the status to be written")
        job = found.ended(found.upload(pdf(tmp_path / "one.pdf", 1), ocr="force"))
        assert job["status"] == "completed"


def test_job_is_not_lost_when_the_model_comes_only_later(tmp_path: Path, hub: Hub) -> None:
    with services(tmp_path, hub) as found:
        job_id = found.upload(pdf(tmp_path / "one.pdf", 1), ocr="force")
        refusal = ("gnosis_http_requests_total", ("POST", "/process-ocr-batch", "503"))
        found.until(lambda: samples(worker(found, "")).get(refusal), "the queue to be answered 503")
        hub.add(made())

        assert found.ended(job_id)["status"] == "completed"


def test_complete_model_is_a_hit_and_the_hub_is_not_asked(tmp_path: Path, hub: Hub) -> None:
    place(tmp_path / "cache", made(), linked=False)
    with services(tmp_path, hub, MODEL_OFFLINE="true") as found:
        found.wait_ready()
        assert samples(worker(found, ""))["gnosis_model_cache_total", ("hit",)] == 1
        assert cache(found)["source"] == "It was in the cache."
    assert hub.asked.total() == 0


def test_strict_offline_says_model_cache_not_available(tmp_path: Path, hub: Hub) -> None:
    with services(tmp_path, hub, MODEL_OFFLINE="true") as found:
        health = found.until(
            lambda: (report := reached(found, "/health")) and report.status_code == 503 and report, "the load to fail"
        )
        assert health.json()["reason"].startswith("Model cache not available")
        found.kill("worker")
        found.start("worker", OCR_ENGINE="nanonets")
        assert found.wait_exit("worker") == 2
        assert "gnosis-ocr worker: Model cache not available" in (tmp_path / "worker.log").read_text()
    assert hub.asked.total() == 0


def test_engine_that_needs_no_model_fetches_none(tmp_path: Path, hub: Hub) -> None:
    hub.add(made())
    with running(tmp_path, script=Script(), HF_ENDPOINT=hub.url, HF_CACHE_HOST_PATH=str(tmp_path / "cache")) as found:
        assert warm(found).status_code == 200
        assert found.ended(found.upload(pdf(tmp_path / "one.pdf", 1), ocr="force"))["status"] == "completed"
        report = cache(found)
        assert (report["present"], report["complete"], report["needed"]) == (False, False, False)
        assert "needs no model of this cache" in report["detail"]
    assert hub.asked.total() == 0
    assert not (tmp_path / "cache").exists()
