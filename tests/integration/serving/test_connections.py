"""Clients that hold connections end soon, whatever they send, and keep no one else from being served."""

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from services.serving.connections import DESCRIPTORS_EACH, RESERVED_DESCRIPTORS
from tests.documents import pdf
from tests.running import Running
from tests.slowclients import KINDS, SlowClients

DESCRIPTORS = 256
CLIENTS = 1000
#: Lines that the service may log: of its start, a few of each upload, and one in so many seconds of what is limited.
LOG_LINES = 300


@contextlib.contextmanager
def descriptors(soft: int) -> Iterator[None]:
    """This process, and those that it starts meanwhile, may open so many files."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Running]:
    """A web that may open few files, and is impatient."""
    found = Running(
        tmp_path,
        script=None,
        environ={
            "CONNECTION_IDLE_SECONDS": "4",
            "UPLOAD_STALL_SECONDS": "4",
            "ACTIVE_JOBS_PER_USER": "1000",
            "SWEEP_SECONDS": "600",
        },
    )
    try:
        with descriptors(DESCRIPTORS):
            found.start("web")
        found.until(lambda: answers(found), "web to answer")
        yield found
    finally:
        found.stop()


def answers(web: Running) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return web.get("/health").status_code == 200
    return False


def log(web: Running) -> str:
    return (web.logs / "web.log").read_text()


@pytest.mark.slow
async def test_each_kind_of_slow_client_is_ended(web: Running) -> None:
    clients = SlowClients(web.web_port, 2 * len(KINDS), again=False)
    async with clients.connected() as tasks:
        await asyncio.wait_for(asyncio.gather(*tasks), 60)
    assert clients.closed == dict.fromkeys(KINDS, 2)
    assert answers(web)
    assert "Traceback" not in log(web)


async def slowly(document: bytes, ended: asyncio.Event) -> AsyncIterator[bytes]:
    """A document that arrives in pieces, the last of them once `ended` is set."""
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n'
    yield document
    while not ended.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), 0.2)
        yield b"%" * 1000
    yield b"\r\n--b--\r\n"


@pytest.mark.slow
async def test_a_thousand_slow_clients_leave_a_service_that_serves(web: Running, tmp_path: Path) -> None:
    most = (DESCRIPTORS - RESERVED_DESCRIPTORS) // DESCRIPTORS_EACH
    process = psutil.Process(web.pid("web"))
    document = pdf(tmp_path / "one.pdf", 1).read_bytes()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ended = asyncio.Event()
    answered: list[int] = []
    clients = SlowClients(web.web_port, CLIENTS, again=False)
    async with httpx.AsyncClient(base_url=web.url, trust_env=False, timeout=60) as http:
        uploading = asyncio.create_task(
            http.post(
                "/upload", content=slowly(document, ended), headers={"Content-Type": "multipart/form-data; boundary=b"}
            )
        )
        with descriptors(min(hard, 4 * CLIENTS)):
            async with clients.connected() as tasks:
                holding = asyncio.gather(*tasks)
                while not holding.done():
                    # Where the machine stands still, a connection can be the oldest before its request is seen.
                    with contextlib.suppress(httpx.TransportError):
                        answered.append((await http.get("/health")).status_code)
                    assert process.num_fds() <= most + RESERVED_DESCRIPTORS
                    await asyncio.wait([holding], timeout=0.1)
        ended.set()
        answer = await uploading
    assert answer.status_code == 202, answer.text
    assert set(answered) == {200}
    assert sum(clients.closed.values()) == CLIENTS
    lines = log(web).splitlines()
    assert len(lines) < LOG_LINES
    assert any("event=connections_full" in line for line in lines)
    assert not any("Traceback" in line or "accept_failed" in line for line in lines)


async def test_a_process_without_descriptors_says_so_once_a_second_and_recovers(web: Running) -> None:
    process = psutil.Process(web.pid("web"))
    web.client.close()  # its connection would be served
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (process.num_fds(), DESCRIPTORS))
    waiting = asyncio.open_connection("127.0.0.1", web.web_port)
    _, writer = await waiting  # by the kernel
    await asyncio.to_thread(web.until, lambda: log(web).count("event=accept_failed") >= 2, "the errors to be logged")
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
    async with httpx.AsyncClient(base_url=web.url, trust_env=False, timeout=60) as http:
        assert (await http.get("/health")).status_code == 200
    writer.close()
    failures = [line for line in log(web).splitlines() if "event=accept_failed" in line]
    assert all("times=1 " in f"{line} " for line in failures), "it tries once for each line"
    assert "Traceback" not in log(web)
