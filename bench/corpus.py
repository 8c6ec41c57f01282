"""Every document of a folder through the running services: how each ends, and whether page N is page N.

    python -m bench.corpus [FOLDER] [--bombs] [--blind] [--limit N] [--at-once N]

Starts web and worker on free ports over a temporary storage folder. Prints a line per document as it ends, then
totals: states, the slowest, restarts of the services (there may be none), processes left over, memory, and how
quickly `/health` answered (see `bench/health.py`). `--bombs` adds the hostile documents of `tests/bombs`. Fails when
a document does not end, a service dies, a process or memory is left, or one request of a hundred to `/health` takes
longer than 250 ms.

Page N of a result is compared with the document itself: of the text layers of all its pages, the one whose words the
result shares most (by F1 of word counts) has to be that of page N. Pages with fewer than `WORDS` words prove nothing
and are not counted, and neither are twins: pages of tables whose own layers share most of their numbers. The
comparison reads the PDF with PyMuPDF, independently of the service.
"""

import argparse
import asyncio
import contextlib
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pymupdf

from bench.health import Watcher
from services.web.render import document as rendering
from services.worker.engines.fallback import process as fallback
from services.worker.modelcache import download
from tests.bombs import collection
from tests.documents import pdf
from tests.running import ENDED, Running
from tests.scripted import Script

# Shorter pages (title pages, dividers) are too much alike to tell one from another.
WORDS = 40
TWINS = 0.75
HEALTH_SECONDS = 0.25
# What allocators and caches may keep of the documents: a page image of 40 MP is 120 MB, a bomb has gigabytes.
KEPT_BYTES = 64 * 2**20
SETTLE_SECONDS = 15.0
SLOWEST = 10
CHILDREN = {rendering.PROGRAM[-1], fallback.PROGRAM[-1], download.PROGRAM[-1]}
DEFAULTS = {"OCR_BATCH_SIZE": "10", "LEASE_SECONDS": "60", "SWEEP_SECONDS": "30", "LOG_LEVEL": "WARNING"}


