"""The supervisor over real processes: small programs stand where the services would."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from services.local.launcher import keep
from services.local.processes import free_ports, is_free
from services.local.terminal import Interrupts
from services.serving.supervisor import Service, Supervisor, Timings
from tests import ROOT

# No test waits for these: they only keep the restarts from being slow.
TIMINGS = Timings(restart_delays=(0.0,), stop=20.0, poll=0.01)

# Notes its process id, then serves 200 on its port until SIGTERM.
SERVE = """
import http.server, os, pathlib, sys
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *words):
        pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[2])), Ready)
with open(sys.argv[1], "a") as pids:
    pids.write(f"{os.getpid()}\\n")
server.serve_forever()
"""

DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SERVE

# A child of its own, in the same process group, that would outlive it.
PARENT = "import subprocess, sys; subprocess.Popen(['sleep', '600'])\n" + SERVE


def service(tmp_path: Path, program: str, name: str = "web") -> Service:
    [port] = free_ports(1)
    pids = tmp_path / f"{name}.pids"
    return Service(
        name=name,
        command=(sys.executable, "-c", program, str(pids), str(port)),
        ready_url=f"http://127.0.0.1:{port}/ready",
        health_url=f"http://127.0.0.1:{port}/health",
    )


def pids(tmp_path: Path, name: str = "web") -> list[int]:
    file = tmp_path / f"{name}.pids"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def answers(tmp_path: Path) -> int:
    file = tmp_path / "web.pids.answers"
    return len(file.read_text().split()) if file.exists() else 0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - other processes tell no event
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@asynccontextmanager
async def supervised(
    *services: Service, timings: Timings = TIMINGS, kill_now: asyncio.Event | None = None
) -> AsyncIterator[tuple[Supervisor, list[str]]]:
    lines: list[str] = []
    supervisor = Supervisor(services, os.environ, say=lines.append, timings=timings, kill_now=kill_now)
    async with supervisor:
        yield supervisor, lines


async def test_it_is_ready_when_every_service_answers_and_leaves_no_process(tmp_path: Path) -> None:
    web, worker = service(tmp_path, SERVE), service(tmp_path, SERVE, "worker")
    async with supervised(web, worker) as (supervisor, _):
        await supervisor.ready()
        running = pids(tmp_path) + pids(tmp_path, "worker")
        assert len(running) == 2
        assert all(is_alive(pid) for pid in running)

    assert not any(is_alive(pid) for pid in running)


async def test_a_service_that_dies_is_started_again(tmp_path: Path) -> None:
    async with supervised(service(tmp_path, SERVE)) as (supervisor, lines):
        await supervisor.ready()
        os.kill(pids(tmp_path)[0], signal.SIGKILL)
        await until(lambda: len(pids(tmp_path)) == 2)
        await supervisor.ready()

    assert lines == ["web ended unexpectedly (killed by SIGKILL); starting it again in 0 s"]


async def test_a_service_that_cannot_stay_up_is_given_up(tmp_path: Path) -> None:
    program = "import sys; open(sys.argv[1], 'a').write('1\\n'); sys.exit(3)"
    timings = Timings(restart_delays=(0.0,), quick_death=60.0, quick_deaths=3)
    async with supervised(service(tmp_path, program), timings=timings) as (supervisor, lines):
        assert await supervisor.given_up() == 1

    assert len(pids(tmp_path)) == 3
    assert lines[0] == "web ended unexpectedly (exit code 3); starting it again in 0 s"
    assert lines[-1] == "web ended 3 times in a row right after its start: giving up"


async def test_deaths_after_a_longer_life_are_not_counted(tmp_path: Path) -> None:
    program = "import sys; open(sys.argv[1], 'a').write('1\\n')"
    timings = Timings(restart_delays=(0.0,), quick_death=0.0, quick_deaths=2)
    async with supervised(service(tmp_path, program), timings=timings):
        await until(lambda: len(pids(tmp_path)) >= 4)


async def test_a_service_with_wrong_settings_is_not_started_again(tmp_path: Path) -> None:
    program = "import sys; open(sys.argv[1], 'a').write('1\\n'); sys.exit(2)"
    async with supervised(service(tmp_path, program)) as (supervisor, lines):
        assert await supervisor.given_up() == 2

    assert len(pids(tmp_path)) == 1
    assert lines == ["web cannot start with these settings (see above)"]


async def test_a_service_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    timings = Timings(stop=0.1, poll=0.01)
    async with supervised(service(tmp_path, DEAF), timings=timings) as (supervisor, _):
        await supervisor.ready()

    assert not is_alive(pids(tmp_path)[0])


async def test_a_second_interrupt_kills_at_once(tmp_path: Path) -> None:
    kill_now = asyncio.Event()
    timings = Timings(stop=10_000.0, poll=0.01)
    async with supervised(service(tmp_path, DEAF), timings=timings, kill_now=kill_now) as (supervisor, _):
        await supervisor.ready()
        kill_now.set()

    assert not is_alive(pids(tmp_path)[0])


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_what_a_service_leaves_behind_is_ended_with_it(tmp_path: Path, how: signal.Signals) -> None:
    async with supervised(service(tmp_path, PARENT)) as (supervisor, _):
        await supervisor.ready()
        [grandchild] = psutil.Process(pids(tmp_path)[0]).children()
        if how is signal.SIGKILL:
            os.kill(pids(tmp_path)[0], signal.SIGKILL)
            await until(lambda: not is_alive(grandchild.pid))

    await until(lambda: not is_alive(grandchild.pid))


# Notes each answer about its health: twice 200, so that the grace of the start is over, then late and with 503.
SLOW = """
import http.server, os, pathlib, sys, time
answers = []
class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200 if len(answers) < 2 else 503
        if status == 503:
            time.sleep(0.2)
        answers.append(status)
        with open(sys.argv[1] + ".answers", "a") as noted:
            noted.write(f"{status}\\n")
        self.send_response(status)
        self.end_headers()
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Slow)
with open(sys.argv[1], "a") as pids:
    pids.write(f"{os.getpid()}\\n")
