"""The worker's HTTP side: the queue's route, and the routes that report the worker's status."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import msgspec
import structlog
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Lifespan

from libs import trace
from libs.internal_token import internal_token
from libs.storage import layout
from libs.storage.backend import open_store
from libs.storage.store import ObjectStore
from libs.taskqueue import task as tasks
from libs.taskqueue.queue import TaskQueue
from services.serving.audit import Audited, Rule
from services.serving.body import read_body
from services.serving.host import Address, HostCheck, parse_hosts
from services.serving.layers import BARE, Layers
from services.serving.metrics import Requests, exposition, new_registry
from services.serving.operator import Operator, operator
from services.serving.problem import HANDLED, Problem, handle
from services.serving.queue_identity import QueueIdentity, queue_identity
from services.serving.traced import Traced
from services.worker.batch import BatchWorker
from services.worker.call import EngineBroke, EngineHangs, Limits, WorkerContext
from services.worker.config import WorkerConfig
from services.worker.engines.context import EngineContext
from services.worker.engines.engine import EngineInfo, EngineUnavailable
from services.worker.engines.fallback.process import NONE, FallbackProcess
from services.worker.engines.registry import EngineRegistry, EngineState
from services.worker.metrics import WorkerMetrics
from services.worker.modelcache.cache import ModelCache
from services.worker.queue import OpenQueue, local_queue
from services.worker.status import WorkerStatus

log = structlog.get_logger()


class Worker(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes share."""

    queue_identity: QueueIdentity
    engines: EngineRegistry
    batches: BatchWorker
    status: WorkerStatus


def create_app(
    config: WorkerConfig,
    *,
    drained: list[Callable[[], None]],
    open_queue: OpenQueue | None = None,
    layers: Layers = BARE,
) -> Starlette:
    """The app for `config`. It appends to `drained` what the caller has to call when the process has to stop.

    `open_queue` opens the queue for successors; the default is the queue in web.
    """
    open_queue = open_queue or local_queue(config)

    registry = new_registry()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        metrics = WorkerMetrics(registry)
        async with contextlib.AsyncExitStack() as stack:
            opened = await stack.enter_async_context(
                open_store(
                    in_cloud=config.running_in_cloud, folder=Path(config.storage_path), bucket=config.gcs_bucket_name
                )
            )
            store = layers.store(opened)
            token = await internal_token(store, config.internal_token)
            queue = layers.queue(await stack.enter_async_context(open_queue(token)))
            client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
            worker = create_worker(
                config,
                store=store,
                queue=queue,
                queue_identity=queue_identity(
                    config, audience=config.queue_audience, token=token, client=client, google=layers.google
                ),
                metrics=metrics,
            )
            app.state.worker, app.state.registry = worker, registry
            drained.append(worker.batches.drain)
            background = [asyncio.create_task(worker.status.open()), asyncio.create_task(token.follow())]
            yield
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            await worker.engines.close()
            await worker.status.close()

    return assemble(config, registry=registry, lifespan=lifespan)


def assemble(
    config: WorkerConfig, *, registry: CollectorRegistry, lifespan: Lifespan[Starlette] | None = None
) -> Starlette:
    """The app of the routes, which use `app.state`; `lifespan` sets that."""
    own_hosts = [] if config.running_in_cloud else [Middleware(HostCheck, names=_own_names(config))]
    app = Starlette(
        routes=ROUTES,
        middleware=[
            Middleware(Traced),
            Middleware(Requests, registry=registry, routes=ROUTES),
            Middleware(Audited, routes=ROUTES, rules=ACTIONS),
            *own_hosts,
        ],
        exception_handlers=dict.fromkeys(HANDLED, handle),
        lifespan=lifespan,
    )
    app.state.operator = Operator(config.operator_token, is_open=not config.running_in_cloud)
    return app


def _own_names(config: WorkerConfig) -> frozenset[str]:
    """The worker's host names besides those of this machine."""
    own = Address.parse(config.worker_url.partition("//")[2].partition("/")[0])
    return frozenset(host.name for host in parse_hosts(config.allowed_hosts) | ({own} if own else set()))


