"""The two services as real processes, for tests."""

import contextlib
import fcntl
import functools
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from tests import ROOT
from tests.scripted import Script

PATIENCE_SECONDS = 60.0
ENDED = {"completed", "partial", "failed", "cancelled"}


class Running:
    """Web and worker on free ports over one storage folder; either may be killed and started again."""

    def __init__(
        self,
        folder: Path,
        *,
        script: Script | None,
        environ: dict[str, str],
        package: str = "services",
        python: str = sys.executable,
    ) -> None:
        """`package` holds the modules `web` and `worker` that are run; `python` runs them."""
        self._package = package
        self._python = python
        self.storage = folder / "storage"
        self.journal = folder / "journal"
        self.logs = folder
        self.web_port, self.worker_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.web_port}"
        # One client: making one loads certificates, which would cost more than the services do.
        self.client = httpx.Client(trust_env=False, timeout=PATIENCE_SECONDS)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environ = {
            **os.environ,
            "STORAGE_PATH": str(self.storage),
            "WEB_PORT": str(self.web_port),
            "WORKER_PORT": str(self.worker_port),
            "OCR_BATCH_SIZE": "3",
            "LEASE_SECONDS": "3",
            "SWEEP_SECONDS": "1",
            **environ,
        }
        if script is not None:
            ordered = msgspec.structs.replace(script, journal=str(self.journal))
            self.environ |= {
                "OCR_ENGINE": "tests.scripted:create",
                "SCRIPT": msgspec.json.encode(ordered).decode(),
            }

    def start(self, name: str, **environ: str) -> None:
        """Start `web` or `worker`."""
        log = (self.logs / f"{name}.log").open("ab")
        self._processes[name] = subprocess.Popen(
            [self._python, "-m", f"{self._package}.{name}"],
            cwd=ROOT,
            env={**self.environ, **environ},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit code."""
        process = self._processes.pop(name)
        process.send_signal(number)
        return process.wait(PATIENCE_SECONDS)

    def wait_exit(self, name: str) -> int:
        """Wait until the process ends by itself; the exit code."""
        return self._processes.pop(name).wait(PATIENCE_SECONDS)

    def pid(self, name: str) -> int:
        """The process id."""
        return self._processes[name].pid

    def wait_ready(self) -> None:
        """Wait until `/ready` answers 200."""
        self.until(lambda: self._ready(), "the services to be ready")

    def until(self, holds: Any, what: str, seconds: float = PATIENCE_SECONDS) -> Any:
        """Ask again and again until `holds()` is true, and return its value. Fails with the logs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if value := holds():
                return value
            time.sleep(0.05)
        logs = "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.logs.glob("*.log")))
        raise AssertionError(f"waited {seconds:g} s for {what}\n{logs}")

    def upload(self, path: Path, *, user: str = "", **fields: str) -> str:
        """Upload a file; the job's id."""
        with path.open("rb") as file:
            answer = self.client.post(
                f"{self.url}/upload", files={"file": (path.name, file)}, data=fields, headers=_headers(user)
            )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def status(self, job_id: str, *, user: str = "") -> dict[str, Any]:
        """The job's record."""
        answer = self.client.get(f"{self.url}/api/jobs/{job_id}/status", headers=_headers(user))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def ended(self, job_id: str, *, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """The job's record once it has ended."""

        def look() -> dict[str, Any] | None:
            with contextlib.suppress(httpx.TransportError):
                job = self.status(job_id)
                return job if job["status"] in ENDED else None
            return None

        job: dict[str, Any] = self.until(look, f"job {job_id} to end", seconds)
        return job

    def get(self, address: str, **headers: str) -> httpx.Response:
        """A GET of web."""
        return self.client.get(f"{self.url}{address}", headers=headers)

    def post(self, address: str) -> httpx.Response:
        """A POST without a body to web."""
        return self.client.post(f"{self.url}{address}")

    def read_counts(self) -> dict[int, int]:
        """How often the scripted engine began each page."""
        counts: dict[int, int] = {}
        if self.journal.exists():
            for line in self.journal.read_text().split():
                counts[int(line)] = counts.get(int(line), 0) + 1
        return counts

    def stop(self) -> None:
        """Kill what still runs."""
        for name in list(self._processes):
            self.kill(name)
        self.client.close()

    def _ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            return self.client.get(f"{self.url}/ready").status_code == 200
        return False


@contextlib.contextmanager
def running(folder: Path, *, script: Script | None = None, **environ: str) -> Iterator[Running]:
    """Both services, ready, until the block ends. Without a script the real CPU engine reads."""
    services = Running(folder, script=script, environ=environ)
    try:
        services.start("web")
        services.start("worker")
        services.wait_ready()
        yield services
    finally:
        services.stop()


def free_port() -> int:
    """A port that is free, and that no other process of these tests gets while this one lives.

    The service takes its port only after it has started: until then a lock keeps it.
    """
    while True:
        port = _DICE.choice(_PORTS)
        if port in _taken or not _lock(port):
            continue
        _taken.add(port)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


# Below those that Linux gives to connections and to sockets without a number (net.ipv4.ip_local_port_range).
_PORTS = range(20_000, 32_000)
_DICE = random.SystemRandom()
_taken: set[int] = set()


@functools.cache
def port_locks() -> int:
    """Its descriptor stays open: closing it would end all locks."""
    return os.open(Path(tempfile.gettempdir()) / f"gnosis-ocr-test-ports-{os.getuid()}", os.O_RDWR | os.O_CREAT, 0o600)


def _lock(port: int) -> bool:
    try:
        fcntl.lockf(port_locks(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _headers(user: str) -> dict[str, str]:
    return {"X-User-Email": user} if user else {}
