"""The token that the services share is replaced while they work, and no call is refused."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from libs.internal_token import HEADER
from tests import ROOT
from tests.cloudmode.cloud import Cloud, cloud
from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script

PAGES = 30


def logged(services: Running) -> str:
    return "".join(path.read_text() for path in services.logs.glob("*.log"))


def sweep(services: Running, token: str) -> int:
    return httpx.post(f"{services.url}/internal/sweep", headers={HEADER: token}, trust_env=False).status_code


@pytest.mark.slow
def test_the_stored_token_is_replaced_under_running_services(tmp_path: Path) -> None:
    with running(tmp_path, script=Script(seconds=0.2), OCR_BATCH_SIZE="1") as services:
        token = services.storage / "system" / "internal_token"
        before = token.read_text()
        # A task for each page: the services call each other all the time.
        job_id = services.upload(pdf(tmp_path / "document.pdf", PAGES))
        rotated = subprocess.run(
            [sys.executable, "-m", "services.serving.rotation"],
            cwd=ROOT,
            env=services.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert rotated.returncode == 0, rotated.stderr
        assert services.ended(job_id, seconds=120)["status"] == "completed"
        after = token.read_text()
        assert after != before
        assert before not in after
        assert "answer 401" not in logged(services)
        assert "refused the task" not in logged(services)
        assert "queue_refused" not in logged(services)
        assert sweep(services, after) == 200
        services.until(lambda: sweep(services, before) == 401, "the token before to be refused")
        assert before not in rotated.stdout + logged(services)
        assert after not in rotated.stdout + logged(services)


def test_a_configured_token_is_not_replaced_in_the_storage(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "services.serving.rotation"],
        cwd=ROOT,
        env={"PATH": "", "STORAGE_PATH": str(tmp_path), "INTERNAL_TOKEN": "t" * 40},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "docs/identity.md" in ended.stderr
    assert "t" * 40 not in ended.stderr


@pytest.mark.slow
def test_a_configured_token_is_replaced_by_restarts_one_after_the_other(tmp_path: Path) -> None:
    """As on Cloud Run, where the token counts: the queue's own tokens have no signature there."""
    old, new = "old-" + "o" * 36, "new-" + "n" * 36

    def restart(services: Cloud, name: str, text: str) -> None:
        services.environ["INTERNAL_TOKEN"] = text
        services.kill(name, 15)
        services.start(name)
        services.wait_ready()

    # A shorter lease than by default: what a service that is restarted leaves is taken over soon.
    with cloud(tmp_path, "--strip-signatures", K_SERVICE="gnosis", INTERNAL_TOKEN=old, lease_seconds=3) as services:
        jobs: list[str] = []
        for number, text in enumerate((f"{old},{new}", f"{new},{old}", new)):
            if text == new:  # no task may carry the old value any more
                for job_id in jobs:
                    assert services.ended(job_id, seconds=120)["status"] == "completed"
            # Whatever is restarted first, the other one still has the value before.
            for name in ("web", "worker") if number % 2 else ("worker", "web"):
                jobs.append(services.upload(pdf(tmp_path / f"{len(jobs)}.pdf", 4)))
                restart(services, name, text)
        for job_id in jobs:
            assert services.ended(job_id, seconds=120)["status"] == "completed"
        assert "queue_refused" not in logged(services)