def create_worker(
    config: WorkerConfig,
    *,
    store: ObjectStore,
    queue: TaskQueue,
    queue_identity: QueueIdentity,
    metrics: WorkerMetrics,
) -> Worker:
    """The worker on the given store and queue."""
    fallback = _fallback(config)
    cache = ModelCache(config.model, root=config.cache_root, in_cloud=config.running_in_cloud, meter=metrics)
    engines = EngineRegistry(
        config.ocr_engine,
        EngineContext(settings=config.engine, model=cache.ensure, has_model=cache.is_complete, fallback=fallback),
        layers=True,
    )
    limits = Limits(
        lease_seconds=config.lease_seconds,
        page_seconds=config.page_seconds,
        batch_seconds=config.batch_seconds,
        look_seconds=config.look_seconds,
    )
    context = WorkerContext(
        store=store, queue=queue, engines=engines, fallback=fallback, limits=limits, metrics=metrics
    )
    status = WorkerStatus(store=store, holder=context.holder, engines=engines, cache=cache)

    def loaded(engine: EngineInfo, seconds: float) -> None:
        metrics.loaded(engine, seconds)
        status.changed()

    engines.on_loaded = loaded
    return Worker(queue_identity=queue_identity, engines=engines, batches=BatchWorker(context), status=status)


def _fallback(config: WorkerConfig) -> FallbackProcess | None:
    if config.fallback_engine == NONE:
        return None
    return FallbackProcess(
        config.fallback_engine,
        threads=config.engine.ocr_threads,
        languages=config.engine.ocr_languages,
        models=config.engine.ocr_model_folder,
        seconds=config.page_seconds,
        memory_bytes=config.fallback_memory_bytes,
    )


async def process_batch(request: Request) -> Response:
    """`POST /process-ocr-batch` (R31 to R34): only the queue may call it."""
    worker = _worker(request)
    await worker.queue_identity.admit(request.headers)
    task = _task(await read_body(request, hint="Send a task as the queue sends it."))
    name = request.headers.get("X-CloudTasks-TaskName") or tasks.first_name(task.session_id, task.run, "bare")
    try:
        with trace.tracing(task.trace):
            result = await worker.batches.process(task, name)
    except EngineHangs:
        # The thread that hangs cannot be stopped, and it holds the engine. The queue delivers the task again to the
        # process that the supervisor (or Cloud Run) starts instead of this one.
        os._exit(70)
    except (EngineBroke, EngineUnavailable) as error:
        log.warning("call_postponed", job_id=task.session_id, reason=str(error))
        raise Problem(
            503,
            "Engine unavailable",
            "The engine could not read now.",
            "The queue will try again; GET /health says more.",
            headers={"Retry-After": "5"},
        ) from error
    return JSONResponse(msgspec.to_builtins(result))


async def health(request: Request) -> Response:
    """`GET /health`: the engine and its state, and the model's cache where the engine needs it; 503 where it failed."""
    report = await _worker(request).status.health()
    return JSONResponse(report, status_code=503 if report["status"] == "failed" else 200)


async def ready(request: Request) -> Response:
    """`GET /ready`: 503 until pages can be read. Only the operator sees more than that."""
    report = await _worker(request).status.ready()
    shown = report if operator(request).admits(request.headers) else {"ready": report["ready"]}
    return JSONResponse(shown, status_code=200 if report["ready"] else 503)


async def cache_info(request: Request) -> Response:
    """`GET /cache/info` (R57)."""
    return JSONResponse(await _worker(request).status.cache())


async def cache_warm(request: Request) -> Response:
    """`POST /cache/warm` (R56): load the default engine, fetch its model if necessary, and answer once it can read."""
    worker = _worker(request)
    await worker.queue_identity.admit(request.headers)
    await worker.engines.open()
    if worker.engines.state is EngineState.FAILED:
        raise Problem(
            503,
            "Engine unavailable",
            worker.engines.reason or "The engine cannot be loaded.",
            "Do what it says, then ask again; docs/model-cache.md has more.",
        )
    return JSONResponse(await worker.status.cache())


def _task(body: bytes) -> tasks.OcrTask:
    try:
        task = tasks.decode(body)
    except tasks.BadTask as error:
        raise Problem(422, "Bad task", str(error), 'Send JSON with "session_id" and "user_email".') from error
    if not layout.is_session_id(task.session_id) or (task.user_hash and not layout.is_user_hash(task.user_hash)):
        # Processed as an unknown session, which is final: the queue would repeat a task that is answered with an error.
        return msgspec.structs.replace(task, session_id="0" * 32, user_hash="")
    return task


def _worker(request: Request) -> Worker:
    worker: Worker = request.app.state.worker
    return worker


ROUTES = [
    Route("/process-ocr-batch", process_batch, methods=["POST"]),
    Route("/health", health),
    Route("/ready", ready),
    Route("/cache/info", cache_info),
    Route("/cache/warm", cache_warm, methods=["POST"]),
    Route("/metrics", exposition),
]

#: What the audit calls a request, by method and path. All are the queue's or the operator's: events when refused.
ACTIONS = {
    ("POST", "/process-ocr-batch"): Rule("queue.push", when_allowed=False),
    ("POST", "/cache/warm"): Rule("cache.warm", when_allowed=False),
    ("GET", "/metrics"): Rule("metrics.read", when_allowed=False),
}
