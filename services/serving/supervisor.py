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

#: The exit code of a service whose settings are wrong: to start it again would not help.
CONFIGURATION_ERROR = 2
# <linux/prctl.h>
_PR_SET_PDEATHSIG = 1


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A program to keep running."""

    name: str
    command: tuple[str, ...]
    #: Answers 200 when the service can take work.
    ready_url: str
    #: Any answer, of whatever status, shows that the service does not hang.
    health_url: str


class Timings(msgspec.Struct, frozen=True, kw_only=True):
    """The supervisor's waits, in seconds; chosen where nothing else is given."""

    #: Before the next start, by the number of quick deaths in a row; the last one repeats.
    restart_delays: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    #: A service that ends within this time of its start has died quickly.
    quick_death: float = 2.0
    #: After so many quick deaths in a row the service is given up (a count).
    quick_deaths: int = 5
    #: From SIGTERM to SIGKILL: above the 10 s in which a service ends in good order.
    stop: float = 12.0
    #: Between two looks at the services' readiness, and between two questions before a service's first answer.
    poll: float = 0.2
    #: Between two lines about services that are not ready.
    reminder: float = 15.0
    #: A service that has answered nothing for this long is killed and started again; 0: never. Longer than a service
    #: keeps its event loop busy, and short enough that with the start it is served again within 45 s.
    liveness: float = 30.0
    #: The same before its first answer, if longer than `liveness`: imports on a slow disk take time.
    startup: float = 120.0
    #: Between an answer and the next question about liveness. A wait that takes this much longer than it should shows
    #: that the supervisor itself did not run.
    probe: float = 3.0

    @classmethod
    def by_liveness(cls, seconds: float) -> "Timings":
        """The timings where `LIVENESS_SECONDS` is this: a service is asked at least four times before it is killed."""
        usual = cls(liveness=seconds)
        return msgspec.structs.replace(usual, probe=min(usual.probe, seconds / 4)) if seconds else usual


class Supervisor:
    """Runs services between `async with` and its end.

    A service that ends is started again, a little later each time, unless its settings are wrong (exit code 2) or it
    cannot stay up. One that no longer answers is killed first. On leaving, each gets SIGTERM, then SIGKILL with its
    whole process group.
    """

    def __init__(
        self,
        services: Sequence[Service],
        environ: Mapping[str, str],
        *,
        say: Callable[[str], None],
        output: int | None = None,
        timings: Timings | None = None,
        kill_now: asyncio.Event | None = None,
    ) -> None:
        """`output`: the file descriptor that the services print to; None for this process's own.

        `kill_now`, once set, replaces SIGTERM and the wait after it by SIGKILL.
        """
        self._services = services
        self._environ = environ
        self._say = say
        self._output = output
        self._timings = timings or Timings()
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
        remind_at = loop.time() + self._timings.reminder
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
            while waiting:
                for name, url in list(waiting.items()):
                    with contextlib.suppress(httpx.HTTPError):
                        if (await client.get(url)).status_code == 200:
                            del waiting[name]
                if waiting:
                    if loop.time() >= remind_at:
                        self._say(f"still waiting for {' and '.join(waiting)} to be ready")
                        remind_at = loop.time() + self._timings.reminder
                    await asyncio.sleep(self._timings.poll)

    async def given_up(self) -> int:
        """Return an exit code when a service cannot be kept running."""
        done, _ = await asyncio.wait(self._keepers, return_when=asyncio.FIRST_COMPLETED)
        return next(iter(done)).result()

    async def _keep(self, service: Service) -> int:
        """Run the service again and again; the exit code once it is given up."""
        quick_deaths = 0
        clock = asyncio.get_running_loop().time
        while True:
            started = clock()
            code = await self._run_once(service)
            if code == CONFIGURATION_ERROR:
                self._say(f"{service.name} cannot start with these settings (see above)")
                return CONFIGURATION_ERROR
            quick_deaths = quick_deaths + 1 if clock() - started < self._timings.quick_death else 0
            if quick_deaths >= self._timings.quick_deaths:
                self._say(f"{service.name} ended {quick_deaths} times in a row right after its start: giving up")
                return 1
            delays = self._timings.restart_delays
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
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._kill_if_silent(service, process.pid))
            code = await process.wait()
            watch.cancel()
        del self._running[service.name]
        self._kill_group(process.pid)
        return code

    async def _kill_if_silent(self, service: Service, pid: int) -> None:
        """End the process once it has not answered for too long; SIGKILL reaches a stopped process too."""
        if not self._timings.liveness:
            return
        seconds = await _silence(service.health_url, self._timings)
        self._say(f"service_unresponsive service={service.name} seconds={seconds:.0f}; killing it")
        self._kill_group(pid)

    async def _end(self) -> None:
        living = list(self._running.values())
        for process in living:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        ended = asyncio.create_task(_all_ended(living))
        killed = asyncio.create_task(self._kill_now.wait())
        await asyncio.wait({ended, killed}, timeout=self._timings.stop, return_when=asyncio.FIRST_COMPLETED)
        killed.cancel()
        for group in list(self._groups):
            self._kill_group(group)
        await ended

    def _kill_group(self, group: int) -> None:
        """End what a service left behind, or the service itself."""
        self._groups.discard(group)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


async def _silence(url: str, timings: Timings) -> float:
    """Return, once the service has not answered for too long, for how many seconds."""
    clock = asyncio.get_running_loop().time
    heard, allowed = clock(), max(timings.startup, timings.liveness)
    # Often before the first answer, since a service that hangs between its first answer and ours has all of `startup`.
    pause = min(timings.poll, timings.probe)
    # A connection for each question: the service must accept, too. An answer may take as long as the silence.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(trust_env=False, timeout=None, limits=limits) as client:  # noqa: S113
        question = asyncio.create_task(_answers(client, url, pause))
        try:
            while (left := heard + allowed - clock()) > 0:
                began, wait = clock(), min(timings.probe, left)
                await asyncio.wait({question}, timeout=wait)
                if question.done():
                    if question.result():
                        heard, allowed, pause = clock(), timings.liveness, timings.probe
                    question = asyncio.create_task(_answers(client, url, pause))
                if clock() - began > wait + timings.probe:
                    # This process did not run (the machine slept, a debugger): it could not hear an answer.
                    heard = clock()
        finally:
            question.cancel()
            await asyncio.wait({question})
    return clock() - heard


async def _answers(client: httpx.AsyncClient, url: str, pause: float) -> bool:
    """Whether the service answers a question asked after `pause` seconds, whatever the answer."""
    await asyncio.sleep(pause)
    try:
        await client.get(url)
    except httpx.HTTPError:
        return False
    return True


async def _all_ended(processes: Sequence[asyncio.subprocess.Process]) -> None:
    for process in processes:
        await process.wait()


def _described(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _die_with_parent() -> Callable[[], None] | None:
    """What a child does before its program starts: ask for SIGTERM when this process dies. Linux only."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)

    return ask_kernel
