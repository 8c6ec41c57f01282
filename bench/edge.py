"""A service beside clients that hold connections: how quickly it answers others, and what they cost it.

    python -m bench.edge [--clients 1000] [--seconds 30]

Starts web with a limit of open files, has `GET /health` requested ten times a second (`bench.health`), first alone and
then beside slow and idle clients of six kinds (`tests/slowclients.py`), who come within 10 s, and again 5 s after they
were closed. Prints latencies in milliseconds, web's peak of resident memory above the value before, and how many
lines it logged meanwhile. Bars: 99 % within 250 ms, 100 MB.
"""

import argparse
import asyncio
import resource
import tempfile
from functools import partial
from pathlib import Path

from bench.health import Watch, Watcher
from bench.upload import MB, alive, memory
from tests.running import Running
from tests.slowclients import SlowClients

#: Seconds in which the clients come.
WITHIN_SECONDS = 10.0
#: Limits of open files: many systems' default, and fewer than there are clients.
DESCRIPTORS = (1024, 256)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="GET /health beside clients that hold connections.")
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(f"{'descriptors, clients':<24}{'p50 ms':>8}{'p99 ms':>8}{'worst':>8}{'failed':>8}", end="")
    print(f"{'MB above':>10}{'log lines':>11}{'load':>7}", flush=True)
    for descriptors in DESCRIPTORS:
        with tempfile.TemporaryDirectory() as folder:
            services = Running(Path(folder), script=None, environ={})
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
                services.start("web")
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                services.until(partial(alive, services.url), "web to answer")
                for clients in (0, given.clients):
                    asyncio.run(measure(services, descriptors, clients, given.seconds))
            finally:
                services.stop()


async def measure(services: Running, descriptors: int, clients: int, seconds: float) -> None:
    """Watch web for so many seconds beside so many clients, and print a line."""
    pid, log = services.pid("web"), services.logs / "web.log"
    before, lines = memory(pid, "VmRSS"), _lines(log)
    slow = SlowClients(services.web_port, clients, again=True, within_seconds=WITHIN_SECONDS)
    async with slow.connected():
        watcher = Watcher(f"{services.url}/health", pid)
        await asyncio.sleep(seconds)
        watch: Watch = await asyncio.to_thread(watcher.end)
    p50, p99, worst = (1000 * watch.percentile(share) for share in (0.5, 0.99, 1.0))
    print(
        f"{f'{descriptors}, {clients}':<24}{p50:>8.0f}{p99:>8.0f}{worst:>8.0f}{watch.failed:>8}"
        f"{watch.memory_peak / MB - before:>10.1f}{_lines(log) - lines:>11}{watch.load:>7.1f}",
        flush=True,
    )
    if clients:
        print("  closed: " + ", ".join(f"{kind} {count}" for kind, count in sorted(slow.closed.items())), flush=True)


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"\n")


if __name__ == "__main__":
    main()
