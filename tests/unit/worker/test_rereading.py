"""Pages of one batch that a retry has given options of their own."""

from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from libs.jobstate.commit import commit, create, load
from libs.jobstate.evidence import read_outcomes
from libs.jobstate.intake import OcrMode, PageOptions
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from libs.taskqueue.task import OcrTask
from services.worker.batch import BatchWorker
from services.worker.call import Limits, WorkerContext
from services.worker.engines.engine import EngineInfo, EngineUnavailable, Finish, PageFailure, PageImage, PageText
from services.worker.engines.occupancy import SharedEngine
from services.worker.engines.registry import EngineRegistry
from services.worker.engines.select import BARE
from services.worker.metrics import WorkerMetrics
from tests.clock import StorageClock
from tests.jobs import START, extracted
from tests.tasks import KeptTasks

PAGES = (1, 2, 3)


class Named:
    """Reads what it is shown, its own name before it; the engine `c` fails on every page."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def load(self) -> None:
        """Nothing to load."""

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        async for page in pages:
            if self._name == "c":
                yield PageFailure(page_no=page.page_no, reason="Told to fail.", seconds=0.5)
                continue
            markdown = f"{self._name} {page.ocr} {page.data.decode()}"
            yield PageText(page_no=page.page_no, markdown=markdown, finish=Finish.STOP, seconds=1.0)

    def info(self) -> EngineInfo:
        return EngineInfo(name=self._name, revision="1", device="none")


class Engines(EngineRegistry):
    """Engines by name; `away` names the one that cannot run now."""

    away: str | None = None

    def __init__(self) -> None:
        super().__init__("a", BARE)
        self.asked: list[str | None] = []
        self._made: dict[str, SharedEngine] = {}

    async def engine(self, name: str | None) -> SharedEngine:
        self.asked.append(name)
        if (name or "a") == self.away:
            raise EngineUnavailable("It is away.")
        return self._made.setdefault(name or "a", SharedEngine(Named(name or "a")))


class Place:
    """A job of three pages in one batch, all of them read, and its worker."""

    def __init__(self, clock: StorageClock) -> None:
        self.clock = clock
        self.files = files = SessionFiles(store=MemoryStore(clock), user_hash="a" * 12, session_id="0" * 32)
        self.engines = Engines()
        self.registry = CollectorRegistry()
        self.worker = BatchWorker(
            WorkerContext(
                store=files.store,
                queue=KeptTasks(),
                engines=self.engines,
                fallback=None,
                limits=Limits(lease_seconds=60, page_seconds=60, batch_seconds=60),
                metrics=WorkerMetrics(self.registry),
            )
        )

    async def call(self) -> None:
        """Deliver a task of the job's run, a while later."""
        self.clock.wait(5)
        task = OcrTask(session_id=self.files.session_id, user_hash=self.files.user_hash, run=9)
        await self.worker.process(task, "a task")

    async def retry(self, *pages: int, dpi: int | None = None, **options: str) -> None:
        """As the route does it."""
        asked = PageOptions(engine=options.get("engine"), ocr=OcrMode(options.get("ocr", "auto")), dpi=dpi)
        self.clock.wait(5)  # leases are told from those of the run before by their time
        at = self.clock.now
        await commit(self.files, lambda job: job.retry(pages, at, options=asked))
        for page_no in pages if dpi else ():
            await self.files.save_page_image(page_no, b"large %d" % page_no, dpi)
        images = dict.fromkeys(pages, START)
        await commit(self.files, lambda job: job.rendered(images, START, dpi=dpi).extracted(START))

    async def texts(self) -> dict[int, str]:
        return {n: found.text for n, found in (await read_outcomes(self.files, PAGES)).items()}


@pytest.fixture
async def place() -> Place:
    place = Place(StorageClock())
    await create(place.files, extracted(3))
    for page_no in PAGES:
        await place.files.save_page_image(page_no, b"image %d" % page_no)
    await place.call()
    assert await place.texts() == {n: f"a force image {n}" for n in PAGES}
    return place


async def test_each_page_is_read_by_its_own_engine_from_its_own_image(place: Place) -> None:
    await place.retry(1, engine="b")
    await commit(place.files, lambda job: job.cancel(START))
    await place.retry(3, engine="a", ocr="text", dpi=300)
    place.engines.asked.clear()
    await place.call()
    assert await place.texts() == {1: "b auto image 1", 2: "a force image 2", 3: "a text large 3"}
    job = await load(place.files)
    assert (job.status, [job.pages[n].engine for n in PAGES]) == ("completed", ["b", "a", "a"])
    assert place.engines.asked == ["b", "a"], "each is asked for once, the one of the first page first"
    found = await read_outcomes(place.files, PAGES)
    assert [found[n].dpi for n in PAGES] == [None, None, 300]


async def test_a_default_engine_that_cannot_run_does_not_keep_another_from_reading(place: Place) -> None:
    await place.retry(2, engine="b")
    place.engines.away = "a"
    await place.call()
    assert (await load(place.files)).pages[2].engine == "b"


async def test_an_engine_that_goes_away_between_two_of_a_batch_gives_the_batch_back(place: Place) -> None:
    await place.retry(1, engine="b")
    await commit(place.files, lambda job: job.cancel(START))
    await place.retry(3, engine="d")
    place.engines.away = "d"
    with pytest.raises(EngineUnavailable):
        await place.call()
    assert await place.texts() == {1: "b auto image 1", 2: "a force image 2", 3: "a force image 3"}
    place.engines.away = None
    await place.call()
    assert (await place.texts())[3] == "d auto image 3"
    assert (await load(place.files)).status == "completed"


async def test_a_failure_is_counted_as_one_though_the_earlier_reading_is_kept(place: Place) -> None:
    await place.retry(2, engine="c")
    await place.call()
    assert (await place.texts())[2] == "a force image 2"
    page = (await load(place.files)).pages[2]
    assert page.reread is not None
    assert (page.status, page.engine, page.reread.error) == ("completed", "a", "Told to fail.")
    assert place.registry.get_sample_value("gnosis_pages_total", {"engine": "c", "outcome": "failed"}) == 1
