"""A whole installation in virtual time and fair weather: the real services on a bucket that counts.

The simulation (`world.py`) asks what holds when everything breaks; this asks what things cost and who waits when
nothing does. Only time, network, renderer and engine are made up.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Never, TypeVar

import structlog
from prometheus_client import CollectorRegistry

from libs.storage import layout
from libs.storage.store import Stored
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE
from libs.taskqueue.queue_settings import QueueSettings
from libs.taskqueue.task import OcrTask
from services.web.config import WebConfig
from services.web.extract.extraction import ExtractContext, ExtractSettings
from services.web.extract.extractor import Extractor
from services.web.metrics import WebMetrics
from services.web.render.document import RenderLimits
from services.worker.batch import BatchWorker
from services.worker.call import Limits, WorkerContext
from services.worker.config import WorkerConfig
from services.worker.engines.engine import EngineInfo, Finish, PageImage, PageText
from services.worker.metrics import WorkerMetrics
from tests.simulation import script
from tests.simulation.fault_rates import Weather
from tests.simulation.loop import VirtualLoop, deterministic, end
from tests.simulation.machines import NamedEngines, Press, Spare
from tests.simulation.meter import MeteredStore, Tally
from tests.simulation.process import Process
from tests.simulation.queue import Broker
from tests.simulation.script import Document, PageScript
from tests.simulation.store import Bucket
from tests.simulation.story import Story
from tests.simulation.users import ask, form
from tests.simulation.webparts import web_app
from tests.webhooks import webhooks

T = TypeVar("T")

ENQUEUE_SECONDS = 0.03


def in_virtual_time(seed: int, live: Callable[[], Awaitable[T]]) -> T:
    """What `live` returns, run in a time of its own."""
    loop = VirtualLoop()
    with deterministic(seed, loop.time):
        structlog.configure(processors=[_drop])
        try:
            return loop.run_until_complete(_awaited(live))
        finally:
            end(loop)


class Engine:
    """Reads a page at a time, as long as its script says, and holds the next image in reserve, as `CpuEngine` does.

    Pages of several calls are read in the order in which they come.
    """

    def __init__(self, library: Mapping[str, Document]) -> None:
        self._library = library
        self._reading = asyncio.Lock()

    async def load(self) -> None:
        """Nothing to load."""

    def info(self) -> EngineInfo:
        return EngineInfo(name="simulated", revision="1", device="none")

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText]:
        upcoming = asyncio.create_task(_next(pages))
        while (page := await upcoming) is not None:
            upcoming = asyncio.create_task(_next(pages))
            token, page_no = script.of_image(page.data)
            seconds = self._library[token].pages[page_no - 1].seconds
            async with self._reading:
                await asyncio.sleep(seconds)
            yield PageText(page_no=page_no, markdown=script.text(token, page_no), finish=Finish.STOP, seconds=seconds)


class Installation:
    """One web and `workers` machines, each of which works on one task at a time.

    `parallelism` is `JOB_PARALLELISM`, where an operator sets it. `read_at` says when each page of a session got its
    outcome, in virtual seconds. With `ocr_waits` no page is read before `release` is called.
    """

    def __init__(
        self,
        *,
        workers: int,
        queues: Mapping[str, QueueSettings],
        seed: int = 0,
        parallelism: int | None = None,
        batch_size: int = WebConfig().ocr_batch_size,
        ocr_waits: bool = False,
        extra_children: int = WebConfig().extract_extra_children,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._rng = random.Random(f"installation {seed}")
        self.tally = Tally()
        self.rendered_at: dict[str, dict[int, float]] = {}
        self.read_at: dict[str, dict[int, float]] = {}
        self._library: dict[str, Document] = {}
        self._bucket = Bucket(self._loop.time, paced=True, observer=self._observe)
        self._released = asyncio.Event()
        if not ocr_waits:
            self._released.set()
        story = Story(self._loop.time)
        self._brokers = {
            name: Broker(settings, self._push, weather=Weather(), rng=self._rng, story=story, paced=True)
            for name, settings in queues.items()
        }
        self._free = [self._worker(number) for number in range(workers)]
        self._web = Process("web", "web", 0.0)
        store = self._store(self._web)
        config, metrics = WebConfig(), WebMetrics(CollectorRegistry())
        look_seconds = WebConfig(running_in_cloud=True).look_seconds
        dispatches = queues[OCR_QUEUE].max_concurrent_dispatches
        self.extractor = Extractor(
            ExtractContext(
                store=store,
                queue=self,
                settings=ExtractSettings(
                    limits=RenderLimits(),
                    batch_size=batch_size,
                    parallelism=parallelism or max(1, dispatches // 2),
                    slice_seconds=config.extract_seconds,
                    lease_seconds=config.lease_seconds,
                    extra_children=extra_children,
                    look_seconds=look_seconds,
                ),
                metrics=metrics,
                render_slots=asyncio.Semaphore(config.extract_children),
                open_document=Press(self._library, self._web),
            )
        )
        self._app = web_app(
            config,
            store=store,
            queue=self,
            extractor=self.extractor,
            webhooks=webhooks(store, self),
            metrics=metrics,
            sweep_seconds=config.sweep_seconds,
            lease_seconds=config.lease_seconds,
        )
        self._web.start(self._app.state.web.sweeper.run())

    def release(self) -> None:
        """Let the workers read."""
        self._released.set()

    @property
    def waiting(self) -> int:
        """How many tasks wait in the queues."""
        return sum(broker.waiting for broker in self._brokers.values())

    async def upload(self, user: str, pages: tuple[PageScript, ...]) -> str:
        """Upload a document of these pages; the session it became."""
        token = f"doc{len(self._library)}"
        document = Document(token=token, pages=pages)
        self._library[token] = document
        request = ask(self._app, "POST", "/upload", user, form(document.file()))
        reply = await self._web.start(request)
        assert reply.status == 202, reply
        return str(json.loads(reply.body)["job_id"])

    async def extracted(self, session: str) -> None:
        """Return when no page of the session has still to be rendered."""
        while b'"extraction_complete":true' not in self._record(session):  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(0.5)

    async def ended(self, session: str) -> None:
        """Return when the job has ended."""
        while self._active(session):  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(0.05)

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        """See `TaskQueue`."""
        await asyncio.sleep(ENQUEUE_SECONDS)
        self._brokers[queue].take(queue, task, name, delay_seconds)

    async def read(self, session: str, page_no: int) -> None:
        """Return when the page has its outcome."""
        while page_no not in self.read_at.get(session, {}):  # noqa: ASYNC110 - in virtual time
            await asyncio.sleep(0.1)

    def _active(self, session: str) -> str:
        return next((stat.path for stat in self._bucket.list(layout.ACTIVE) if stat.path.endswith(session)), "")

    def _record(self, session: str) -> bytes:
        user_hash = self._active(session).split("/")[1]
        stored = self._bucket.peek(layout.session_prefix(user_hash, session) + layout.RECORD)
        assert stored is not None
        return stored.data

    def _store(self, process: Process) -> MeteredStore:
        return MeteredStore(self._bucket, process, self.tally, self._rng)

    def _worker(self, number: int) -> tuple[Process, BatchWorker]:
        process = Process(f"worker{number}", "worker", 0.0)
        config = WorkerConfig(running_in_cloud=True)
        context = WorkerContext(
            store=self._store(process),
            queue=self,
            engines=NamedEngines(lambda name: Engine(self._library)),
            fallback=Spare(self._library, process, lambda *_: None),
            limits=Limits(
                lease_seconds=config.lease_seconds,
                page_seconds=config.page_seconds,
                batch_seconds=config.batch_seconds,
                look_seconds=config.look_seconds,
            ),
            metrics=WorkerMetrics(CollectorRegistry()),
        )
        return process, BatchWorker(context)

    def _push(self, queue: str, task: OcrTask, name: str) -> "asyncio.Task[bool] | None":
        if queue == EXTRACT_QUEUE:
            return self._web.start(self._extract(task, name))
        return self._web.start(self._read(task, name)) if self._free else None

    async def _extract(self, task: OcrTask, name: str) -> bool:
        await self.extractor.process(task, name)
        return True

    async def _read(self, task: OcrTask, name: str) -> bool:
        process, worker = machine = self._free.pop()
        try:
            await self._released.wait()
            await process.start(worker.process(task, name))
        finally:
            self._free.append(machine)
        return True

    def _observe(self, process: Process, path: str, before: Stored | None, after: Stored | None) -> None:
        for ending, moments in (("_result.json", self.read_at), (".png", self.rendered_at)):
            if before is None and path.endswith(ending):
                _, _, session, name = path.removesuffix(ending).split("/")
                moments.setdefault(session, {})[int(name.split("_")[1])] = self._loop.time()


async def _awaited(live: Callable[[], Awaitable[T]]) -> T:
    return await live()


async def _next(pages: AsyncIterator[PageImage]) -> PageImage | None:
    return await anext(pages, None)


def _drop(logger: object, name: str, fields: MutableMapping[str, Any]) -> Never:
    raise structlog.DropEvent
