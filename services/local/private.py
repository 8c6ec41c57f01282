"""A private Gnosis OCR: both services on free ports, for one command, over a folder of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from services.local import processes
from services.local.config import LocalConfig
from services.local.exit import CommandError
from services.local.terminal import Interrupts
from services.serving.supervisor import Supervisor, Timings

# Lines of the services' log that are shown when they do not start.
_LOG_LINES = 5
# Folders of private services that are tried at most: one for each command that runs at the same time. Chosen.
_FOLDERS = 100


@asynccontextmanager
async def private_gnosis(
    folder: Path, config: LocalConfig, environ: Mapping[str, str], interrupts: Interrupts
) -> AsyncIterator[str]:
    """The address of a private Gnosis OCR that keeps its data in `folder` and runs until the end of the block.

    Raises `CommandError` where the services do not start.
    """
    web_port, worker_port = processes.free_ports(2)
    log = folder / "services.log"
    with log.open("wb") as output:
        supervisor = Supervisor(
            processes.services(web_port=web_port, worker_port=worker_port),
            processes.private_environment(
                environ, web_port=web_port, worker_port=worker_port, storage=folder / "storage"
            ),
            say=lambda line: None,
            output=output.fileno(),
            timings=Timings.by_liveness(config.liveness_seconds),
            kill_now=interrupts.at_once,
        )
        async with supervisor:
            await _until_ready(supervisor, log)
            yield f"http://127.0.0.1:{web_port}"


@contextmanager
def own_folder(parent: Path) -> Iterator[Path]:
    """A folder below `parent` that no other command uses until the end of the block; usually the one of last time.

    Raises `OSError`.
    """
    for number in range(1, _FOLDERS + 1):
        folder = parent / str(number)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = FileLock(folder / "lock", blocking=False)
        try:
            lock.acquire()
        except Timeout:
            continue
        try:
            yield folder
        finally:
            lock.release()
        return
    raise OSError(f"{parent}: {_FOLDERS} commands run at the same time")


async def _until_ready(supervisor: Supervisor, log: Path) -> None:
    ready = asyncio.create_task(supervisor.ready())
    failed = asyncio.create_task(supervisor.given_up())
    try:
        await asyncio.wait({ready, failed}, return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            last = log.read_text("utf-8", "replace").splitlines()[-_LOG_LINES:]
            raise CommandError(failed.result(), "the services do not start:\n" + "\n".join(last))
    finally:
        ready.cancel()
        failed.cancel()