async def main() -> int:
    """Run, print, and return 1 when anything did not end or a service restarted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?", help="every file in it")
    parser.add_argument("--bombs", action="store_true", help="the generated bombs too")
    parser.add_argument("--blind", action="store_true", help="with an engine that reads nothing: the services alone")
    parser.add_argument("--limit", type=int, default=0, help="only the first N files")
    parser.add_argument("--at-once", type=int, default=4, help="jobs under way at once (default 4)")
    parser.add_argument("--patience", type=float, default=7200.0, help="seconds a job may take (default 7200)")
    options = parser.parse_args()
    pymupdf.TOOLS.mupdf_display_errors(False)
    with tempfile.TemporaryDirectory() as folder:
        files = sorted(path for path in options.folder.iterdir() if path.is_file()) if options.folder else []
        if options.bombs:
            made = Path(folder) / "bombs"
            made.mkdir()
            collection.write(made)
            files += sorted(made.iterdir())
        files = files[: options.limit] if options.limit else files
        warm = pdf(Path(folder) / "warm.pdf", 3)
        services = Running(Path(folder), script=Script() if options.blind else None, environ=DEFAULTS)
        try:
            services.start("web")
            services.start("worker")
            services.wait_ready()
            services.ended(services.upload(warm))  # what a process needs once is no memory lost to a document
            return await run(services, files, options.at_once, options.patience)
        finally:
            services.stop()


async def run(services: Running, files: list[Path], at_once: int, patience: float) -> int:
    """Send every file, watch the services meanwhile, and report."""
    web, worker = psutil.Process(services.pid("web")), psutil.Process(services.pid("worker"))
    base = web.memory_info().rss
    gate = asyncio.Semaphore(at_once)
    began = time.monotonic()
    watcher = Watcher(f"{services.url}/health", web.pid)
    async with httpx.AsyncClient(base_url=services.url, timeout=60) as client:

        async def one(path: Path) -> dict[str, Any]:
            async with gate:
                row = await send(client, path, patience)
            print(
                f"{row['status']:<10} {row['pages']:>5} pages {row['seconds']:>7.1f} s  {row['checked']:<9} "
                f"{path.name[:60]}  {row['reason']}",
                flush=True,
            )
            return row | {"name": path.name}

        rows = await asyncio.gather(*(one(path) for path in files))
    seconds = time.monotonic() - began
    watch = await asyncio.to_thread(watcher.end)
    leftover, after = await settled(web, worker, base)
    alive = web.is_running() and worker.is_running()
    right, checked = sum(row["right"] for row in rows), sum(row["of"] for row in rows)
    print(
        f"\n{len(files)} documents, {sum(row['pages'] for row in rows)} pages, {seconds:.0f} s; load {watch.load:.1f}"
    )
    print("states          " + counted(row["status"] for row in rows))
    print("reasons         " + counted(first_words(row["reason"]) for row in rows if row["status"] in ENDED))
    print("slowest         " + ", ".join(f"{row['name'][:34]} {row['seconds']:.0f} s" for row in slowest(rows)))
    print(f"page N is N     {right} of {checked} pages that can tell")
    print(f"services        {'never restarted' if alive else 'DIED'}; {len(leftover)} processes left over")
    sizes = ", ".join(
        f"{size / 2**20:.0f} MB {when}"
        for size, when in ((base, "before"), (watch.memory_peak, "peak"), (after, "after"))
    )
    print(f"web memory      {sizes}")
    half, most, worst = (watch.percentile(share) * 1000 for share in (0.5, 0.99, 1))
    print(
        f"GET /health     {len(watch.latencies)} times, {watch.failed} failed: median {half:.0f} ms, "
        f"99 % within {most:.0f} ms, worst {worst:.0f} ms"
    )
    unended = [row for row in rows if row["status"] not in ENDED and not row["status"].startswith("refused")]
    for row in unended:
        print(f"NOT ENDED       {row['name']}: {row['status']}")
    quick = not watch.failed and watch.percentile(0.99) <= HEALTH_SECONDS
    kept = alive and not unended and not leftover and after - base < KEPT_BYTES and quick and right == checked
    print("the promise     " + ("kept" if kept else "BROKEN"))
    return 0 if kept else 1


async def settled(web: psutil.Process, worker: psutil.Process, base: int) -> tuple[list[psutil.Process], int]:
    """The processes that stay and web's memory, once both are back or some seconds have passed."""
    end = time.monotonic() + SETTLE_SECONDS
    while True:
        left, size = left_over(web, worker), web.memory_info().rss
        if time.monotonic() > end or (not left and size - base < KEPT_BYTES):
            return left, size
        await asyncio.sleep(0.5)


def left_over(web: psutil.Process, worker: psutil.Process) -> list[psutil.Process]:
    """Children of the services, and their children whose parent has ended."""
    left = [child for process in (web, worker) for child in process.children(recursive=True)]
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            # Other services may run on this machine; an orphan has lost the parent that would tell whose it is.
            if process.ppid() == 1 and any(part in CHILDREN for part in process.cmdline()):
                left.append(process)
    return left


def counted(values: Iterable[str]) -> str:
    """How often each value occurs, the most frequent first."""
    return ", ".join(f"{n} {value}" for value, n in Counter(values).most_common()) or "none"


def first_words(reason: str) -> str:
    """A reason without its particulars."""
    return re.split(r"[.(;:]", reason.removeprefix("No page could be read. "))[0].strip()[:60] or "read"


def slowest(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The documents that took longest from upload to end."""
    return sorted(rows, key=lambda row: -row["seconds"])[:SLOWEST]


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
    """The words of a text without its markup, and how often each occurs."""
    return Counter(re.findall(r"\w+", re.sub(r"<[^>]+>", " ", text).lower()))


def likeness(one: "Counter[str]", other: "Counter[str]") -> float:
    """F1 of two bags of words."""
    return 2 * (one & other).total() / max(1, one.total() + other.total())


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
