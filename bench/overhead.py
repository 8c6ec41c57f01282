"""What the service costs over its engine.

    python -m bench.overhead [--pages 50]

Uploads a scan over HTTP and waits for the combined result; then reads the very same page images with the bare engine,
warm, in one process, with the same number of threads. Prints both times and their ratio (bar: 1.15, goal: 1.05).
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from bench.scans import scan_pdf
from services.worker.engines.engine import PageFailure, PageImage, PageText
from services.worker.engines.select import create_engine
from tests import ROOT
from tests.running import Running

DEFAULTS = {"OCR_BATCH_SIZE": "10", "LEASE_SECONDS": "60", "SWEEP_SECONDS": "30", "LOG_LEVEL": "WARNING"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Service time over bare engine time.")
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--bare", type=Path, help=argparse.SUPPRESS)  # the bare half runs in its own process
    options = parser.parse_args()
    if options.bare:
        print(asyncio.run(bare(options.bare)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        served, images = serve(folder, scan_pdf(folder / "scan.pdf", options.pages))
        command = [sys.executable, "-m", "bench.overhead", "--bare", str(images)]
        alone = float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    print(f"{'':<34}{'seconds':>9}{'s/page':>9}")
    print(f"{'upload to combined result':<34}{served:>9.1f}{served / options.pages:>9.2f}")
    print(f"{'bare engine, same images, warm':<34}{alone:>9.1f}{alone / options.pages:>9.2f}")
    print(f"{'ratio':<34}{served / alone:>9.3f}")


def serve(folder: Path, document: Path) -> tuple[float, Path]:
    """Seconds from the upload to the combined result in hand, and the folder of the page images."""
    services = Running(folder, script=None, environ=DEFAULTS)
    try:
        services.start("web")
        services.start("worker")
        services.wait_ready()
        warm = services.upload(scan_pdf(folder / "warm.pdf", 1))
        services.ended(warm)
        began = time.monotonic()
        job_id = services.upload(document)
        job = services.ended(job_id, seconds=3600)
        httpx.get(f"{services.url}/api/jobs/{job_id}/result").raise_for_status()
        seconds = time.monotonic() - began
        assert job["status"] == "completed", job["error"]
        (images,) = services.storage.glob(f"users/*/{job_id}")
        return seconds, images
    finally:
        services.stop()


async def bare(folder: Path) -> float:
    """Seconds for the engine alone to read the images, as one stream."""
    engine = create_engine("auto")
    await engine.load()
    images = [
        PageImage(page_no=number, data=path.read_bytes())
        for number, path in enumerate(sorted(folder.glob("page_*.png")), start=1)
    ]

    async def stream(pages: list[PageImage]) -> AsyncIterator[PageImage]:
        for page in pages:
            yield page

    async def read(pages: list[PageImage]) -> list[PageText | PageFailure]:
        return [reading async for reading in engine.recognise(stream(pages))]

    await read(images[:1])
    began = time.monotonic()
    await read(images)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
