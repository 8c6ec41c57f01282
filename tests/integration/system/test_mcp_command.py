"""`gnosis-ocr mcp`: agents that start their tools as programs."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from tests.documents import pdf
from tests.required import need_package
from tests.running import Running, running
from tests.scripted import Script

need_package("mcp")
from mcp.client.client import Client  # noqa: E402
from mcp.client.stdio import StdioServerParameters, stdio_client  # noqa: E402


def command(services: Running, *arguments: str) -> StdioServerParameters:
    environ = {**services.environ, "GNOSIS_URL": services.url}
    return StdioServerParameters(
        command=sys.executable, args=["-m", "services.local", "mcp", *arguments], cwd=str(ROOT), env=environ
    )


async def test_an_agent_reads_a_file_of_this_machine_and_none_outside_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    pdf(folder / "a.pdf", 2)
    outside = pdf(tmp_path / "secret.pdf", 1)
    (folder / "link.pdf").symlink_to(outside)
    seen: list[float] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append(progress)

    with running(tmp_path, script=Script(seconds=0.2)) as services:
        async with Client(stdio_client(command(services, "--folder", str(folder)))) as client:
            tools = {tool.name: tool.input_schema for tool in (await client.list_tools()).tools}
            read = await client.call_tool("read_document", {"path": "a.pdf"}, progress_callback=note)
            refused = []
            for path in ("../secret.pdf", str(outside), "link.pdf", "none.pdf"):
                try:
                    refused.append((await client.call_tool("read_document", {"path": path})).is_error)
                except Exception as error:
                    refused.append("no such file" in str(error))
        jobs = services.get("/api/jobs").json()["jobs"]
    assert "path" in tools["read_document"]["properties"]
    assert [page["status"] for page in read.structured_content["pages"]] == ["completed", "completed"]
    assert seen and seen[-1] == 2
    assert refused == [True] * 4
    assert [job["file_info"]["filename"] for job in jobs] == ["a.pdf"]


def test_a_service_that_does_not_run_is_named_in_the_answer(tmp_path: Path) -> None:
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": 7, "method": "tools/list"}
    process = subprocess.Popen(
        [sys.executable, "-m", "services.local", "mcp", "--server", "http://127.0.0.1:9"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    process.communicate(timeout=60)
    assert answer["id"] == 7
    assert "http://127.0.0.1:9" in answer["error"]["message"]
    assert process.returncode == 0


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Children get SIGINT, which a shell keeps from what it runs in the background, and so from these tests there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_the_command_although_no_line_comes() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "services.local", "mcp", "--server", "http://127.0.0.1:9"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    assert b"passing messages on" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        _, errors = process.communicate()
    assert errors == b""
