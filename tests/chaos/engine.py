"""The engine of the chaos run: reads from its pixels which page this is, and does what the page's script says."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from services.worker.engines.engine import EngineInfo, Finish, PageFailure, PageImage, PageText
from tests.chaos import paper
from tests.chaos.folder import Folder
from tests.chaos.journal import Journal, What
from tests.simulation import script
from tests.simulation.script import Document, Fate


def create(*, threads: int) -> "ChaosEngine":
    """The engine, by the folder that the environment names."""
    folder = Folder.of(os.environ)
    return ChaosEngine(folder, Journal(folder.journal))


class ChaosEngine:
    """Notes each page before it reads it. No two readings say the same: each bears a number."""

    #: The script says what is on a page, whatever the page itself says.
    sees_every_page = True

    def __init__(self, folder: Folder, journal: Journal) -> None:
        self._folder = folder
        self._journal = journal
        self._serial = 0

    async def load(self) -> None:
        """Nothing to load."""

    def info(self) -> EngineInfo:
        """A made-up engine."""
        return EngineInfo(name="chaos", revision="1", device="none")

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """Read the pages one by one."""
        async for page in pages:
            yield await self._read(page)

    async def _read(self, page: PageImage) -> PageText | PageFailure:
        began = time.monotonic()
        token, page_no = paper.read(page.data)
        self._journal.note(What.READS, token=token, page_no=page_no)
        self._serial += 1
        document = msgspec.json.decode((self._folder.library / token).read_bytes(), type=Document)
        told = document.pages[page_no - 1]
        await asyncio.sleep(told.seconds)
        if told.fate in (Fate.POISON, Fate.HANGS, Fate.BREAKS) and self._harms(token, page_no, told.times):
            self._journal.note(What.HARMS, token=token, page_no=page_no, name=told.fate)
            if told.fate is Fate.POISON:
                os._exit(139)
            if told.fate is Fate.HANGS:
                await asyncio.Event().wait()
            raise RuntimeError("told to break")
        seconds = time.monotonic() - began
        if told.fate is Fate.FAILS:
            return PageFailure(page_no=page.page_no, reason="Told to fail.", seconds=seconds)
        if told.fate is Fate.BLANK:
            return PageText(page_no=page.page_no, markdown="", finish=Finish.BLANK, seconds=seconds)
        markdown = f"{script.text(token, page_no)}, reading {os.getpid()}.{self._serial}"
        return PageText(page_no=page.page_no, markdown=markdown, finish=Finish.STOP, seconds=seconds)

    def _harms(self, token: str, page_no: int, times: int) -> bool:
        """Whether the page does harm once more; counted in a file, since its harm may be the end of this process."""
        count: Path = self._folder.trials / f"{token}-{page_no}"
        with count.open("ab") as file:
            file.write(b".")
        return count.stat().st_size <= times
