"""What an image runs: a service that hangs is served again, without Docker or anybody else."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import psutil
import pytest

from services.local.processes import free_ports
from tests import ROOT


def command(name: str) -> list[str]:
    """What the image's CMD runs, with this interpreter."""
    [words] = re.findall(r"^CMD (\[.*\])$", (ROOT / "services" / name / "Dockerfile").read_text(), re.MULTILINE)
    program, *arguments = json.loads(words)
    assert program == "python"
    return [sys.executable, *arguments]


@asynccontextmanager
async def container(name: str, folder: Path, **environ: str) -> AsyncIterator[tuple[psutil.Process, str]]:
    """The image's command as a process, and the address of its service."""
    [web, worker] = free_ports(2)
    ports = {"WEB_PORT": str(web), "WORKER_PORT": str(worker), "STORAGE_PATH": str(folder / "storage")}
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command(name),
            cwd=ROOT,
            env={**os.environ, **ports, **environ},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield psutil.Process(process.pid), f"http://127.0.0.1:{web if name == 'web' else worker}"
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(60):
            assert await process.wait() == 0, (folder / "log").read_text()


async def questions(url: str) -> float:
    """How often the service's `/health` was asked for, and answered."""
    async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
        try:
            metrics = (await client.get(f"{url}/metrics")).text
        except httpx.HTTPError:
            return 0
    counts = re.findall(r'^gnosis_http_requests_total\{.*route="/health".*\} (\S+)$', metrics, re.MULTILINE)
    return sum(map(float, counts))


async def heard(url: str) -> None:
    """Return when the supervisor has heard an answer: it asks again only then."""
    async with asyncio.timeout(120):
        while await questions(url) < 2:  # noqa: ASYNC110 - another process tells no event
            await asyncio.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["web", "worker"])
async def test_a_service_that_is_stopped_is_served_again(name: str, tmp_path: Path) -> None:
    async with container(name, tmp_path, LIVENESS_SECONDS="8") as (process, url):
        await heard(url)
        [first] = process.children()
        first.send_signal(signal.SIGSTOP)
        await asyncio.to_thread(psutil.wait_procs, [first], 60)
        await heard(url)
        [second] = process.children()
        assert second.pid != first.pid

    assert not second.is_running(), "SIGTERM ends the service too"
    assert f"service_unresponsive service={name}" in (tmp_path / "log").read_text()


async def test_where_the_platform_has_probes_the_service_is_the_containers_process(tmp_path: Path) -> None:
    async with container("web", tmp_path, LIVENESS_SECONDS="0") as (process, url):
        async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while not await questions(url):
                with suppress(httpx.HTTPError):
                    await client.get(f"{url}/health")
        assert process.cmdline()[-1] == "services.web"
        assert process.children() == []


@pytest.mark.parametrize(
    ("arguments", "environ", "fault"),
    [
        (["web"], {"LIVENESS_SECONDS": "soon"}, "LIVENESS_SECONDS"),
        (["web"], {"LEASE_SECONDS": "0"}, "LEASE_SECONDS"),
        (["both"], {}, "web or worker"),
    ],
)
async def test_a_wrong_setting_ends_it_with_exit_code_2(
    arguments: list[str], environ: dict[str, str], fault: str, tmp_path: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.serving.entrypoint", *arguments),
        cwd=ROOT,
        env={**os.environ, "STORAGE_PATH": str(tmp_path), **environ},
        stderr=asyncio.subprocess.PIPE,
    )
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert fault in errors.decode()
