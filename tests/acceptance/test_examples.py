"""The examples do what they say."""

import subprocess
import sys
from pathlib import Path

from tests import ROOT
from tests.documents import pdf
from tests.running import running
from tests.scripted import Script


def test_reading_example_prints_every_page(tmp_path: Path) -> None:
    with running(tmp_path, script=Script()) as services:
        source = (ROOT / "examples" / "read.py").read_text().replace("http://127.0.0.1:7799", services.url)
        done = subprocess.run(
            [sys.executable, "-c", source, str(pdf(tmp_path / "three.pdf", 3))], capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    assert sorted(line for line in done.stdout.splitlines() if line.startswith("---")) == [
        "--- page 1",
        "--- page 2",
        "--- page 3",
    ]
    assert done.stderr == "Read 3 pages.\n"


def test_engine_example_reads_through_the_worker(tmp_path: Path) -> None:
    with running(tmp_path, OCR_ENGINE="examples.engine:create") as services:
        job_id = services.upload(pdf(tmp_path / "one.pdf", 1), ocr="force")
        assert services.ended(job_id)["status"] == "completed"
        assert services.get(f"/api/jobs/{job_id}/pages/1").text.startswith("This page's image has")
