"""Many watchers of one job: what they cost the service, and how soon they see a page.

    python -m bench.events [--watchers 500] [--pages 300] [--seconds 0.05]

Reads one document of so many pages with an engine that takes so many seconds for each: without a watcher of
`/api/jobs/{id}/events`, with one, and with many, who come within `WITHIN_SECONDS`. `GET /health` is requested ten
times a second meanwhile (`bench.health`). Prints its latencies in milliseconds, the seconds from the moment a page's
outcome was saved to its arrival at a watcher that was there, how often web read its storage in all and in a second, its
processor time, and its peak of resident memory above that before. Each watcher has to get each page exactly once.
Bars: 99 % of `/health` within 250 ms; reads that do not grow with the watchers.
"""

import argparse
import asyncio
import json
import resource
import signal
import tempfile
import time
from functools import partial
from pathlib import Path

import msgspec
import psutil

from bench.health import Watch, Watcher
from bench.upload import MB, alive, memory
from tests.documents import pdf
from tests.running import Running
from tests.scripted import Script

#: Seconds in which the watchers come. Chosen: as after a restart of web, from which clients come again at random.
WITHIN_SECONDS = 5.0


class Arrivals(msgspec.Struct, frozen=True, kw_only=True):
    """When each page arrived at one watcher: Unix time by page number."""

    pages: dict[int, float]
    #: Pages that came more than once.
    repeated: int
    #: When it had come, in Unix time.
    since: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Watchers of one job.")
    parser.add_argument("--watchers", type=int, default=500)
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=0.05)
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(f"{'watchers':<10}{'job s':>7}{'p50 ms':>8}{'p99 ms':>8}{'worst':>8}{'failed':>8}{'shown p50 s':>13}", end="")
    print(f"{'p99 s':>7}{'reads':>8}{'a second':>10}{'CPU s':>7}{'MB above':>10}{'load':>7}", flush=True)
    for watchers in (0, 1, given.watchers):
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), watchers, given.pages, given.seconds)


def measure(folder: Path, watchers: int, pages: int, seconds: float) -> None:
    """Read one document beside so many watchers, and print a line."""
    settings = {
        "COUNTS": str(folder / "counts.json"),
        "MAX_CONNECTIONS": str(2 * watchers + 1000),
        "WATCHERS_PER_USER": str(watchers + 1),
        "OCR_BATCH_SIZE": "10",
    }
    services = Running(folder, script=Script(seconds=seconds), environ=settings, package="bench.counted")
    try:
        services.start("web")
        services.start("worker")
        services.until(partial(alive, services.url), "web to answer")
        services.wait_ready()
        pid = services.pid("web")
        before, began = memory(pid, "VmRSS"), time.monotonic()
        job_id = services.upload(pdf(folder / "many.pdf", pages))
        watcher = Watcher(f"{services.url}/health", pid)
        arrived = asyncio.run(watch_all(services.web_port, job_id, watchers))
        services.ended(job_id, seconds=600)
        took = time.monotonic() - began
        cpu = sum(psutil.Process(pid).cpu_times()[:2])
        watch: Watch = watcher.end()
        saved = saved_at(services, job_id)
        services.kill("web", signal.SIGTERM)
        reads = sum(json.loads((folder / "counts.json").read_text()).values())
    finally:
        services.stop()
    for found in arrived:
        assert len(found.pages) == pages, f"{len(found.pages)} of {pages} pages were told"
        assert not found.repeated, f"{found.repeated} pages were told twice"
    delays = [
        at - saved[page_no]
        for found in arrived
        for page_no, at in found.pages.items()
        if saved[page_no] > found.since  # else it was read before
    ]
    delays = sorted(delays) or [float("nan")]
    shown = [delays[min(len(delays) - 1, int(share * len(delays)))] for share in (0.5, 0.99)]
    p50, p99, worst = (1000 * watch.percentile(share) for share in (0.5, 0.99, 1.0))
    print(
        f"{watchers:<10}{took:>7.1f}{p50:>8.0f}{p99:>8.0f}{worst:>8.0f}{watch.failed:>8}{shown[0]:>13.2f}{shown[1]:>7.2f}"
        f"{reads:>8}{reads / took:>10.0f}{cpu:>7.1f}{watch.memory_peak / MB - before:>10.1f}{watch.load:>7.1f}",
        flush=True,
    )


async def watch_all(port: int, job_id: str, watchers: int) -> list[Arrivals]:
    """Watch the job by so many connections until each has the last event."""
    pauses = (WITHIN_SECONDS * number / watchers for number in range(watchers))
    return await asyncio.gather(*(watch(port, job_id, pause) for pause in pauses))


async def watch(port: int, job_id: str, pause: float) -> Arrivals:
    """Watch the job by one connection, after a pause in seconds."""
    await asyncio.sleep(pause)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /api/jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    pages: dict[int, float] = {}
    repeated, since = 0, time.time()
    try:
        while line := await reader.readline():
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                if event["event"] == "page":
                    repeated += event["page_no"] in pages
                    pages.setdefault(event["page_no"], time.time())
                elif event["event"] == "done":
                    break
    finally:
        writer.close()
    return Arrivals(pages=pages, repeated=repeated, since=since)


def saved_at(services: Running, job_id: str) -> dict[int, float]:
    """When the outcome of each page was saved, in Unix time."""
    found = services.storage.glob(f"users/*/{job_id}/page_*_result.json")
    return {int(path.name.split("_")[1]): path.stat().st_mtime for path in found}


if __name__ == "__main__":
    main()
