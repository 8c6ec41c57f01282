"""The disk under the cache: full, not writable, or a network mount from which a model is read once beforehand."""

import asyncio
import errno
import re
import threading
from collections.abc import Sequence
from pathlib import Path

from libs.fanout import fan_out
from services.worker.modelcache.progress import OnProgress, Progress, Transfer

#: Linux's table of mounts, see proc(5).
MOUNTS = Path("/proc/self/mounts")
# Chosen: hides the latency of a network mount; more files at once compete for the same bandwidth.
FILES_AT_ONCE = 4
# Bytes of one read. Chosen: large beside the latency of a request, small beside the memory of a worker.
BLOCK_BYTES = 16 << 20

_ESCAPE = re.compile(r"\\([0-7]{3})")
_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


def describe_fault(error: OSError, root: Path, moves_root: str) -> str | None:
    """One sentence on a fault of the disk, and what to do; `None` for another fault.

    `moves_root` is the name of the setting that moves the cache to another folder.
    """
    if error.errno in _FULL:
        return f"The disk of the model cache {root} is full. Free some of it, or set {moves_root} to a larger one."
    if error.errno in _DENIED:
        kind = "is read-only" if error.errno == errno.EROFS else "does not let this user write"
        return (
            f"The model cache {root} {kind}. Let user and mount write there, set {moves_root} to another folder, "
            "or put the whole model there beforehand."
        )
    return None


def describe_lack(needed: int, free: int, root: Path, moves_root: str) -> str:
    """One sentence on a disk with too few `free` bytes for the `needed` ones, and what to do."""
    return (
        f"The model needs {needed / 1e9:.1f} GB, and the disk of the model cache {root} has {free / 1e9:.1f} GB free. "
        f"Free some of it, or set {moves_root} to a larger one."
    )


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that holds `path`, from the lines of `/proc/self/mounts`; empty where unknown."""
    found, depth = "", -1
    for line in mounts.splitlines():
        _, point, kind, *_ = *line.split(" "), "", "", ""
        place = Path(_ESCAPE.sub(lambda code: chr(int(code[1], 8)), point))
        # Of mounts at one place the last covers the others.
        if path.is_relative_to(place) and len(place.parts) >= depth:
            found, depth = kind, len(place.parts)
    return found


def is_network_mount(path: Path) -> bool:
    """Whether `path` is on Cloud Storage FUSE or another FUSE file system."""
    try:
        mounts = MOUNTS.read_text("utf-8", "replace")
    except OSError:
        return False
    return file_system(path.resolve(), mounts).startswith("fuse")


async def read_once(files: Sequence[Path], *, on_progress: OnProgress) -> None:
    """Read each file from its beginning to its end, so that the kernel has it cached for the engine. Raises `OSError`.

    Engines map weights into memory and read them in no order, for which a network mount asks the bucket page by page:
    13 minutes were reported for 7 GB.
    """
    total, done = sum(file.stat().st_size for file in files), 0
    stopped = threading.Event()

    async def read(file: Path) -> None:
        nonlocal done
        with file.open("rb", buffering=0) as content:
            block = bytearray(BLOCK_BYTES)
            while not stopped.is_set() and (count := await asyncio.to_thread(content.readinto, block)):
                done += count
                on_progress(Progress(way=Transfer.READ, bytes_done=done, bytes_total=total))

    try:
        await fan_out(read, files, at_once=FILES_AT_ONCE)
    finally:
        stopped.set()
