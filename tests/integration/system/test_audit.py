"""Audit events of running services: a JSON line for each read, deletion and refusal, and for keys."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from libs.storage import layout
from tests import ROOT
from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script

OWNER, OTHER = "owner@example.org", "other@example.org"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def events(services: Running) -> list[dict[str, Any]]:
    text = (services.storage / "logs" / "audit.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def of(services: Running, *actions: str) -> list[tuple[str, str, int]]:
    found = [event for event in events(services) if event["action"] in actions]
    return [(event["action"], event["outcome"], event["status"]) for event in found]


def test_reads_deletions_and_refusals_are_lines_of_json_beside_the_log(tmp_path: Path) -> None:
    with running(tmp_path, script=Script()) as services:
        job_id = services.upload(pdf(tmp_path / "a-file-name.pdf", 1), user=OWNER)
        services.until(lambda: services.status(job_id, user=OWNER)["status"] == "completed", "the job to end")
        pages = f"/api/jobs/{job_id}/pages/1"
        owner = {"X-User-Email": OWNER}
        assert services.get(pages, **owner, traceparent=f"00-{TRACE}-00f067aa0ba902b7-01").status_code == 200
        assert services.get(pages, **{"X-User-Email": OTHER}).status_code == 404
        own_hash = layout.user_hash(OWNER)
        stored = f"/storage/{own_hash}/{job_id}/a-file-name.pdf"
        assert services.get(stored, **owner, Range="bytes=0-3").status_code == 206
        assert services.get("/api/jobs", Origin="http://evil.example").status_code == 403
        address = f"http://127.0.0.1:{services.worker_port}/process-ocr-batch"
        assert httpx.post(address, json={}, headers={"X-Internal-Token": "guess"}, trust_env=False).status_code == 401
        gone = services.client.delete(f"{services.url}/api/jobs/{job_id}", headers=owner)
        assert gone.status_code == 204

        assert of(services, "page.read") == [("page.read", "allowed", 200), ("page.read", "refused", 404)]
        assert of(services, "file.read", "job.delete") == [
            ("file.read", "allowed", 206),
            ("job.delete", "allowed", 204),
        ]
        assert of(services, "request", "queue.push") == [("request", "refused", 403), ("queue.push", "refused", 401)]
        assert not of(services, "job.status"), "asked again and again"
        read, refused = [event for event in events(services) if event["action"] == "page.read"]
        assert (read["trace_id"], read["job_id"], read["page_no"]) == (TRACE, job_id, 1)
        assert (read["user_hash"], refused["user_hash"]) == (own_hash, layout.user_hash(OTHER))
        assert all(
            {"log", "schema", "action", "outcome", "service", "time"} <= event.keys() for event in events(services)
        )
        file = services.storage / "logs" / "audit.jsonl"
        assert file.stat().st_mode & 0o077 == 0
        text = file.read_text()
        assert not [hidden for hidden in ("@", "a-file-name", "guess", "evil.example", "Page 1") if hidden in text]
        assert "page.read" not in (services.logs / "web.log").read_text(), "people read that one"


def test_a_key_is_followed_from_its_making_to_its_end(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(), API_KEYS="true", LOG_FORMAT="json") as services:

        def keys(*words: str) -> str:
            command = [sys.executable, "-m", "services.web.auth.cli", *words]
            return subprocess.run(
                command, cwd=ROOT, env=services.environ, capture_output=True, check=True
            ).stdout.decode()

        text = keys("create", "--email", OWNER).strip()
        key_id = text.split("_")[1]
        for _ in range(3):
            assert services.get("/api/jobs", Authorization=f"Bearer {text}").status_code == 200
        near = f"{text[:-1]}{'1' if text.endswith('0') else '0'}"
        assert services.get("/api/jobs", Authorization=f"Bearer {near}").status_code == 401
        wrong = f"{text[:-64]}{'0' * 64}"
        assert services.get("/api/jobs", Authorization=f"Bearer {wrong}").status_code == 401
        assert services.get("/api/jobs").status_code == 401
        keys("revoke", key_id)

        by_key = [(event["action"], event["outcome"]) for event in events(services) if event.get("key_id") == key_id]
        assert by_key[:2] == [("key.create", "allowed"), ("key.use", "allowed")]
        assert ("job.list", "refused") in by_key
        assert by_key[-1] == ("key.revoke", "allowed")
        assert by_key.count(("key.use", "allowed")) == 1
        faults = [event["fault"] for event in events(services) if event["action"] == "job.list"]
        assert faults[-2:] == ["unknown_key", "no_credential"]
        file = (services.storage / "logs" / "audit.jsonl").read_text()
        assert text.split("_")[2] not in file
        assert OWNER not in file
        # As a collector of the log sees them: told apart by one field.
        lines = [json.loads(line) for line in (services.logs / "web.log").read_text().splitlines()]
        seen = [line for line in lines if line.get("log") == "audit"]
        assert seen == [event for event in events(services) if event["service"] == "web"]
