"""A download from the hub, in a child process that alone goes online and can be killed at any time."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, Mapping, MutableMapping
from pathlib import Path

from libs.codec import BadMessage
from services.serving.childprocess import ChildLost, ChildProcess, inherited_python_path
from services.worker.engines.engine import EngineUnavailable
from services.worker.modelcache import hubcache
from services.worker.modelcache.download_protocol import EVENTS, MAX_EVENT_BYTES, REQUESTS, DownloadEvent, ModelRequest
from services.worker.modelcache.progress import OnProgress, Progress, Transfer
from services.worker.modelcache.settings import ModelSettings

#: Arguments to Python.
PROGRAM = ("-m", "services.worker.modelcache.download_child")
#: Seconds between two looks at the disk for the progress. Chosen: what a person watching takes for steady.
LOOK_SECONDS = 0.5

# Environment variables by which the child finds its libraries and the network; no secret of the service is among them.
_KEPT = {"PATH", "HOME", "XDG_CACHE_HOME", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"}
_KEPT_PREFIXES = ("HF_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def go_offline(environ: MutableMapping[str, str]) -> None:
    """Set in this process's environment that an engine which imports the hub's library, or one above it, stays offline.

    The library reads these variables once, when it is first imported.
    """
    environ["HF_HUB_OFFLINE"] = "1"
    environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


async def download(request: ModelRequest, settings: ModelSettings, *, lock: int, on_progress: OnProgress) -> None:
    """Bring the model into the cache. Raises `EngineUnavailable`, saying what to do.

    `lock` is the descriptor of the cache's lock. The child inherits it, so that the lock is held as long as the child
    may write, even when this process has died.
    """
    async with ChildProcess(PROGRAM, environment=_environment(settings, os.environ), descriptors=(lock,)) as child:
        try:
            # The child's input stays open: its end shows the child that this process is gone.
            await child.send(REQUESTS.encode(request) + b"\n")
            done = await _follow(child, request, on_progress)
        except ChildLost:
            done = False
    if not done:
        raise EngineUnavailable(
            "The download of the model ended without saying how. Ask again; if it stays so, look for memory that ran "
            "out."
        )


async def _follow(child: ChildProcess, request: ModelRequest, on_progress: OnProgress) -> bool:
    """Follow the child's events to the last one; whether it has brought the model. Raises `EngineUnavailable` where the
    child refuses, and `ChildLost`."""
    watch: asyncio.Task[None] | None = None
    try:
        async with contextlib.aclosing(_events(child)) as events:
            async for event in events:
                if event.refused:
                    raise EngineUnavailable(event.refused)
                if event.done:
                    return True
                if event.bytes_total is not None and watch is None:
                    watch = asyncio.create_task(
                        _watch(Path(request.hub), request.model, event.bytes_total, on_progress)
                    )
        return False
    finally:
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)


async def _events(child: ChildProcess) -> AsyncGenerator[DownloadEvent]:
    """The events up to the end of the child's stream or the first line that is none. Raises `ChildLost`."""
    unread = b""
    while chunk := await child.receive():
        *lines, unread = (unread + chunk).split(b"\n")
        for line in lines:
            try:
                yield EVENTS.decode(line)
            except BadMessage:
                return
        if len(unread) > MAX_EVENT_BYTES:
            return


async def _watch(hub: Path, model: str, total: int, on_progress: OnProgress) -> None:
    """Report progress by the size of the files on the disk, whichever way the hub's library fetches them."""
    blobs = hub / hubcache.folder_name(model) / "blobs"
    before = await asyncio.to_thread(_bytes_in, blobs)
    while True:
        done = await asyncio.to_thread(_bytes_in, blobs) - before
        on_progress(Progress(way=Transfer.HUB, bytes_done=max(0, min(done, total)), bytes_total=total))
        await asyncio.sleep(LOOK_SECONDS)


def _bytes_in(folder: Path) -> int:
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                total += entry.stat().st_size
    return total


def _environment(settings: ModelSettings, environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name in _KEPT or name.upper().startswith(_KEPT_PREFIXES)}
    kept |= {
        "PYTHONPATH": inherited_python_path(),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_SYMLINKS_WARNING": "1",
    }
    # From the settings, which may have been read from a file and not from this process's environment.
    for name, value in (("HF_ENDPOINT", settings.hf_endpoint), ("HF_TOKEN", settings.hf_token)):
        kept.pop(name, None)
        if value:
            kept[name] = value
    return kept
