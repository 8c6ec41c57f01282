"""A whole document through both services over a bucket in bad weather."""

from pathlib import Path

import pytest

from tests.documents import pdf
from tests.emulators.gcs.faults import Fault
from tests.emulators.gcs.server import Emulator
from tests.running import Running
from tests.scripted import Script

WEATHER = {Fault.UNAVAILABLE: 0.05, Fault.BUSY: 0.02, Fault.RESET: 0.08, Fault.LOST: 0.05}
PAGES = 4


@pytest.mark.slow
def test_every_page_is_accounted_for_when_every_fifth_request_fails(tmp_path: Path) -> None:
    with Emulator(seed=5) as emulator:
        bucket = emulator.make_bucket("documents", paced=True)
        environ = {"STORAGE_EMULATOR_HOST": emulator.url, "GCS_BUCKET_NAME": bucket.name, "LEASE_SECONDS": "30"}
        services = Running(tmp_path, script=Script(), environ=environ, package="tests.bucketed")
        try:
            services.start("web")
            services.start("worker")
            services.wait_ready()
            emulator.faults.set(WEATHER)
            job_id = services.upload(pdf(tmp_path / "four.pdf", PAGES))
            job = services.ended(job_id, seconds=150)
            emulator.faults.set({})
            assert job["status"] == "completed"
            text = services.get(f"/api/jobs/{job_id}/result?format=md").text
            marks = [line for line in text.splitlines() if line.startswith("<!-- page ")]
            assert marks == [f"<!-- page {page_no} -->" for page_no in range(1, PAGES + 1)]
            assert services.read_counts() == dict.fromkeys(range(1, PAGES + 1), 1)
        finally:
            services.stop()
        assert not list(services.storage.glob("users/*"))
        assert sum(emulator.faults.happened.values()) > 10
        assert emulator.open_uploads == 0
