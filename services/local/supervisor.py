"""Keeps child services running, and ends them with itself."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

import httpx
import msgspec

CONFIGURATION_ERROR = 2
_PR_SET_PDEATHSIG = 1


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A program to keep running; `ready_url` answers 200 when it can take work."""

    name: str
    command: tuple[str, ...]
    ready_url: str


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long the supervisor waits for what, in seconds."""

    restart_delays: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    quick_death: float = 2.0
    quick_deaths: int = 5
    stop: float = 12.0
    poll: float = 0.2
    reminder: float = 15.0


class Supervisor:
    """Runs services between `async with` and its end.

    A service that ends is started again, a little later each time, unless it said that its settings are wrong
    (exit code 2) or cannot stay up. On leaving, each gets SIGTERM, then SIGKILL with its whole process group.
    """

    def __init__(
        self,
        services: Sequence[Service],
        environ: Mapping[str, str],
        *,
        say: Callable[[str], None],
        output: int | None = None,
        patience: Patience | None = None,
        kill_now: asyncio.Event | None = None,
    ) -> None:
        """`output` is a file descriptor for what the services print; None leaves them ours.

        `kill_now` cuts the end short: SIGKILL at once.
        """
        self._services = services
        self._environ = environ
        self._say = say
        self._output = output
        self._patience = patience or Patience()
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._groups: set[int] = set()
        self._keepers: list[asyncio.Task[int]] = []
        self._kill_now = kill_now or asyncio.Event()

    async def __aenter__(self) -> "Supervisor":
        self._keepers = [asyncio.create_task(self._keep(service)) for service in self._services]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await self._end()

    async def ready(self) -> None:
        """Return when every service can take work."""
        waiting = {service.name: service.ready_url for service in self._services}
        loop = asyncio.get_running_loop()
        remind_at = loop.time() + self._patience.reminder
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
            while waiting:
                for name, url in list(waiting.items()):
                    with contextlib.suppress(httpx.HTTPError):
                        if (await client.get(url)).status_code == 200:
                            del waiting[name]
                if waiting:
                    if loop.time() >= remind_at:
                        self._say(f"still waiting for {' and '.join(waiting)} to be ready")
                        remind_at = loop.time() + self._patience.reminder
                    await asyncio.sleep(self._patience.poll)

    async def given_up(self) -> int:
        """Return an exit code when a service cannot be kept running."""
        done, _ = await asyncio.wait(self._keepers, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()

    async def _keep(self, service: Service) -> int:
        """Run the service again and again; the exit code when that makes no sense any more."""
        quick_deaths = 0
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            code = await self._run_once(service)
            if code == CONFIGURATION_ERROR:
                self._say(f"{service.name} cannot start with these settings (see above)")
                return CONFIGURATION_ERROR
            quick_deaths = quick_deaths + 1 if clock() - started < self._patience.quick_death else 0
            if quick_deaths >= self._patience.quick_deaths:
                self._say(f"{service.name} ended {quick_deaths} times in a row right after its start: giving up")
                return 1
            delays = self._patience.restart_delays
            delay = delays[min(quick_deaths, len(delays) - 1)]
            self._say(f"{service.name} ended unexpectedly ({_described(code)}); starting it again in {delay:g} s")
            await asyncio.sleep(delay)

    async def _run_once(self, service: Service) -> int:
        process = await asyncio.create_subprocess_exec(
            *service.command,
            env=dict(self._environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            # Its own session: the terminal's Ctrl-C reaches only us, and we end the services in good order.
            start_new_session=True,
            preexec_fn=_die_with_parent(),
        )
        self._running[service.name] = process
        self._groups.add(process.pid)
        code = await process.wait()
        del self._running[service.name]
        self._kill_group(process.pid)
        return code

    async def _end(self) -> None:
        living = list(self._running.values())
        for process in living:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        ended = asyncio.create_task(_all_ended(living))
        killed = asyncio.create_task(self._kill_now.wait())
        await asyncio.wait({ended, killed}, timeout=self._patience.stop, return_when=asyncio.FIRST_COMPLETED)
        killed.cancel()
        for group in list(self._groups):
            self._kill_group(group)
        await ended

    def _kill_group(self, group: int) -> None:
        """End what a service left behind, or the service itself."""
        self._groups.discard(group)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


async def _all_ended(processes: Sequence[asyncio.subprocess.Process]) -> None:
    for process in processes:
        await process.wait()


def _described(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _die_with_parent() -> Callable[[], None] | None:
    """For the child before its program starts: get SIGTERM when this process dies, even by SIGKILL. Linux only."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return ask_kernel
