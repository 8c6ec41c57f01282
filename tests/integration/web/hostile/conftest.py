"""Services that hostile requests are sent to. After each test they are as healthy as before."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.documents import pdf
from tests.running import Running, running
from tests.scripted import Script

MAX_UPLOAD = 2_000_000


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(
        tmp_path_factory.mktemp("hostile"),
        script=Script(),
        UPLOAD_MAX_BYTES=str(MAX_UPLOAD),
        UPLOAD_STALL_SECONDS="4",
        ACTIVE_JOBS_PER_USER="1000",
    ) as found:
        yield found


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return pdf(tmp_path_factory.mktemp("document") / "one.pdf", 1).read_bytes()


@pytest.fixture(scope="module")
def job_id(services: Running, document: bytes) -> str:
    answer = httpx.post(f"{services.url}/upload", files={"file": ("one.pdf", document)})
    found = str(answer.json()["job_id"])
    assert services.ended(found)["status"] == "completed"
    until_idle(services)
    return found


@pytest.fixture(scope="module")
def token(services: Running) -> dict[str, str]:
    return {"X-Internal-Token": (services.storage / "system" / "internal_token").read_text()}


@pytest.fixture(autouse=True)
def the_service_goes_on(services: Running, job_id: str) -> Iterator[None]:
    yield
    assert services.get("/health").status_code == 200
    assert httpx.get(f"http://127.0.0.1:{services.worker_port}/health").status_code == 200
    for name in ("web", "worker"):
        assert "request_failed" not in (services.logs / f"{name}.log").read_text()


@pytest.fixture
def nothing_stays(services: Running, job_id: str) -> Iterator[None]:
    """The storage is as it was: no raw file, no `active/` object, no temporary file."""
    until_idle(services)  # jobs of the tests before leave the index a moment after their end
    before = stored(services)
    yield
    services.until(lambda: stored(services) == before, f"the storage to hold only {sorted(before)}")


def until_idle(services: Running) -> None:
    services.until(lambda: not list(services.storage.glob("active/*/*")), "the index of active jobs to be empty")


def stored(services: Running) -> set[Path]:
    # os.walk, since folders may go while they are walked.
    files = {
        Path(folder, name).relative_to(services.storage)
        for folder, _, names in os.walk(services.storage)
        for name in names
    }
    return {path for path in files if path.parts[0] in ("users", "active", "tombstones", ".tmp")}
