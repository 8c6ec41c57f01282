"""Local copies of uploads: each exists while its document is open; those of a killed process are removed later."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from services.web.render.document import Unreadable

#: A folder's name goes on with the id of the process that made it.
PREFIX = "gnosis-ocr-web-"


@asynccontextmanager
async def local_copy(files: SessionFiles, name: str) -> AsyncIterator[Path]:
    """The session's file `name` as a local file: fetched once for all pages of a call. Raises `Unreadable`."""
    with scratch_folder() as folder:
        copy = folder / "upload"
        try:
            async with files.store.open_read(files.path(name)) as source:
                with copy.open("wb") as target:
                    async for chunk in source.chunks:
                        await asyncio.to_thread(target.write, chunk)
        except NotFound as error:
            raise Unreadable("The uploaded file is missing from the storage. Upload it again.") from error
        yield copy


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that is removed when the block ends."""
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-") as folder:
        yield Path(folder)


def clear_abandoned() -> int:
    """Remove the folders of processes that have ended, since they hold users' documents. The number removed."""
    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):  # its process is alive and has just removed it
            if folder.stat().st_uid == os.getuid() and not _is_alive(folder.name.removeprefix(PREFIX).split("-")[0]):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


def _is_alive(number: str) -> bool:
    """Whether a process of this id exists. True for a text that is no id: the folder is not ours."""
    if not number.isascii() or not number.isdigit():
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
