"""On a disk that is really full uploads are refused, deletions work, and jobs go on once there is room again."""

import base64
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.documents import pdf
from tests.required import missing
from tests.running import Running, running
from tests.scripted import Script

DISK_BYTES = 64 << 20
PAGES = 8
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, for the storage."""
    folder = tmp_path / "storage"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "full-disk", str(folder)], capture_output=True
    )
    if mounted.returncode != 0:
        missing("this user may not mount a file system: run the tests as root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def services(disk: Path, tmp_path: Path) -> Iterator[Running]:
    # Without a reserve: here the disk is to be full to the last byte.
    with running(tmp_path, script=Script(seconds=0.5), OCR_BATCH_SIZE="2", DISK_RESERVE_BYTES="0") as found:
        yield found


def fill(disk: Path) -> Path:
    """Leave no byte; the file that takes them all."""
    ballast = disk / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass
    assert os.statvfs(disk).f_bavail == 0
    return ballast


def body() -> Iterator[bytes]:
    """An upload of which far more is to come than is read after a refusal."""
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n%PDF-1.7\n'
    for _ in range(400):
        yield os.urandom(1 << 16)
    yield b"\r\n--b--\r\n"


def test_a_full_disk_refuses_uploads_lets_jobs_be_deleted_and_loses_nothing(
    services: Running, disk: Path, tmp_path: Path
) -> None:
    done = services.upload(pdf(tmp_path / "done.pdf", 1))
    assert services.ended(done)["status"] == "completed"
    size = 3 << 20
    metadata = f"filename {base64.b64encode(b'a.pdf').decode()}"
    created = services.client.post(
        f"{services.url}/api/uploads", headers={**TUS, "Upload-Length": str(size), "Upload-Metadata": metadata}
    )
    begun = services.upload(pdf(tmp_path / "begun.pdf", PAGES))
    services.until(lambda: list(disk.glob(f"users/*/{begun}/page_*_result.json")), "a page to be read")
    ballast = fill(disk)

    form = {"Content-Type": "multipart/form-data; boundary=b"}
    with httpx.Client(trust_env=False, timeout=60) as client:
        refused = client.post(f"{services.url}/upload", content=body(), headers=form)
        assert (refused.status_code, refused.json()["title"]) == (507, "Out of space")
        part = {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
        content = b"%PDF-1.7\n" + bytes(size - 9)
        refused = client.patch(services.url + created.headers["Location"], content=content, headers=part)
        assert refused.status_code == 507
    assert services.get("/ready").status_code == 503

    assert services.client.delete(f"{services.url}/api/jobs/{done}").status_code == 204
    assert services.get(f"/api/jobs/{done}/status").status_code == 404
    assert not list(disk.glob(f"users/*/{done}/*"))
    fill(disk)
    assert services.get("/health").status_code == 200

    ballast.unlink()
    job = services.ended(begun, seconds=120)
    assert job["status"] == "completed"
    assert [page["status"] for page in job["pages"].values()] == ["completed"] * PAGES
    services.wait_ready()
    for name in ("web", "worker"):
        assert "Logging error" not in (services.logs / f"{name}.log").read_text()
