"""A download from the hub, in a child process that alone goes online and can be killed at any time."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from libs.codec import BadMessage
from services.worker.engines.engine import EngineUnavailable
from services.worker.modelcache import layout
from services.worker.modelcache.download_wire import FAULT, LINES, REQUESTS, Request
from services.worker.modelcache.progress import Progress, Told, Way
from services.worker.modelcache.settings import ModelSettings

PROGRAM = ("-m", "services.worker.modelcache.download_child")
LOOK_SECONDS = 0.5

_ROOT = Path(__file__).resolve().parents[3]
# How the child finds its libraries and the network; no secret of the service is among it.
_KEPT = {"PATH", "LD_LIBRARY_PATH", "HOME", "XDG_CACHE_HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"}
_KEPT_TOO = ("HF_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


async def download(request: Request, settings: ModelSettings, *, lock: int, told: Told) -> None:
    """Bring the model into the cache. The child holds `lock` too. Raises `EngineUnavailable`, saying what to do."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-s", *PROGRAM),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd="/",
        env=_environment(settings, os.environ),
        pass_fds=(lock,),
        start_new_session=True,
    )
    try:
        await _attend(child, request, told)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await asyncio.shield(_bury(child))


async def _attend(child: asyncio.subprocess.Process, request: Request, told: Told) -> None:
    assert child.stdin is not None and child.stdout is not None
    # Kept open: its end tells the child that this process is no more.
    child.stdin.write(REQUESTS.encode(request) + b"\n")
    watch: asyncio.Task[None] | None = None
    try:
        async for line in child.stdout:
            try:
                said = LINES.decode(line)
            except BadMessage:
                break
            if said.refused:
                raise EngineUnavailable(said.refused)
            if said.done:
                return
            if said.bytes_total is not None and watch is None:
                watch = asyncio.create_task(_watch(Path(request.hub), request.model, said.bytes_total, told))
    finally:
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
    raise EngineUnavailable(f"{FAULT}. Ask again; if it stays so, look for memory that ran out.")


async def _watch(hub: Path, model: str, total: int, told: Told) -> None:
    """Tell the progress from what lies on the disk, whichever way the hub's library fetches it."""
    blobs = hub / layout.folder_name(model) / "blobs"
    before = await asyncio.to_thread(_bytes_in, blobs)
    while True:
        done = await asyncio.to_thread(_bytes_in, blobs) - before
        told(Progress(way=Way.HUB, bytes_done=max(0, min(done, total)), bytes_total=total))
        await asyncio.sleep(LOOK_SECONDS)


def _bytes_in(folder: Path) -> int:
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                total += entry.stat().st_size
    return total


async def _bury(child: asyncio.subprocess.Process) -> None:
    """Leave no zombie and no open pipe."""
    assert child.stdin is not None
    child.stdin.close()
    with contextlib.suppress(OSError):
        await child.stdin.wait_closed()
    await child.communicate()


def _environment(settings: ModelSettings, environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name in _KEPT or name.upper().startswith(_KEPT_TOO)}
    kept |= {
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(_ROOT), *filter(None, sys.path)])),
        "LANG": "C.UTF-8",
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_SYMLINKS_WARNING": "1",
    }
    # As the settings were read, and not from wherever else they may be.
    for name, value in (("HF_ENDPOINT", settings.hf_endpoint), ("HF_TOKEN", settings.hf_token)):
        kept.pop(name, None)
        if value:
            kept[name] = value
    return kept
