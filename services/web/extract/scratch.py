"""Local copies of uploads, for as long as a document is open; and those that a killed process left behind."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = "gnosis-ocr-web-"


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that is gone when the block ends. It bears this process's number, so that a later one can tell."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as folder:
        yield Path(folder)


def clear_abandoned() -> int:
    """Remove the folders of processes that live no more: documents are in them. The number removed."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):  # its process lives, and was done with it
            if folder.stat().st_uid == os.getuid() and not _lives(folder.name.removeprefix(PREFIX).split("-")[0]):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


def _lives(number: str) -> bool:
    if not number.isascii() or not number.isdigit():
        return True  # no folder of ours
    process = int(number)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
