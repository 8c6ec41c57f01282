"""A large upload: how fast, and in how much memory.

    python -m bench.upload [--megabytes 1000] [--tiny 0]

Sends one file in four ways, each to a web service of its own, and prints MB/s until the answer (the bytes are then on
the disk) and web's peak of resident memory above its memory before (bar: 150 MB). Then it sends the file to a bucket
directly. The bucket is an emulator on this machine, so that only web's memory is meaningful there.

With `--tiny` it sends so many bytes by tus instead, one a request, and prints what the first and the last took.
"""

import argparse
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
from tusclient.client import TusClient

from tests.cloudmode.cloud import Cloud, cloud
from tests.running import Running

MB = 1_000_000
PIECE = 1 << 20
TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
QUIET = "WARNING"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Speed and memory of a large upload.")
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--tiny", type=int, default=0)
    given = parser.parse_args()
    if given.tiny:
        with tempfile.TemporaryDirectory() as folder:
            measure_tiny(Path(folder), given.tiny)
        return
    megabytes = given.megabytes
    ways: dict[str, Callable[[str, Path], None]] = {
        "one request, HTTP/1.1": lambda url, path: one_shot(url, path, http2=False),
        "one request, h2c": lambda url, path: one_shot(url, path, http2=True),
        "tus, one request, h2c": tus_over_h2c,
        "tus, tuspy, 16 MB a request, HTTP/1.1": tuspy,
    }
    print(f"{f'{megabytes} MB':<40}{'seconds':>9}{'MB/s':>9}{'idle MB':>9}{'peak above':>12}")
    for name, send in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            seconds, idle, peak = measure(Path(folder), megabytes, send)
        _print(name, megabytes, seconds, idle, peak)
    with tempfile.TemporaryDirectory() as folder:
        _print("to the bucket itself, 16 MB a request", megabytes, *measure_direct(Path(folder), megabytes))


def _print(name: str, megabytes: int, seconds: float, idle: float, peak: float) -> None:
    print(f"{name:<40}{seconds:>9.1f}{megabytes / seconds:>9.0f}{idle:>9.0f}{peak - idle:>12.1f}", flush=True)


def measure_direct(folder: Path, megabytes: int) -> tuple[float, float, float]:
    """The same of a service with a bucket."""
    with cloud(folder, LOG_LEVEL=QUIET) as services:
        direct(services, document(folder / "warm.pdf", 1))
        path = document(folder / "large.pdf", megabytes)
        idle = memory(services.pid("web"), "VmRSS")
        began = time.monotonic()
        direct(services, path)
        return time.monotonic() - began, idle, memory(services.pid("web"), "VmHWM")


def measure(folder: Path, megabytes: int, send: Callable[[str, Path], None]) -> tuple[float, float, float]:
    """Seconds of the upload; web's memory before it and its peak, in MB."""
    services = Running(folder, script=None, environ={"LOG_LEVEL": QUIET})
    try:
        services.start("web")
        services.until(lambda: alive(services.url), "web to answer")
        send(services.url, document(folder / "warm.pdf", 1))
        path = document(folder / "large.pdf", megabytes)
        idle = memory(services.pid("web"), "VmRSS")
        began = time.monotonic()
        send(services.url, path)
        seconds = time.monotonic() - began
        return seconds, idle, memory(services.pid("web"), "VmHWM")
    finally:
        services.stop()


def measure_tiny(folder: Path, count: int) -> None:
    """Send `count` bytes by tus, one a request; print the median time of the first and of the last 50 requests."""
    services = Running(folder, script=None, environ={"LOG_LEVEL": QUIET})
    seconds: list[float] = []
    try:
        services.start("web")
        services.until(lambda: alive(services.url), "web to answer")
        with client(services.url, http2=False) as http:
            created = http.post("/api/uploads", headers={**TUS, "Content-Type": "", "Upload-Length": str(MB)})
            for offset in range(count):
                began = time.monotonic()
                answer = http.patch(
                    created.headers["Location"], content=b"%", headers={**TUS, "Upload-Offset": str(offset)}
                )
                seconds.append(time.monotonic() - began)
                answer.raise_for_status()
    finally:
        services.stop()
    first, last = (1000 * statistics.median(some) for some in (seconds[:50], seconds[-50:]))
    print(f"{count} bytes, one a request: the first 50 took {first:.1f} ms each, the last 50 {last:.1f} ms")
    print(f"in all {sum(seconds):.1f} s; load {os.getloadavg()[0]:.1f}")


def document(path: Path, megabytes: int) -> Path:
    """What begins as a PDF does, and is long."""
    with path.open("wb") as file:
        file.write(b"%PDF-1.7\n")
        left = megabytes * MB - file.tell()
        while left > 0:
            left -= file.write(os.urandom(min(PIECE, left)))
    return path


def alive(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def memory(pid: int, field: str) -> float:
    """`VmRSS` or `VmHWM` (its peak) of the process, in MB."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024 / MB


def one_shot(url: str, path: Path, *, http2: bool) -> None:
    with client(url, http2=http2) as http, path.open("rb") as file:
        http.post("/upload", files={"file": (path.name, file)}).raise_for_status()


def tus_over_h2c(url: str, path: Path) -> None:
    with client(url, http2=True) as http:
        headers = {**TUS, "Upload-Length": str(path.stat().st_size)}
        http.post("/api/uploads", content=pieces(path), headers=headers).raise_for_status()


def tuspy(url: str, path: Path) -> None:
    with path.open("rb") as file:
        TusClient(f"{url}/api/uploads").uploader(file_stream=file, chunk_size=16 << 20).upload()


def direct(services: Cloud, path: Path) -> None:
    size = path.stat().st_size
    order = {"filename": path.name, "size": size, "pages": "1"}
    begun = services.client.post(f"{services.url}/api/direct-uploads", json=order).raise_for_status().json()
    with httpx.Client(trust_env=False, timeout=600) as bucket, path.open("rb") as file:
        while piece := file.read(16 << 20):
            end = file.tell()
            headers = {"Content-Range": f"bytes {end - len(piece)}-{end - 1}/{size}"}
            answer = bucket.put(begun["upload_url"], content=piece, headers=headers)
            assert answer.status_code == (200 if end == size else 308), answer.text
    services.client.post(services.url + begun["complete"]).raise_for_status()


def client(url: str, *, http2: bool) -> httpx.Client:
    return httpx.Client(base_url=url, http1=not http2, http2=http2, trust_env=False, timeout=600)


def pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


if __name__ == "__main__":
    main()
