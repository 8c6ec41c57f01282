"""One id joins the log lines of both services about one request."""

import json
from pathlib import Path
from typing import Any

import httpx

from tests.documents import pdf
from tests.running import running
from tests.scripted import Script

ID = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_trace_id_of_the_upload_stands_in_every_line_about_its_job(tmp_path: Path) -> None:
    # No sweep wakes the job while a busy machine is slow with it: that line belongs to the sweep and has no trace.
    quiet = {"SWEEP_SECONDS": "3600", "LEASE_SECONDS": "60"}
    with running(tmp_path, script=Script(), LOG_FORMAT="json", GOOGLE_CLOUD_PROJECT="demo", **quiet) as services:
        path = pdf(tmp_path / "four.pdf", 4)
        answer = httpx.post(
            f"{services.url}/upload",
            files={"file": (path.name, path.read_bytes())},
            headers={"traceparent": f"00-{ID}-00f067aa0ba902b7-01"},
        )
        job_id = answer.json()["job_id"]
        services.ended(job_id)
        other = services.upload(path)
        services.ended(other)
        # The extractor writes it when its call ends, which may be after the job has.
        web_log = tmp_path / "web.log"
        services.until(lambda: web_log.read_text().count('"extraction_complete"') == 2, "the last lines")
    web, worker = lines(tmp_path / "web.log"), lines(tmp_path / "worker.log")
    for about, found in ((job_id, True), (other, False)):
        told = [line for line in web + worker if line.get("job_id") == about]
        assert {line["message"] for line in told} >= {"job_created", "extraction_complete", "page_completed"}
        assert {line["trace_id"] == ID for line in told} == {found}
        assert len({line["trace_id"] for line in told}) == 1
    line = next(line for line in worker if line["message"] == "page_completed" and line["job_id"] == job_id)
    assert (line["severity"], line["service"]) == ("INFO", "worker")
    assert line["logging.googleapis.com/trace"] == f"projects/demo/traces/{ID}"
    assert line["time"].endswith("Z")


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
