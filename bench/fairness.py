"""How long one page takes beside the many jobs of one other user, against its time alone: real processes, local mode.

    python -m bench.fairness [--times 10] [--slow 8] [--reading 8] [--engine NAME]

Two users share web and worker. One has `--slow` jobs whose every page takes about `SLOW_SECONDS` to draw, and
`--reading` jobs with hundreds of pages that are drawn at once and wait to be read. The other uploads single pages, one
after another. Time: from the upload until the page's text can be read over HTTP; the median of `--times`, alone and
beside the jobs. The engine reads one page at a time, for `PAGE_SECONDS` each, without using a processor, so that what
is measured is whose turn it is; `--engine rapidocr` reads in earnest. `busy` is the share of that phase in which the
engine read.
"""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pymupdf

from services.worker.engines.engine import EngineInfo, Finish, PageImage, PageText
from tests.documents import pdf
from tests.running import Running

#: Seconds that a page is drawn for, about: calibrated on the machine. A hostile page may take RENDER_SECONDS (30).
SLOW_SECONDS = 3.0
#: Seconds that the engine reads a page for: about as long as the CPU engine needs on a fast machine.
PAGE_SECONDS = 0.4
SLOW_PAGES, READING_PAGES = 60, 150
NEIGHBOUR, OTHER = "many@example.org", "one@example.org"
DEFAULTS = {"OCR_BATCH_SIZE": "10", "LEASE_SECONDS": "60", "SWEEP_SECONDS": "30", "LOG_LEVEL": "WARNING"}
PATIENCE_SECONDS = 300.0


class OneAtATime:
    """An engine with one slot, in which a page stays for `PAGE_SECONDS`; pages come in as they arrive."""

    def __init__(self) -> None:
        self._slot = asyncio.Lock()

    async def load(self) -> None:
        """Nothing to load."""

    def info(self) -> EngineInfo:
        """A made-up engine."""
        return EngineInfo(name="one-at-a-time", revision="1", device="none")

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText]:
        """See `OcrEngine`. One page is fetched ahead, as `CpuEngine` does."""
        upcoming = asyncio.create_task(_next(pages))
        try:
            while (page := await upcoming) is not None:
                upcoming = asyncio.create_task(_next(pages))
                async with self._slot:
                    await asyncio.sleep(PAGE_SECONDS)
                yield PageText(page_no=page.page_no, markdown="Read.", finish=Finish.STOP, seconds=PAGE_SECONDS)
        finally:
            upcoming.cancel()
            await asyncio.gather(upcoming, return_exceptions=True)


def engine(*, threads: int) -> OneAtATime:
    """The engine for `OCR_ENGINE`."""
    return OneAtATime()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="One page beside another user's jobs.")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--slow", type=int, default=8)
    parser.add_argument("--reading", type=int, default=8)
    parser.add_argument("--engine", default="bench.fairness:engine")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page = pdf(folder / "one.pdf", 1)
        slow, seconds = slow_pdf(folder / "slow.pdf", SLOW_PAGES)
        reading = pdf(folder / "reading.pdf", READING_PAGES)
        services = Running(folder, script=None, environ={**DEFAULTS, "OCR_ENGINE": options.engine})
        try:
            services.start("web")
            services.start("worker")
            services.wait_ready()
            one_page(services, page)  # what a process does once
            alone = [one_page(services, page) for _ in range(options.times)]
            jobs = [services.upload(reading, user=NEIGHBOUR, ocr="force") for _ in range(options.reading)]
            for job_id in jobs:
                services.until(lambda job_id=job_id: has_begun(services, job_id), "pages to read", PATIENCE_SECONDS)
            for _ in range(options.slow):
                services.upload(slow, user=NEIGHBOUR, ocr="force")
            one_page(services, page)
            began, before = time.monotonic(), pages_read(services)
            beside = [one_page(services, page) for _ in range(options.times)]
            took, read = time.monotonic() - began, pages_read(services) - before
            left = sum(services.status(job_id, user=NEIGHBOUR)["status"] == "processing" for job_id in jobs)
        finally:
            services.stop()
    print(f"{options.slow} slow jobs (a page is drawn for {seconds:.1f} s), {options.reading} reading jobs")
    print(f"alone   {row(alone)}")
    print(f"beside  {row(beside)}")
    print(f"ratio of the medians {statistics.median(beside) / statistics.median(alone):.2f}")
    print(f"engine  {read:.0f} pages in {took:.1f} s: busy {read * PAGE_SECONDS / took:.0%}; {left} jobs not read yet")
    print(f"load    {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def row(times: list[float]) -> str:
    """The figures of one phase."""
    return f"median {statistics.median(times):.2f} s, from {min(times):.2f} to {max(times):.2f} s"


def one_page(services: Running, path: Path) -> float:
    """Seconds from the upload of a page until its text can be read."""
    began = time.monotonic()
    job_id = services.upload(path, user=OTHER, ocr="force")
    address, headers = f"{services.url}/api/jobs/{job_id}/pages/1", {"X-User-Email": OTHER}
    while services.client.get(address, headers=headers).status_code != httpx.codes.OK:
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise SystemExit(f"The page was not read in {PATIENCE_SECONDS:g} s.")
        time.sleep(0.02)
    seconds = time.monotonic() - began
    services.until(lambda: services.status(job_id, user=OTHER)["status"] == "completed", "the job to end")
    return seconds


def has_begun(services: Running, job_id: str) -> bool:
    """Whether the document is rendered, so that only its reading is left."""
    job: dict[str, Any] = services.status(job_id, user=NEIGHBOUR)
    return bool(job["extraction_complete"])


def pages_read(services: Running) -> float:
    """How many pages the worker has read since its start."""
    text = services.client.get(f"http://127.0.0.1:{services.worker_port}/metrics").text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("gnosis_pages_total{"))


def slow_pdf(path: Path, pages: int) -> tuple[Path, float]:
    """A small PDF of pages that are each drawn for about `SLOW_SECONDS`; and how long one was drawn for here."""
    fills = 50
    while True:
        with pymupdf.open() as document:
            for _ in range(pages):
                page = document.new_page(width=420, height=595)
                page.draw_rect(page.rect, fill=(0.2, 0.4, 0.6), fill_opacity=0.1)
                stream = page.get_contents()[0]
                document.update_stream(stream, document.xref_stream(stream) * fills)
            began = time.process_time()
            document[0].get_pixmap(dpi=150)
            seconds = time.process_time() - began
            if seconds > SLOW_SECONDS / 2:
                document.save(path, deflate=True, garbage=3)
                return path, seconds
        fills = int(fills * max(2.0, min(20.0, SLOW_SECONDS / seconds)))


async def _next(pages: AsyncIterator[PageImage]) -> PageImage | None:
    return await anext(pages, None)


if __name__ == "__main__":
    main()
