"""The processing of a long document: first result, phases, memory of web.

    python -m bench.pipeline [--pages 20 200]

For each length: when the first page's result could be read over HTTP and how many pages were rendered by then, the
values that percent took, and web's largest memory during upload and extraction.
"""

import argparse
import contextlib
import tempfile
import threading
import time
from pathlib import Path

import httpx
import psutil

from bench.scans import scan_pdf
from tests.running import ENDED, Running

DEFAULTS = {"OCR_BATCH_SIZE": "10", "LEASE_SECONDS": "60", "SWEEP_SECONDS": "30", "LOG_LEVEL": "WARNING"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="First result, phases and memory of long documents.")
    parser.add_argument("--pages", type=int, nargs="+", default=[20, 200])
    parser.add_argument("--whole", action="store_true", help="wait for the end of each job, not of its extraction")
    options = parser.parse_args()
    print(
        f"{'pages':>6}{'first result':>14}{'rendered then':>15}{'extraction':>12}{'web peak':>10}  percent went through"
    )
    for pages in options.pages:
        with tempfile.TemporaryDirectory() as name:
            print(measure(Path(name), pages, options.whole), flush=True)


def measure(folder: Path, pages: int, whole: bool) -> str:
    """One row."""
    services = Running(folder, script=None, environ=DEFAULTS)
    try:
        services.start("web")
        services.start("worker")
        services.wait_ready()
        document = scan_pdf(folder / "long.pdf", pages)
        memory = Memory(services.pid("web"))
        began = time.monotonic()
        job_id = services.upload(document)
        seen: list[int] = []
        first = extracted = 0.0
        rendered = 0
        while True:
            job = services.status(job_id)
            if not seen or seen[-1] != job["percent"]:
                seen.append(job["percent"])
            done = job["status"] in ENDED
            if not first and httpx.get(f"{services.url}/api/jobs/{job_id}/pages/1").status_code == 200:
                first = time.monotonic() - began
                rendered = sum(page["image"] is not None for page in job["pages"].values())
            if not extracted and job["extraction_complete"]:
                extracted = time.monotonic() - began
            if done or (not whole and first and extracted):
                break
            time.sleep(0.05)
        peak = memory.stop()
        assert seen == sorted(seen), f"percent went back: {seen}"
        bands = " ".join(str(percent) for percent in seen)
        return f"{pages:>6}{first:>12.1f} s{rendered:>15}{extracted:>10.1f} s{peak / 2**20:>7.0f} MB  {bands}"
    finally:
        services.stop()


class Memory:
    """The largest resident memory of a process, sampled."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> int:
        """End the sampling; the peak in bytes."""
        self._done.set()
        self._thread.join()
        return self._peak

    def _watch(self) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):
            while not self._done.wait(0.05):
                self._peak = max(self._peak, self._process.memory_info().rss)


if __name__ == "__main__":
    main()
