"""The renderer and the engine, in-process: they do what the document's script says, in virtual time."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from services.web.render.document import FailedPage, RenderedPage, RenderLimits, Unreadable
from services.web.render.filetype import FileType
from services.worker.engines.engine import EngineInfo, Finish, OcrEngine, PageFailure, PageImage, PageText
from services.worker.engines.occupancy import SharedEngine
from services.worker.engines.registry import EngineRegistry
from services.worker.engines.select import BARE
from tests.batching import Batching
from tests.simulation import script
from tests.simulation.process import Died, Process
from tests.simulation.script import Document, Fate, Key


class Press:
    """Opens documents for one web process: an `Opener`."""

    def __init__(self, library: dict[str, Document], process: Process) -> None:
        self._library = library
        self._process = process

    @contextlib.asynccontextmanager
    async def __call__(
        self,
        path: Path,
        file_type: FileType,
        *,
        dpi: int,
        limits: RenderLimits,
        slots: asyncio.Semaphore,
        password: str | None,
    ) -> AsyncIterator["Sheets"]:
        async with slots:
            document = self._library[path.read_bytes().removeprefix(script.HEADER).decode()]
            await asyncio.sleep(0.2)
            if document.unreadable:
                raise Unreadable("Told to refuse.")
            if password != document.password:
                raise Unreadable(script.LOCKED)
            yield Sheets(document, dpi)


class Sheets:
    """An open document."""

    def __init__(self, document: Document, dpi: int) -> None:
        self._document = document
        self._dpi = dpi

    @property
    def total_pages(self) -> int:
        return len(self._document.pages)

    @property
    def repaired(self) -> bool:
        return False

    async def render(self, pages: Sequence[int]) -> AsyncIterator[RenderedPage | FailedPage]:
        for page_no in pages:
            page = self._document.pages[page_no - 1]
            await asyncio.sleep(page.draw_seconds)
            if page.fate is Fate.UNDRAWN or not script.draws((self._document.token, page_no), self._dpi):
                yield FailedPage(page_no=page_no, reason="Told not to be drawn.")
                continue
            png = script.image(self._document.token, page_no, self._dpi)
            yield RenderedPage(page_no=page_no, png=png, width=1, height=1)


class Trials:
    """How often each page has done its harm: shared by all engines, as the document is."""

    def __init__(self) -> None:
        self._done: dict[Key, int] = {}

    def harms(self, key: Key, times: int) -> bool:
        self._done[key] = self._done.get(key, 0) + 1
        return self._done[key] <= times


class Spare:
    """A `Fallback`. In a real worker it is a process of its own; what it does to a job is the same."""

    def __init__(
        self, library: dict[str, Document], process: Process, fell_back: Callable[[Process, Key], None]
    ) -> None:
        self._library = library
        self._process = process
        self._fell_back = fell_back

    async def recognise(self, page: PageImage, *, instead_of: str) -> PageText | PageFailure:
        key = script.of_image(page.data)
        planned = self._library[key[0]].pages[page.page_no - 1]
        self._fell_back(self._process, key)
        seconds = 5 * planned.seconds
        await asyncio.sleep(seconds)
        self._process.check()
        if planned.fate is Fate.FAILS or not script.spare_reads(key):
            return PageFailure(page_no=page.page_no, reason="The fallback engine was told to fail.", seconds=seconds)
        finish = Finish.BLANK if planned.fate is Fate.BLANK else Finish.STOP
        markdown = "" if finish is Finish.BLANK else f"{script.text(*key)}, by the fallback"
        engine = EngineInfo(name="spare", revision="1", device="none")
        return PageText(page_no=page.page_no, markdown=markdown, finish=finish, seconds=seconds, engine=engine)


class Reader:
    """An `OcrEngine`: reads `slots` pages at once, whoever's they are, and gives them back as they end.

    With one slot it takes up to `ahead` pages at a time, one after another in any order. When it breaks, it breaks for
    everybody.
    """

    def __init__(
        self,
        library: dict[str, Document],
        process: Process,
        trials: Trials,
        name: str,
        *,
        slots: int,
        ahead: int,
        rng: random.Random,
        began: Callable[[Process, Key], int],
        harmed: Callable[[Process, Key, Fate], None],
        broke: Callable[[str], None],
    ) -> None:
        self._library = library
        self._process = process
        self._trials = trials
        self._name = name
        self._batching = Batching(slots, self._beside_others)
        self._ahead = ahead
        self._rng = rng
        self._began = began
        self._harmed = harmed
        self._broke = broke
        self.slots = slots

    async def load(self) -> None:
        await asyncio.sleep(0)

    def info(self) -> EngineInfo:
        return EngineInfo(name=self._name, revision="1", device="none")

    def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        return self._one_by_one(pages) if self.slots == 1 else self._batching.recognise(pages)

    async def _one_by_one(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        held: dict[Key, tuple[int, int]] = {}
        more = True
        while more or held:
            while more and len(held) < self._ahead:
                if (page := await anext(pages, None)) is None:
                    more = False
                    break
                key = self._key(page)
                held[key] = self._began(self._process, key), script.dpi_of_image(page.data)
            if held:
                key = self._rng.choice(list(held))
                reading = await self._read(key, *held.pop(key))
                yield reading

    async def _beside_others(self, page: PageImage) -> PageText | PageFailure:
        key = self._key(page)
        try:
            return await self._read(key, self._began(self._process, key), script.dpi_of_image(page.data))
        except RuntimeError:
            self._broke(self._process.holder)
            raise

    def _key(self, page: PageImage) -> Key:
        key = script.of_image(page.data)
        assert key[1] == page.page_no
        return key

    async def _read(self, key: Key, serial: int, dpi: int) -> PageText | PageFailure:
        token, page_no = key
        page = self._library[token].pages[page_no - 1]
        await asyncio.sleep(page.seconds)
        if page.fate in (Fate.POISON, Fate.HANGS, Fate.BREAKS) and self._trials.harms(key, page.times):
            self._harmed(self._process, key, page.fate)
            if page.fate is Fate.POISON:
                self._process.kill()
                raise Died
            if page.fate is Fate.HANGS:
                await asyncio.Event().wait()
            raise RuntimeError("told to break")
        if page.fate is Fate.FAILS or not script.reads(key, self._name):
            return PageFailure(page_no=page_no, reason="Told to fail.", seconds=page.seconds)
        if page.fate is Fate.BLANK:
            return PageText(page_no=page_no, markdown="", finish=Finish.BLANK, seconds=page.seconds)
        markdown = f"{script.text(token, page_no)}, reading {serial} at {dpi} dpi"
        return PageText(page_no=page_no, markdown=markdown, finish=Finish.STOP, seconds=page.seconds)


class NamedEngines(EngineRegistry):
    """The engines of a simulated worker, each made when it is first asked for."""

    def __init__(self, make: Callable[[str], OcrEngine]) -> None:
        super().__init__(script.ENGINE, BARE)
        self._simulated = make
        self._shared: dict[str, SharedEngine] = {}

    async def engine(self, name: str | None) -> SharedEngine:
        name = name or script.ENGINE
        if name not in self._shared:
            self._shared[name] = SharedEngine(self._simulated(name))
        return self._shared[name]