server.serve_forever()
"""

# Never answers, though it accepts connections.
MUTE = """
import os, socket, sys, time
server = socket.create_server(("127.0.0.1", int(sys.argv[2])))
with open(sys.argv[1], "a") as pids:
    pids.write(f"{os.getpid()}\\n")
time.sleep(600)
"""


async def test_a_stopped_service_is_killed_and_started_again(tmp_path: Path) -> None:
    timings = msgspec.structs.replace(TIMINGS, liveness=2.0, probe=0.05)
    program = "import subprocess; subprocess.Popen(['sleep', '600'])\n" + SLOW
    async with supervised(service(tmp_path, program), timings=timings) as (_, lines):
        # The second question shows that the supervisor has heard the first answer.
        await until(lambda: answers(tmp_path) >= 2)
        [first] = pids(tmp_path)
        [grandchild] = psutil.Process(first).children()
        # Its child too, as when a machine freezes a whole group.
        os.killpg(first, signal.SIGSTOP)
        await until(lambda: len(pids(tmp_path)) == 2)
        assert not is_alive(first)
        await until(lambda: not is_alive(grandchild.pid))

    assert lines[0].startswith("service_unresponsive service=web seconds=")
    assert lines[1] == "web ended unexpectedly (killed by SIGKILL); starting it again in 0 s"


async def test_a_service_that_never_answers_is_started_again_after_the_longer_grace(tmp_path: Path) -> None:
    timings = msgspec.structs.replace(TIMINGS, liveness=0.01, startup=1.0, probe=0.05, quick_death=0.0)
    async with supervised(service(tmp_path, MUTE), timings=timings) as (_, lines):
        await until(lambda: len(pids(tmp_path)) >= 2)

    assert lines[0] == "service_unresponsive service=web seconds=1; killing it"


@pytest.mark.slow
async def test_a_service_that_answers_slowly_is_left_alone(tmp_path: Path) -> None:
    # Each answer takes longer than `probe`, and thirty of them longer than `liveness`.
    timings = msgspec.structs.replace(TIMINGS, liveness=2.0, probe=0.05)
    async with supervised(service(tmp_path, SLOW), timings=timings) as (_, lines):
        await until(lambda: answers(tmp_path) >= 30)

    assert lines == []
    assert len(pids(tmp_path)) == 1


@pytest.mark.parametrize("seconds", [0.1, 1.0, 3.0, 30.0])
def test_however_short_liveness_is_a_service_has_time_to_answer(seconds: float) -> None:
    timings = Timings.by_liveness(seconds)
    assert timings.liveness == seconds
    assert 4 * timings.probe <= seconds
    assert Timings.by_liveness(0.0).liveness == 0.0


async def test_liveness_can_be_turned_off(tmp_path: Path) -> None:
    timings = msgspec.structs.replace(TIMINGS, liveness=0.0, startup=0.01, probe=0.01)
    witness = msgspec.structs.replace(timings, liveness=0.01, quick_deaths=2, quick_death=600.0)
    async with supervised(service(tmp_path, MUTE), timings=timings) as (_, lines):
        # Another supervisor, for which liveness counts, gives up in the same time.
        async with supervised(service(tmp_path, MUTE, "worker"), timings=witness) as (other, _):
            await other.given_up()
        assert lines == []


# The launcher as a process of its own, so that signals can be sent to it.
LAUNCH = """
import asyncio, os, sys
from services.local.launcher import keep
from services.serving.supervisor import Service, Supervisor
from services.local.terminal import Interrupts, say

