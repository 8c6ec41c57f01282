"""The memory that the bucket store needs, and the gain from its parallel connections.

    python -m bench.bucket [--mib 300] [--pages 200]

Against the emulator in a process of its own, so that the memory is the client's alone. Streams one object up and down
and prints the peak of resident memory over the value before; then writes page images one after the other and all at
once, each answer 30 ms late, as from a bucket in the same region.
"""

import argparse
import asyncio
import contextlib
import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator

import psutil

from libs.storage.gcs import GcsStore
from tests import ROOT

BUCKET = "bench"
CHUNK = 1 << 16
PAGE_BYTES = 300_000
LATENCY_SECONDS = 0.03


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Memory and parallel writes of the bucket store.")
    parser.add_argument("--mib", type=int, default=300)
    parser.add_argument("--pages", type=int, default=200)
    options = parser.parse_args()
    asyncio.run(_measure(options.mib, options.pages))


async def _measure(mib: int, pages: int) -> None:
    with _emulator() as store:
        await store.write("warm", b"")
        await store.read("warm")
        sent, got = hashlib.sha256(), hashlib.sha256()
        print(f"{f'{mib} MiB':<24}{'seconds':>9}{'MiB/s':>9}{'peak growth, MiB':>19}")
        with _Peak() as peak:
            began = time.monotonic()
            await store.write("large", _noise(mib, sent), if_generation=0)
            _row("streamed up", mib, time.monotonic() - began, peak)
        with _Peak() as peak:
            began = time.monotonic()
            async with store.open_read("large") as opened:
                async for chunk in opened.chunks:
                    got.update(chunk)
            _row("streamed down", mib, time.monotonic() - began, peak)
        if sent.digest() != got.digest():
            raise SystemExit("what came down is not what went up")
    with _emulator("--slow", "1", "--slow-seconds", str(LATENCY_SECONDS)) as store:
        await store.write("warm", b"")
        page = os.urandom(PAGE_BYTES)
        print(f"\n{f'{pages} page images':<24}{'seconds':>9}{'pages/s':>9}")
        began = time.monotonic()
        for number in range(pages):
            await store.write(f"one/{number}", page, if_generation=0)
        _pages("one after the other", pages, time.monotonic() - began)
        began = time.monotonic()
        await asyncio.gather(*(store.write(f"all/{number}", page, if_generation=0) for number in range(pages)))
        _pages("all at once", pages, time.monotonic() - began)


@contextlib.contextmanager
def _emulator(*options: str) -> Iterator[GcsStore]:
    command = [sys.executable, "-m", "tests.emulators.gcs", "--bucket", BUCKET, *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        os.environ["STORAGE_EMULATOR_HOST"] = process.stdout.readline().split()[0].partition("=")[2]
        store = GcsStore(BUCKET)
        try:
            yield store
        finally:
            store.close()
            process.terminate()


class _Peak:
    """The most resident memory in the block, over what there was before it, in MiB."""

    def __enter__(self) -> "_Peak":
        self._process = psutil.Process()
        self._before = self._most = self._process.memory_info().rss
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def growth(self) -> float:
        return (self._most - self._before) / (1 << 20)

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self._most = max(self._most, self._process.memory_info().rss)


async def _noise(mib: int, digest: "hashlib._Hash") -> AsyncIterator[bytes]:
    block = os.urandom(1 << 20)
    for number in range(mib):
        marked = number.to_bytes(4, "big") + block[4:]
        for offset in range(0, len(marked), CHUNK):
            chunk = marked[offset : offset + CHUNK]
            digest.update(chunk)
            yield chunk


def _row(label: str, mib: int, seconds: float, peak: _Peak) -> None:
    print(f"{label:<24}{seconds:>9.1f}{mib / seconds:>9.0f}{peak.growth:>19.0f}", flush=True)


def _pages(label: str, pages: int, seconds: float) -> None:
    print(f"{label:<24}{seconds:>9.1f}{pages / seconds:>9.1f}", flush=True)


if __name__ == "__main__":
    main()
