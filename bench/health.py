"""How quickly a service answers under load: a process of its own that sends requests at a fixed rate.

    python -m bench.health URL PID

Sends `GET URL` every `EVERY_SECONDS` until its standard input ends, then prints a `Watch` as JSON. A latency runs from
the moment the request was *due* to the last byte of the answer, and no request waits for the one before it: if the
service does not answer for a second, every request of that second counts. A request opens a new connection when all
others are busy. The memory is that of process PID.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import psutil

EVERY_SECONDS = 0.1
PATIENCE_SECONDS = 30.0
# A request that got no answer, or not a 200, counts as this long.
FAILED_SECONDS = PATIENCE_SECONDS


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies in seconds, in the order of sending; how many got no 200; memory in bytes; mean load of the machine."""

    latencies: list[float]
    failed: int
    memory_peak: int
    load: float

    def percentile(self, share: float) -> float:
        """The latency within which this share of the requests was answered."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Prober:
    """Asks, and keeps the connections that are free."""

    def __init__(self, url: str, pid: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), int(parts.port or 80)
        self._request = f"GET {parts.path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode()
        self._process = psutil.Process(pid)
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._latencies: list[float] = []
        self._failed = 0

    async def watch(self, ended: asyncio.Event) -> Watch:
        """Ask until `ended`."""
        began, number, peak = time.monotonic(), 0, 0
        loads: list[float] = []
        asking: set[asyncio.Task[None]] = set()
        while not ended.is_set():
            due = began + number * EVERY_SECONDS
            if (left := due - time.monotonic()) > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), left)
                continue
            task = asyncio.create_task(self._ask(due))
            asking.add(task)
            task.add_done_callback(asking.discard)
            with contextlib.suppress(psutil.Error):
                peak = max(peak, self._process.memory_info().rss)
            loads.append(os.getloadavg()[0])
            number += 1
        await asyncio.gather(*asking)
        return Watch(
            latencies=self._latencies,
            failed=self._failed,
            memory_peak=peak,
            load=sum(loads) / max(1, len(loads)),
        )

    async def _ask(self, due: float) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                good = await self._answered()
        except (OSError, EOFError, TimeoutError, ValueError):
            good = False
        self._failed += not good
        self._latencies.append(time.monotonic() - due if good else FAILED_SECONDS)

    async def _answered(self) -> bool:
        while self._free:
            with contextlib.suppress(EOFError, ConnectionError):  # the service may have closed it meanwhile
                return await self._on(*self._free.pop())
        return await self._on(*await asyncio.open_connection(self._host, self._port))

    async def _on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            writer.write(self._request)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = next(line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:"))
            await reader.readexactly(int(length))
        except BaseException:
            writer.close()
            raise
        if "connection: close" in head:
            writer.close()
        else:
            self._free.append((reader, writer))
        return head.split()[1] == "200"


async def main() -> None:
    """Watch until the end of standard input, then print."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)
    watch = await Prober(sys.argv[1], int(sys.argv[2])).watch(ended)
    print(json.dumps(msgspec.to_builtins(watch)))


class Watcher:
    """The prober as its bench sees it."""

    def __init__(self, url: str, pid: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.health", url, str(pid)],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def end(self) -> Watch:
        """Stop asking; what was found."""
        out, _ = self._process.communicate()
        return msgspec.json.decode(out, type=Watch)


if __name__ == "__main__":
    asyncio.run(main())
