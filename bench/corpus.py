"""Every document of a folder through the running services: how each ends, and whether page N is page N.

    python -m bench.corpus FOLDER [--limit N] [--at-once N]

Starts web and worker on free ports over a temporary storage folder. Prints a line per document as it ends, then totals:
states, restarts of the services (there may be none), processes left over, memory, and how quickly `/health` answered.

Page N of a result is held against the document itself: of the text layers of all its pages, the one whose words
the result shares most (by F1 of word counts) has to be that of page N. Pages with fewer than `WORDS` words prove
nothing and are not counted, nor do twins: pages of tables whose own layers share most of their numbers. The
comparison reads the PDF with PyMuPDF, apart from the service.
"""

import argparse
import asyncio
import contextlib
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil
import pymupdf

from tests.running import ENDED, Running

# Shorter pages (title pages, dividers) are too much alike to tell one from another.
WORDS = 40
TWINS = 0.75
HEALTH_EVERY_SECONDS = 0.2
DEFAULTS = {"OCR_BATCH_SIZE": "10", "LEASE_SECONDS": "60", "SWEEP_SECONDS": "30", "LOG_LEVEL": "WARNING"}


async def main() -> int:
    """Run, print, and return 1 when anything did not end or a service restarted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=0, help="only the first N files")
    parser.add_argument("--at-once", type=int, default=4, help="jobs under way at once (default 4)")
    parser.add_argument("--patience", type=float, default=7200.0, help="seconds a job may take (default 7200)")
    options = parser.parse_args()
    pymupdf.TOOLS.mupdf_display_errors(False)
    files = sorted(path for path in options.folder.iterdir() if path.is_file())
    files = files[: options.limit] if options.limit else files
    with tempfile.TemporaryDirectory() as folder:
        services = Running(Path(folder), script=None, environ=DEFAULTS)
        try:
            services.start("web")
            services.start("worker")
            services.wait_ready()
            return await run(services, files, options.at_once, options.patience)
        finally:
            services.stop()


async def run(services: Running, files: list[Path], at_once: int, patience: float) -> int:
    """Send every file, watch the services meanwhile, and report."""
    web, worker = psutil.Process(services.pid("web")), psutil.Process(services.pid("worker"))
    base = web.memory_info().rss
    gate = asyncio.Semaphore(at_once)
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=services.url, timeout=60) as client:
        watching = asyncio.create_task(watch(client, web))

        async def one(path: Path) -> dict[str, Any]:
            async with gate:
                row = await send(client, path, patience)
            print(
                f"{row['status']:<10} {row['pages']:>5} pages {row['seconds']:>7.1f} s  {row['checked']:<9} "
                f"{path.name[:60]}  {row['reason']}",
                flush=True,
            )
            return row

        rows = await asyncio.gather(*(one(path) for path in files))
        watching.cancel()
        latencies, peak = await watching
    leftover = [child for process in (web, worker) for child in process.children(recursive=True)]
    states = Counter(row["status"] for row in rows)
    alive = web.is_running() and worker.is_running()
    right, checked = sum(row["right"] for row in rows), sum(row["of"] for row in rows)
    print(f"\n{len(files)} documents, {sum(row['pages'] for row in rows)} pages, {time.monotonic() - began:.0f} s")
    print("states          " + ", ".join(f"{n} {state}" for state, n in sorted(states.items())))
    print(f"page N is N     {right} of {checked} pages that can tell")
    print(f"services        {'never restarted' if alive else 'DIED'}; {len(leftover)} processes left over")
    before, most, after = (size / 2**20 for size in (base, peak, web.memory_info().rss))
    print(f"web memory      {before:.0f} MB before, {most:.0f} MB peak, {after:.0f} MB after")
    ordered = sorted(latencies)
    print(
        f"GET /health     {len(ordered)} times: median {statistics.median(ordered) * 1000:.0f} ms, "
        f"99 % within {ordered[int(len(ordered) * 0.99)] * 1000:.0f} ms, worst {ordered[-1] * 1000:.0f} ms"
    )
    unended = [row for row in rows if row["status"] not in ENDED and not row["status"].startswith("refused")]
    return 0 if alive and not unended and right == checked else 1


async def send(client: httpx.AsyncClient, path: Path, patience: float) -> dict[str, Any]:
    """Upload one file and wait for its end."""
    began = time.monotonic()
    with path.open("rb") as file:
        answer = await client.post("/upload", files={"file": (path.name, file)})
    row: dict[str, Any] = {"pages": 0, "right": 0, "of": 0, "checked": "", "reason": "", "seconds": 0.0}
    if answer.status_code != 202:
        return row | {"status": f"refused {answer.status_code}", "reason": answer.json()["detail"]}
    job_id = answer.json()["job_id"]
    job: dict[str, Any] = {"status": "queued"}
    while job["status"] not in ENDED and time.monotonic() - began < patience:
        await asyncio.sleep(0.5)
        job = (await client.get(f"/api/jobs/{job_id}/status")).json()
    row |= {"status": job["status"], "pages": len(job["pages"]), "seconds": time.monotonic() - began}
    row["reason"] = job["error"] or ""
    if job["status"] in ("completed", "partial"):
        texts = await page_texts(client, job_id, [int(n) for n in job["pages"]])
        row["right"], row["of"] = await asyncio.to_thread(compare, path, texts)
        row["checked"] = f"{row['right']}/{row['of']}"
    return row


async def page_texts(client: httpx.AsyncClient, job_id: str, pages: list[int]) -> dict[int, str]:
    """The text of each page that was read, which must be the same in the page route and the combined result."""
    combined = (await client.get(f"/api/jobs/{job_id}/result")).text
    sections = re.split(r"^<!-- page (\d+).*-->\n", combined, flags=re.MULTILINE)[1:]
    numbers = [int(n) for n in sections[::2]]
    assert numbers == pages, "every page exactly once, in order"
    found = {}
    for number, section in zip(numbers, sections[1::2], strict=True):
        answer = await client.get(f"/api/jobs/{job_id}/pages/{number}")
        if answer.status_code == 200:
            assert answer.text.strip() == section.strip(), f"page {number} differs in the combined result"
            found[number] = answer.text
    return found


def compare(path: Path, texts: dict[int, str]) -> tuple[int, int]:
    """How many pages match their own text layer best, of how many that can tell."""
    try:
        with pymupdf.open(path) as document:
            layers = {number + 1: words(page.get_text()) for number, page in enumerate(document)}
    except Exception:  # a file that PyMuPDF cannot open in this way proves nothing
        return 0, 0
    right = checked = 0
    for number, text in texts.items():
        own, read = layers.get(number, Counter()), words(text)
        if own.total() < WORDS or read.total() < WORDS:
            continue
        checked += 1
        score = likeness(own, read)
        others = [other for other in layers.values() if likeness(own, other) < TWINS]
        right += all(likeness(other, read) <= score for other in others)
    return right, checked


def words(text: str) -> "Counter[str]":
    """The words of a text, markup aside, and how often each stands there."""
    return Counter(re.findall(r"\w+", re.sub(r"<[^>]+>", " ", text).lower()))


def likeness(one: "Counter[str]", other: "Counter[str]") -> float:
    """F1 of two bags of words."""
    return 2 * (one & other).total() / max(1, one.total() + other.total())


async def watch(client: httpx.AsyncClient, web: psutil.Process) -> tuple[list[float], int]:
    """Ask `/health` until cancelled: the latencies in seconds, and web's largest memory in bytes."""
    latencies, peak = [], 0
    with contextlib.suppress(asyncio.CancelledError, psutil.NoSuchProcess):
        while True:
            began = time.monotonic()
            with contextlib.suppress(httpx.HTTPError):
                await client.get("/health")
            latencies.append(time.monotonic() - began)
            peak = max(peak, web.memory_info().rss)
            await asyncio.sleep(HEALTH_EVERY_SECONDS)
    return latencies, peak


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
