"""Web and two workers as processes: started, started again, killed, stopped."""

import asyncio
import ctypes
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests import ROOT
from tests.chaos import places
from tests.chaos.folder import VARIABLE, Folder
from tests.chaos.front import Front
from tests.chaos.ground import Ground
from tests.chaos.journal import Journal, What
from tests.chaos.wiring import FAILPOINTS
from tests.running import free_port

WEB, WORKERS = "web", ("worker1", "worker2")
# Longer than a process is ever stopped: else each stop would be taken for a hanging engine.
PAGE_LEASES = 2.5
POLL_SECONDS = 0.02
PLACES_ARMED = 3
_PR_SET_PDEATHSIG = 1


class Programs:
    """Keeps the three running between `start` and `end`.

    `armed` is the chance that a process gets failpoints; `struck` counts where processes died; `quick` leaves out the
    places that cost a minute of calm.
    """

    def __init__(
        self,
        folder: Folder,
        ground: Ground,
        journal: Journal,
        rng: random.Random,
        struck: Counter[str],
        *,
        quick: bool,
    ) -> None:
        self._folder = folder
        self._ground = ground
        self._journal = journal
        self._rng = rng
        self._struck = struck
        self._quick = quick
        self._ports = {name: free_port() for name in (WEB, *WORKERS)}
        self._front_port = free_port()
        self._front = Front(self._front_port, lambda: [self._ports[name] for name in self._running if name != WEB])
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._libc = ctypes.CDLL(None)
        self.armed = 0.0
        self.url = f"http://127.0.0.1:{self._ports[WEB]}"
        self.kills = 0
        self.last_death = 0.0

    def start(self) -> None:
        """Start all, and start again at once what ends."""
        self._keepers = [asyncio.create_task(self._keep(name)) for name in (WEB, *WORKERS)]
        self._keepers.append(asyncio.create_task(self._front.serve()))

    async def end(self) -> None:
        """Kill all, for good."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        for process in self._running.values():
            process.kill()
            process.wait()

    def kill(self, name: str) -> None:
        """SIGKILL."""
        if (process := self._running.get(name)) is not None and process.poll() is None:
            process.kill()

    def victim(self) -> str | None:
        """One of those that have got to work, if there is any; now and then one that is just starting."""
        at_work = [
            name
            for name, process in self._running.items()
            if _worked(process.pid) > self._ground.start_seconds[_program(name)]
        ]
        if self._rng.random() < 0.08:
            return self._rng.choice((WEB, *WORKERS))
        return self._rng.choice(at_work) if at_work else None

    def stop(self, name: str) -> None:
        """SIGSTOP, for longer than a lease."""
        if (process := self._running.get(name)) is not None:
            process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT for all."""
        for process in self._running.values():
            process.send_signal(signal.SIGCONT)

    async def _keep(self, name: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            process = self._start(name)
            self._running[name] = process
            goes_on_at = 0.0
            while process.poll() is None:
                await asyncio.sleep(POLL_SECONDS)
                if not _stands_still(process.pid):
                    goes_on_at = 0.0
                elif not goes_on_at:
                    self._journal.note(What.STOPPED, pid=process.pid, name=name)
                    goes_on_at = loop.time() + self._rng.uniform(1.2, 2.0) * self._ground.lease_seconds
                elif loop.time() > goes_on_at:
                    process.send_signal(signal.SIGCONT)
            del self._running[name]
            self.last_death = loop.time()
            place = ""
            if process.returncode == -signal.SIGKILL:
                self.kills += 1
                if hit := self._journal.last_hit(process.pid):
                    place = f"{_program(name)} {hit}"
                    self._struck[place] += 1
            self._journal.note(What.DIED, pid=process.pid, name=name, code=process.returncode, place=place)

    def _start(self, name: str) -> "subprocess.Popen[bytes]":
        environ = self._environ(name)
        if self._rng.random() < self.armed:
            chosen = places.choose(
                _program(name),
                self._struck,
                self._rng,
                PLACES_ARMED,
                quick=self._quick,
                in_cloud=self._ground.in_cloud,
            )
            environ[FAILPOINTS] = ",".join(f"{place}={self._act()}" for place in chosen)
        with (self._folder.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"tests.chaos.{_program(name)}"],
                cwd=ROOT,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=self._die_with_us,
            )
        self._journal.note(What.BORN, pid=process.pid, name=name)
        return process

    def _act(self) -> str:
        return f"{'stop' if self._rng.random() < 0.04 else 'kill'}#{self._rng.choice((1, 1, 2, 3, 5, 8))}"

    def _die_with_us(self) -> None:
        self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def _environ(self, name: str) -> dict[str, str]:
        return {
            **os.environ,
            VARIABLE: str(self._folder.root),
            # A killed web leaves the copy of an upload behind that it was rendering from.
            "TMPDIR": str(self._folder.temporary),
            **self._ground.environ(),
            "WEB_PORT": str(self._ports[WEB]),
            "WORKER_PORT": str(self._ports[name]),
            "WORKER_URL": f"http://127.0.0.1:{self._front_port}",
            "OCR_ENGINE": "tests.chaos.engine:create",
            "FALLBACK_ENGINE": "none",  # a real engine would read what only ours can write
            "OCR_BATCH_SIZE": "4",
            "JOB_PARALLELISM": "2",
            "LEASE_SECONDS": f"{self._ground.lease_seconds:g}",
            "PAGE_SECONDS": f"{PAGE_LEASES * self._ground.lease_seconds:g}",
            "BATCH_SECONDS": "3",
            "EXTRACT_SECONDS": "2",
            # A killed web leaves uploads behind that count as active until the sweep gives them up, a day later.
            "ACTIVE_JOBS_PER_USER": "10000",
            # The file system that is filled on purpose is smaller than the reserve.
            "DISK_RESERVE_BYTES": "0",
        }


def _program(name: str) -> str:
    return name.rstrip("12")


def _worked(pid: int) -> float:
    """Seconds of processor time that the process has had."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _stands_still(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (FileNotFoundError, ProcessLookupError):
        return False
