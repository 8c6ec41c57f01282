"""The processes that run: how the services boot in each, and which of them take work."""

import asyncio
import random

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from libs.jobstate.job import Job
from libs.jobstate.neighbours import Seat
from libs.storage.session import SessionFiles
from libs.taskqueue.queue_settings import QueueSettings
from services.web.config import WebConfig
from services.web.extract.extraction import ExtractContext, ExtractSettings
from services.web.extract.extractor import Extractor
from services.web.metrics import WebMetrics
from services.web.render.document import RenderLimits
from services.web.webhooks.delivery import Webhooks
from services.web.webhooks.settings import webhook_settings
from services.worker.batch import BatchWorker
from services.worker.call import Limits, WorkerContext
from services.worker.metrics import WorkerMetrics
from tests.simulation.checker import Checker
from tests.simulation.fault_rates import Weather
from tests.simulation.machines import NamedEngines, Press, Reader, Spare, Trials
from tests.simulation.plant import Plant
from tests.simulation.process import Process, acting
from tests.simulation.queue import Broker, Sender
from tests.simulation.receiver import Receiver
from tests.simulation.script import Document
from tests.simulation.store import Bucket, Client
from tests.simulation.webparts import web_app

WEB, WORKER = "web", "worker"


class ActingExtractor(Extractor):
    """Tells the checker for which job it acts when it serves a guest."""

    async def serve(self, files: SessionFiles, job: Job, seat: Seat) -> None:
        with acting(files.session_id):
            await super().serve(files, job, seat)


class ActingWorker(BatchWorker):
    """Tells the checker for which job it acts when it serves a guest."""

    async def serve(self, files: SessionFiles, job: Job, seat: Seat) -> None:
        with acting(files.session_id):
            await super().serve(files, job, seat)


class Fleet:
    """The web and worker processes of one installation."""

    def __init__(
        self,
        plant: Plant,
        config: WebConfig,
        queue_settings: QueueSettings,
        *,
        library: dict[str, Document],
        bucket: Bucket,
        broker: Broker,
        receiver: Receiver,
        weather: Weather,
        rng: random.Random,
        checker: Checker,
    ) -> None:
        self._plant = plant
        self._config = config
        self._settings = queue_settings
        self._library = library
        self._bucket = bucket
        self._broker = broker
        self._receiver = receiver
        self._weather = weather
        self._rng = rng
        self._checker = checker
        self._trials = Trials()
        self._workers: dict[Process, BatchWorker] = {}
        self._webs: dict[Process, Starlette] = {}

    def boot(self, process: Process) -> None:
        """Start the service of this kind of process."""
        if process.kind == WEB:
            self._boot_web(process)
        else:
            self._boot_worker(process)

    def remove(self, process: Process) -> None:
        """It has ended."""
        self._workers.pop(process, None)
        self._webs.pop(process, None)

    @property
    def living(self) -> list[Process]:
        """Those that run, webs first."""
        return [process for process in (*self._webs, *self._workers) if process.alive]

    def some_web(self) -> tuple[Process, Starlette] | None:
        """One that takes requests, if any does."""
        open_webs = [process for process in self._webs if process.takes_work]
        if not open_webs:
            return None
        process = self._rng.choice(open_webs)
        return process, self._webs[process]

    def some_worker(self) -> tuple[Process, BatchWorker] | None:
        """One that takes tasks, if any does."""
        workers = [process for process in self._workers if process.takes_work]
        if not workers:
            return None
        process = self._rng.choice(workers)
        return process, self._workers[process]

    def drain(self, process: Process) -> None:
        """Ask its service to come to an end."""
        if process in self._workers:
            self._workers[process].drain()
        else:
            self._webs[process].state.web.extractor.drain()

    def _boot_worker(self, process: Process) -> None:
        def reader(name: str) -> Reader:
            return Reader(
                self._library,
                process,
                self._trials,
                name,
                slots=self._plant.slots,
                ahead=self._plant.ahead,
                rng=self._rng,
                began=self._checker.began,
                harmed=self._checker.harmed,
                broke=self._checker.interrupted,
            )

        limits = Limits(
            lease_seconds=self._plant.lease_seconds,
            page_seconds=self._plant.page_seconds,
            batch_seconds=self._plant.batch_seconds,
            look_seconds=self._plant.look_seconds,
        )
        context = WorkerContext(
            store=self._client(process),
            queue=self._sender(process),
            engines=NamedEngines(reader),
            fallback=Spare(self._library, process, self._checker.fell_back),
            limits=limits,
            metrics=WorkerMetrics(CollectorRegistry()),
        )
        process.holder = context.holder
        self._checker.holders[context.holder] = process
        self._workers[process] = ActingWorker(context)

    def _boot_web(self, process: Process) -> None:
        store, queue = self._client(process), self._sender(process)
        metrics = WebMetrics(CollectorRegistry())
        extractor = ActingExtractor(
            ExtractContext(
                store=store,
                queue=queue,
                settings=ExtractSettings(
                    limits=RenderLimits(),
                    batch_size=self._plant.batch_size,
                    parallelism=max(1, self._plant.dispatches // 2),
                    slice_seconds=self._plant.slice_seconds,
                    lease_seconds=self._plant.lease_seconds,
                    extra_children=self._plant.extra_children,
                    look_seconds=self._plant.look_seconds,
                ),
                metrics=metrics,
                render_slots=asyncio.Semaphore(1),
                open_document=Press(self._library, process),
            )
        )
        told = webhook_settings(self._config)
        app = web_app(
            self._config,
            store=store,
            queue=queue,
            extractor=extractor,
            webhooks=Webhooks(store, queue, told, self._settings, open_client=self._receiver.client(process)),
            metrics=metrics,
            sweep_seconds=30.0,
            lease_seconds=self._plant.lease_seconds,
            queue_forgets=self._plant.local,
        )
        process.start(app.state.web.sweeper.run())
        self._webs[process] = app

    def _client(self, process: Process) -> Client:
        return Client(
            self._bucket,
            process,
            self._weather,
            self._rng,
            faulted=self._checker.faulted,
            slowed=self._checker.slowed,
        )

    def _sender(self, process: Process) -> Sender:
        def reachable() -> bool:
            return not self._plant.local or any(web.alive for web in self._webs)

        return Sender(self._broker, process, self._weather, self._rng, reachable)
