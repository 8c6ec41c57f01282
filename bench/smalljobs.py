"""How long short documents take on a bucket, where one object takes one write a second.

    python -m bench.smalljobs [--times 3]

Both services in cloud mode on the emulators of bucket and queue, an engine that reads at once: what is left is the
service's own time. For each length, the median of some jobs in seconds: from the upload to the first page that can be
read, and to the end.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests.cloudmode.cloud import Cloud, cloud
from tests.documents import pdf
from tests.running import ENDED

PAGES = (1, 10)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Short documents on a bucket.")
    parser.add_argument("--times", type=int, default=3)
    times = parser.parse_args().times
    print(f"{'pages':>6}{'first page':>12}{'completed':>12}")
    with tempfile.TemporaryDirectory() as name, cloud(Path(name), OCR_BATCH_SIZE="10") as services:
        measure(services, pdf(Path(name) / "warm.pdf", 1), 1)
        for pages in PAGES:
            path = pdf(Path(name) / f"{pages}.pdf", pages)
            runs = [measure(services, path, pages) for _ in range(times)]
            first, ended = (statistics.median(column) for column in zip(*runs, strict=True))
            print(f"{pages:>6}{first:>10.1f} s{ended:>10.1f} s", flush=True)


def measure(services: Cloud, path: Path, pages: int) -> tuple[float, float]:
    """Seconds to the first page and to the end."""
    began = time.monotonic()
    job_id = services.upload(path)
    first = 0.0
    while True:
        if not first and services.get(f"/api/jobs/{job_id}/pages/1").status_code == 200:
            first = time.monotonic() - began
        job = services.status(job_id)
        if job["status"] in ENDED:
            assert job["status"] == "completed", job
            assert len(job["pages"]) == pages
            return first or time.monotonic() - began, time.monotonic() - began
        time.sleep(0.05)


if __name__ == "__main__":
    main()
