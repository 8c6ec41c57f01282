"""A child process gets what its caller names, can be spoken to within a time, and is gone when it is killed."""

import asyncio
import os
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from services.serving.childprocess import ChildLost, ChildProcess, ChildTimedOut, time_limit
from tests.leftovers import nothing_left


@pytest.fixture(autouse=True)
async def nothing_is_left_behind() -> AsyncIterator[None]:
    async with nothing_left():
        yield


def program(text: str) -> tuple[str, ...]:
    """Arguments to Python for a program that has the socket to its parent as `channel`."""
    start = (
        "import os, socket, subprocess, sys\nfrom services.serving.confinement import *\nchannel = parent_channel()\n"
    )
    return ("-c", start + textwrap.dedent(text))


async def everything(child: ChildProcess) -> bytes:
    """All that the child sends."""
    received = b""
    async with time_limit(60):
        while chunk := await child.receive():
            received += chunk
    return received


async def test_a_child_answers_its_request() -> None:
    text = "channel.sendall(channel.recv(5).upper())"
    async with ChildProcess(program(text)) as child, time_limit(60):
        await child.send(b"hello")
        assert await child.receive_exactly(5) == b"HELLO"
        assert await child.receive() == b""


async def test_a_child_sees_the_end_of_its_input_and_can_still_answer() -> None:
    text = """
        while channel.recv(100): pass
        channel.sendall(b"over")
    """
    async with ChildProcess(program(text)) as child:
        await child.send(b"x" * 1000)
        child.end_input()
        assert await everything(child) == b"over"


async def test_no_variable_reaches_the_child_that_its_caller_does_not_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERNAL_TOKEN", "secret")
    text = "channel.sendall(' '.join(os.environ).encode())"
    async with ChildProcess(program(text), environment={"HERE": "1"}) as child:
        names = (await everything(child)).decode().split()
    assert "HERE" in names
    assert "INTERNAL_TOKEN" not in names


async def test_a_child_has_the_descriptors_that_it_was_passed_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"passed")
    passed, other = os.open(file, os.O_RDONLY), os.open(file, os.O_RDONLY)
    os.set_inheritable(other, True)
    text = f"""
        channel.sendall(os.read({passed}, 100))
        try: os.fstat({other})
        except OSError: channel.sendall(b" alone")
    """
    try:
        async with ChildProcess(program(text), descriptors=(passed,)) as child:
            assert await everything(child) == b"passed alone"
    finally:
        os.close(passed)
        os.close(other)


async def test_a_killed_child_takes_what_it_started_with_it() -> None:
    text = """
        started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        channel.sendall(str(started.pid).encode() + b"|")
        started.wait()
    """
    async with ChildProcess(program(text)) as child, time_limit(60):
        answer = b""
        while not answer.endswith(b"|"):
            answer += await child.receive()
        grandchild = psutil.Process(int(answer[:-1]))
    _, alive = await asyncio.to_thread(psutil.wait_procs, [grandchild], 20)
    assert alive == []


async def test_a_child_that_dies_or_cannot_start_is_lost() -> None:
    for lost in ("os._exit(1)", "channel.sendall(b'1234'); os._exit(0)", "import no.such.module"):
        async with ChildProcess(program(lost)) as child:
            with pytest.raises(ChildLost):
                await child.receive_exactly(5)


async def test_a_child_that_neither_reads_nor_answers_is_out_of_time() -> None:
    async with ChildProcess(program("import time; time.sleep(600)")) as child:
        with pytest.raises(ChildTimedOut):
            async with time_limit(0.2):
                await child.receive()
        with pytest.raises(ChildTimedOut):
            async with time_limit(0.2):
                await child.send(bytes(50_000_000))


async def test_a_child_can_be_killed_twice_and_by_a_caller_that_is_cancelled() -> None:
    child = ChildProcess(program("import time; time.sleep(600)"))
    killing = asyncio.create_task(child.kill())
    await asyncio.sleep(0)
    killing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await killing
    await child.kill()
    await child.kill()


async def test_a_confined_child_prints_nowhere_and_writes_no_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = f"""
        import signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        file = open({str(tmp_path / "file")!r}, "wb", buffering=0)
        die_with({os.getpid()})
        confine(memory_bytes=1 << 30, open_files=32, keep=(channel.fileno(), file.fileno()))
        os.write(1, b"a document's text")
        os.write(2, b"a document's text")
        try: file.write(b"x")
        except OSError: channel.sendall(b"no file, ")
        try: bytearray(2 << 30)
        except MemoryError: channel.sendall(b"no memory")
    """
    async with ChildProcess(program(text)) as child:
        assert await everything(child) == b"no file, no memory"
    assert capfd.readouterr() == ("", "")


async def test_a_child_that_finds_another_parent_ends_at_once() -> None:
    async with ChildProcess(program("die_with(1); channel.sendall(b'I live')")) as child:
        assert await everything(child) == b""
