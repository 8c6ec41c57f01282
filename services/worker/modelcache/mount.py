"""Network mounts: where reading a model here and there is slow, and reading it once from end to end is not."""

import asyncio
import re
import threading
from collections.abc import Sequence
from pathlib import Path

from libs.fanout import fan_out
from services.worker.modelcache.progress import Progress, Told, Way

MOUNTS = Path("/proc/self/mounts")
FILES_AT_ONCE = 4
BLOCK_BYTES = 16 << 20

_ESCAPE = re.compile(r"\\([0-7]{3})")


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, of the lines of `/proc/self/mounts`; empty where unknown."""
    found, depth = "", -1
    for line in mounts.splitlines():
        _, point, kind, *_ = *line.split(" "), "", "", ""
        place = Path(_ESCAPE.sub(lambda code: chr(int(code[1], 8)), point))
        # Of mounts at one place the last covers the others.
        if path.is_relative_to(place) and len(place.parts) >= depth:
            found, depth = kind, len(place.parts)
    return found


def is_network_mount(path: Path) -> bool:
    """Whether `path` lies on Cloud Storage FUSE or its like."""
    try:
        mounts = MOUNTS.read_text("utf-8", "replace")
    except OSError:
        return False
    return file_system(path.resolve(), mounts).startswith("fuse")


async def read_once(files: Sequence[Path], *, told: Told) -> None:
    """Read each file from its beginning to its end, so that the kernel has it when an engine asks. Raises `OSError`.

    Weights are mapped into memory and read in no order, for which such a mount asks the bucket page by page: 13
    minutes were reported for 7 GB.
    """
    total, done = sum(file.stat().st_size for file in files), 0
    stopped = threading.Event()

    async def read(file: Path) -> None:
        nonlocal done
        with file.open("rb", buffering=0) as content:
            block = bytearray(BLOCK_BYTES)
            while not stopped.is_set() and (count := await asyncio.to_thread(content.readinto, block)):
                done += count
                told(Progress(way=Way.READ, bytes_done=done, bytes_total=total))

    try:
        await fan_out(read, files, at_once=FILES_AT_ONCE)
    finally:
        stopped.set()