async def main():
    interrupts = Interrupts()
    service = Service(name="web", command=tuple(sys.argv[2:]), ready_url=sys.argv[1], health_url=sys.argv[1])
    supervisor = Supervisor([service], os.environ, say=say, kill_now=interrupts.at_once)
    return await keep(supervisor, "ready", interrupts)

sys.exit(asyncio.run(main()))
"""


async def launched(service: Service) -> asyncio.subprocess.Process:
    launcher = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        LAUNCH,
        service.ready_url,
        *service.command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert launcher.stdout is not None
    async with asyncio.timeout(60):
        assert await launcher.stdout.readline() == b"ready\n"
    return launcher


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_ctrl_c_ends_the_services_and_is_no_error(tmp_path: Path, number: signal.Signals) -> None:
    launcher = await launched(service(tmp_path, SERVE))
    launcher.send_signal(number)
    _, errors = await asyncio.wait_for(launcher.communicate(), 60)

    assert launcher.returncode == 0
    assert b"Traceback" not in errors
    assert not is_alive(pids(tmp_path)[0])


async def test_two_ctrl_c_end_a_launcher_whose_service_is_deaf(tmp_path: Path) -> None:
    launcher = await launched(service(tmp_path, DEAF))
    launcher.send_signal(signal.SIGINT)
    assert launcher.stderr is not None
    assert b"stopping" in await asyncio.wait_for(launcher.stderr.readline(), 60)
    launcher.send_signal(signal.SIGINT)
    await asyncio.wait_for(launcher.communicate(), 60)

    assert launcher.returncode == 0
    assert not is_alive(pids(tmp_path)[0])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child of its parent's death")
async def test_services_end_when_the_launcher_itself_is_killed(tmp_path: Path) -> None:
    launcher = await launched(service(tmp_path, SERVE))
    launcher.kill()
    await launcher.communicate()

    await until(lambda: not is_alive(pids(tmp_path)[0]))


async def test_a_launcher_whose_service_gives_up_ends_with_its_code(tmp_path: Path) -> None:
    supervisor = Supervisor(
        [service(tmp_path, "import sys; sys.exit(2)")], os.environ, say=lambda line: None, timings=TIMINGS
    )

    assert await keep(supervisor, "ready", Interrupts()) == 2


async def command(*arguments: str, **environ: str) -> tuple[int | None, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.local",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, **environ},
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, output, errors


async def test_a_port_in_use_is_one_line_and_exit_code_2() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    [other] = free_ports(1)
    async with server:
        assert not is_free(port)
        code, output, errors = await command("run", WEB_PORT=str(other), WORKER_PORT=str(port))

    assert (code, output) == (2, b"")
    assert errors.decode() == (
        f"gnosis-ocr: port {port} is already in use: stop the other program, "
        "or choose another port with WORKER_PORT=...\n"
    )


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"WEB_PORT": "70000"}, "WEB_PORT='70000'"),
        ({"WEB_PORT": "8000", "WORKER_PORT": "8000"}, "WEB_PORT and WORKER_PORT are both 8000"),
        ({"GNOSIS_URL": "ftp://x"}, "GNOSIS_URL='ftp://x'"),
    ],
)
async def test_a_wrong_setting_is_one_line_and_exit_code_2(environ: dict[str, str], fault: str) -> None:
    code, output, errors = await command("run", **environ)

    assert (code, output) == (2, b"")
    assert errors.decode().startswith(f"gnosis-ocr: {fault}")
    assert errors.count(b"\n") == 1


@pytest.mark.parametrize(
    ("content", "fault"), [(None, "there is no such file"), (b"", "the file is empty"), (..., "not a file")]
)
async def test_a_file_that_cannot_be_read_is_refused_before_anything_is_started(
    tmp_path: Path, content: object, fault: str
) -> None:
    file = tmp_path / "scan.pdf"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is ...:
        file.mkdir()

    code, output, errors = await command("ocr", str(file))

    assert (code, output) == (2, b"")
    assert fault in errors.decode()
    assert errors.count(b"\n") == 1
