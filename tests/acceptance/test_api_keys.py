"""An installation that asks for keys, from the first key to the last: through the shipped commands."""

import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests import ROOT
from tests.documents import pdf
from tests.running import running
from tests.scripted import Script

OWNER = "owner@example.org"


def command(module: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_key_opens_an_installation_until_it_is_revoked(tmp_path: Path) -> None:
    document = pdf(tmp_path / "two.pdf", 2)
    with running(tmp_path, script=Script(), API_KEYS="true") as services:
        storage = {"STORAGE_PATH": str(services.storage)}
        made = command("services.local", "keys", "create", "--email", OWNER, "--days", "1", **storage)
        assert made.returncode == 0, made.stderr
        key = made.stdout.strip()
        ocr = {"GNOSIS_URL": services.url, **storage}

        refused = command("services.local", "ocr", str(document), **ocr)
        assert refused.returncode == 2
        assert "API key" in refused.stderr
        done = command("services.local", "ocr", str(document), "--keep", **ocr, GNOSIS_API_KEY=key)
        assert done.returncode == 0, done.stderr
        assert "<!-- page 2 -->" in done.stdout
        with httpx.Client(base_url=services.url, headers={"Authorization": f"Bearer {key}"}) as client:
            (job,) = client.get("/api/jobs").json()["jobs"]
            assert job["status"] == "completed"
            address = f"/api/jobs/{job['job_id']}/status"
            assert client.get(address).json()["user_email"] == OWNER
        assert services.get(address, **{"X-User-Email": OWNER}).status_code == 401
        assert services.get("/api/jobs").status_code == 401

        revoked = command("services.web.auth.cli", "revoke", key.split("_")[1], **storage)
        assert revoked.returncode == 0, revoked.stderr
        # A new process remembers no keys.
        services.kill("web")
        services.start("web")
        services.wait_ready()
        assert services.get(address, **{"X-Api-Key": key}).status_code == 401
        assert "credential_refused" in (services.logs / "web.log").read_text()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert key.split("_")[2].encode() not in path.read_bytes(), path
    for log in tmp_path.glob("*.log"):
        assert OWNER not in log.read_text()


def test_cloud_mode_without_identity_ends_with_one_line(tmp_path: Path) -> None:
    for module in ("services.web", "services.worker"):
        ended = command(module, RUNNING_IN_CLOUD="true", STORAGE_PATH=str(tmp_path / "storage"))
        assert ended.returncode == 2
        (line,) = ended.stderr.splitlines()
        assert "GOOGLE_AUDIENCE" in line or "TASKS_SERVICE_ACCOUNT" in line
    assert not (tmp_path / "storage").exists()
