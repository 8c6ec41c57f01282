"""A nearly full disk, with real services: uploads are refused, deleting works, jobs go on when there is room."""

from pathlib import Path

import httpx
import pytest

from tests.documents import pdf
from tests.running import Running
from tests.scripted import Script

# No machine has so much: less is free than is kept.
NEARLY_FULL = {"DISK_RESERVE_BYTES": str(1 << 60)}
PAGES = 120


@pytest.mark.slow
def test_nothing_is_lost_while_a_disk_is_nearly_full(tmp_path: Path) -> None:
    services = Running(tmp_path, script=Script(), environ={})
    try:
        services.start("web")
        services.start("worker")
        services.wait_ready()
        ended = services.upload(pdf(tmp_path / "short.pdf", 1))
        services.ended(ended)
        job_id = services.upload(pdf(tmp_path / "long.pdf", PAGES))
        services.until(lambda: services.status(job_id)["pages"], "the document to be opened")
        services.kill("web")

        services.start("web", **NEARLY_FULL)
        services.until(lambda: answers(services), "web to answer")
        ready = services.get("/ready")
        assert (ready.status_code, ready.json()["disk"][:7]) == (503, "failed:")
        with (tmp_path / "short.pdf").open("rb") as file:
            refused = services.client.post(f"{services.url}/upload", files={"file": file})
        assert refused.status_code == 507
        assert services.client.delete(f"{services.url}/api/jobs/{ended}").status_code == 204
        services.until(lambda: "retry" in (tmp_path / "web.log").read_text(), "the extraction to be tried again")
        assert services.status(job_id)["status"] not in ("failed", "partial", "completed")
        services.kill("web")

        services.start("web")
        job = services.ended(job_id)
        assert (job["status"], len(job["pages"])) == ("completed", PAGES)
    finally:
        services.stop()


def answers(services: Running) -> bool:
    try:
        return services.get("/health").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
