"""`GET /metrics` of both services: what an operator asks them."""

from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.documents import pdf
from tests.running import running
from tests.scripted import Script


def samples(url: str) -> dict[tuple[str, tuple[str, ...]], float]:
    """Every sample by name and label values, in the labels' own order by name."""
    text = httpx.get(f"{url}/metrics").raise_for_status().text
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_answer_how_many_pages_how_fast_how_many_failed_and_what_waits(tmp_path: Path) -> None:
    script = Script(fail=(2,), blank=(3,), trust={1: 0.5}, stand_in=(4,))
    with running(tmp_path, script=script, SWEEP_SECONDS="0.2") as services:
        worker_url = f"http://127.0.0.1:{services.worker_port}"
        user = "reader@example.org"
        job_id = services.upload(pdf(tmp_path / "secret-name.pdf", 4), user=user)
        services.until(lambda: services.status(job_id, user=user)["status"] == "partial", "the job to end")
        # The job ends before the call that ended it is answered.
        answered = "gnosis_http_requests_total", ("POST", "/process-ocr-batch", "200")
        services.until(lambda: samples(worker_url).get(answered), "the worker's answer")
        worker = samples(worker_url)
        assert worker["gnosis_pages_total", ("scripted", "completed")] == 1
        assert worker["gnosis_pages_total", ("spare", "completed")] == 1
        assert worker["gnosis_pages_total", ("scripted", "failed")] == 1
        assert worker["gnosis_pages_total", ("scripted", "blank")] == 1
        assert worker["gnosis_page_seconds_count", ("scripted",)] == 2
        assert worker["gnosis_tries_total", ("loop", "scripted")] == 1
        assert worker["gnosis_tries_total", ("stop", "spare")] == 1
        assert worker["gnosis_tokens_total", ("scripted",)] == 300
        assert worker["gnosis_fallbacks_total", ("completed",)] == 1
        assert worker["gnosis_low_trust_pages_total", ("scripted",)] == 1
        assert ("gnosis_engine_load_seconds", ("scripted",)) in worker
        web = samples(services.url)
        assert web["gnosis_uploads_total", ("pdf",)] == 1
        assert web["gnosis_pages_rendered_total", ("rendered",)] == 4
        assert web["process_resident_memory_bytes", ()] > 0
        assert ("gnosis_queue_oldest_seconds", ("ocr-processing",)) in web
        services.until(
            lambda: samples(services.url).get(("gnosis_active_jobs", ("processing",))) == 0, "a sweep after the end"
        )
        shown = httpx.get(f"{services.url}/metrics").text + httpx.get(f"{worker_url}/metrics").text
        assert not [told for told in (job_id, user, "secret-name") if told in shown]


def test_address_that_is_no_route_makes_no_label_of_its_own(tmp_path: Path) -> None:
    with running(tmp_path, script=Script()) as services:
        for number in range(3):
            assert services.get(f"/nowhere/{number}").status_code == 404
        httpx.request("BREW", f"{services.url}/upload")
        assert services.get("/static/styles/base.css").status_code == 200
        found = samples(services.url)
        assert found["gnosis_http_requests_total", ("GET", "unknown", "404")] == 3
        assert found["gnosis_http_requests_total", ("GET", "/static/", "200")] == 1
        assert not [labels for _, labels in found if "BREW" in labels or any("nowhere" in label for label in labels)]


def test_job_that_nobody_reads_shows_as_waiting(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(), SWEEP_SECONDS="0.2") as services:
        services.kill("worker")
        services.upload(pdf(tmp_path / "waits.pdf", 1))

        def waits() -> bool:
            found = samples(services.url)
            job = found.get(("gnosis_oldest_waiting_job_seconds", ()), 0.0)
            task = found.get(("gnosis_queue_oldest_seconds", ("ocr-processing",)), 0.0)
            return job > 1.0 and task > 0.0

        services.until(waits, "the job and its task to show as waiting")
