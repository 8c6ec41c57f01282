"""The web service: its routes, its middleware, and how its parts are put together."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

import httpx
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Lifespan

from libs.internal_token import internal_token
from libs.storage.backend import open_store
from libs.storage.store import DirectStore, FiniteStore, ObjectStore
from libs.taskqueue.queue import OCR_QUEUE, WEBHOOK_QUEUE, WatchedQueue
from libs.taskqueue.queue_settings import QueueSettings
from services.serving.audit import Audited
from services.serving.connections import most_connections
from services.serving.host import HostCheck, parse_hosts
from services.serving.layers import BARE, Layers
from services.serving.metrics import Requests, exposition, new_registry
from services.serving.operator import Operator
from services.serving.problem import HANDLED, handle
from services.serving.queue_identity import QueueIdentity, queue_identity
from services.serving.traced import Traced
from services.web import internal
from services.web.actions import ACTIONS
from services.web.auth.browser import OriginCheck, SecurityHeaders
from services.web.auth.configured import configured_identity
from services.web.auth.identity import Identity
from services.web.config import WebConfig
from services.web.extract.extraction import ExtractContext, ExtractSettings
from services.web.extract.extractor import Extractor
from services.web.extract.scratch import clear_abandoned
from services.web.fetching import Fetching
from services.web.frontdoors.doors import DOORS, open_doors
from services.web.idempotency import IdempotencyKeys
from services.web.jobs import events, files, image, listing, result, retry, webhooks
from services.web.jobs import routes as jobs
from services.web.live.feed import Feeds
from services.web.metrics import Backlog, WebMetrics
from services.web.outputs import page
from services.web.queue import OpenQueue, local_queue
from services.web.quota import Rates, Usage
from services.web.render.document import RenderLimits
from services.web.service import Web
from services.web.sweeper import Sweeper
from services.web.system import probes, site
from services.web.upload import direct as direct_uploads
from services.web.upload import multipart_routes, tus
from services.web.upload.completion import Completion
from services.web.webhooks.delivery import Webhooks
from services.web.webhooks.settings import webhook_settings

ROUTES: list[Route | Mount] = [
    Route("/", site.home),
    Route("/upload", multipart_routes.upload, methods=["POST"]),
    Route("/api/uploads", tus.collection, methods=["POST", "OPTIONS"]),
    Route("/api/uploads/{upload_id}", tus.single, methods=["HEAD", "PATCH", "DELETE", "POST", "OPTIONS"]),
    Route("/api/direct-uploads", direct_uploads.create, methods=["POST"]),
    Route("/api/direct-uploads/{upload_id}", direct_uploads.give_up, methods=["DELETE"]),
    Route("/api/direct-uploads/{upload_id}/complete", direct_uploads.complete, methods=["POST"]),
    Route("/api/jobs", listing.listing),
    Route("/api/jobs/{job_id}", jobs.delete, methods=["DELETE"]),
    Route("/api/jobs/{job_id}/status", jobs.status),
    Route("/api/v1/jobs/{job_id}/status", jobs.progress),
    Route("/api/jobs/{job_id}/events", events.events),
    Route("/api/jobs/{job_id}/pages/{n}", jobs.page),
    Route("/api/jobs/{job_id}/pages/{n}/image", image.page_image),
    Route("/api/jobs/{job_id}/result", result.result),
    Route("/api/jobs/{job_id}/webhooks", webhooks.of_job),
    Route("/api/webhooks", webhooks.of_user),
    Route("/api/jobs/{job_id}/cancel", jobs.cancel, methods=["POST"]),
    Route("/api/jobs/{job_id}/retry", retry.retry, methods=["POST"]),
    Route("/storage/{user_hash}/{session_id}/{filename}", files.stored_file),
    Route("/cache/info", probes.cache_info),
    Route("/health", probes.health),
    Route("/ready", probes.ready),
    Route("/version", probes.version),
    Route("/metrics", exposition),
    Route("/openapi.json", site.openapi),
    Route("/docs", site.docs),
    Route(page.SCHEMA_PATH, site.page_schema),
    Mount("/static", StaticFiles(directory=site.STATIC)),
    *(route for door in DOORS for route in door.routes),
    Route("/internal/extract", internal.extract, methods=["POST"]),
    Route("/internal/webhooks", internal.webhooks, methods=["POST"]),
    Route("/internal/sweep", internal.sweep, methods=["POST"]),
    Route("/internal/queues/{queue}/tasks", internal.enqueue, methods=["POST"]),
]
_PROBES = ("/health", "/ready", "/version")


def create_app(
    config: WebConfig,
    queues: Mapping[str, QueueSettings],
    *,
    drained: list[Callable[[], None]],
    open_queue: OpenQueue | None = None,
    layers: Layers = BARE,
) -> Starlette:
    """The app for `config`. Its start appends to `drained` what is to be called when the process has to stop.

    `open_queue` makes the queue; the local one by default.
    """
    open_queue = open_queue or local_queue(config, queues)

    registry = new_registry()

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        metrics = WebMetrics(registry)
        clear_abandoned()
        async with contextlib.AsyncExitStack() as stack:
            opened = await stack.enter_async_context(
                open_store(
                    in_cloud=config.running_in_cloud,
                    folder=Path(config.storage_path),
                    bucket=config.gcs_bucket_name,
                    reserve_bytes=config.disk_reserve_bytes,
                )
            )
            store = layers.store(opened)
            keys = await stack.enter_async_context(_opened_keys(config, store, layers))
            token = await internal_token(store, config.internal_token)
            client = await stack.enter_async_context(httpx.AsyncClient(trust_env=False))
            queue = await stack.enter_async_context(open_queue(token))
            parts = create_parts(
                config,
                queues,
                store=store,
                direct=opened if isinstance(opened, DirectStore) else None,
                finite=opened if isinstance(opened, FiniteStore) else None,
                queue=layers.queue(queue),
                client=client,
                metrics=metrics,
                identity=configured_identity(config, store=keys, client=client, google=layers.google),
                queue_identity=queue_identity(
                    config, audience=config.queue_audience, token=token, client=client, google=layers.google
                ),
            )
            app.state.web, app.state.registry = parts, registry
            registry.register(Backlog(queue, lambda: parts.sweeper.survey))
            metrics.watchers(lambda: parts.feeds.watchers)
            drained.extend((parts.extractor.drain, parts.feeds.drain))
            background = [asyncio.create_task(token.follow())]
            # Cloud Run gives no processor time between requests: there Cloud Scheduler calls /internal/sweep.
            if not config.running_in_cloud:
                background.append(asyncio.create_task(parts.sweeper.run()))
            yield
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)

    return assemble(config, registry=registry, lifespan=lifespan)


@contextlib.asynccontextmanager
async def _opened_keys(config: WebConfig, store: ObjectStore, layers: Layers) -> AsyncIterator[ObjectStore]:
    """The store of the API keys: that of the jobs, or in the cloud a bucket that services which open documents cannot
    read. Opened only where keys are accepted."""
    if not (config.running_in_cloud and config.api_keys) or config.state_bucket == config.gcs_bucket_name:
        yield store
        return
    async with open_store(in_cloud=True, folder=Path(config.storage_path), bucket=config.state_bucket) as opened:
        yield layers.store(opened)


def assemble(
    config: WebConfig, *, registry: CollectorRegistry, lifespan: Lifespan[Starlette] | None = None
) -> Starlette:
    """The app with its routes and middleware; what they work with is in `app.state`, set here and by `lifespan`."""
    local, hosts = not config.running_in_cloud, parse_hosts(config.allowed_hosts)
    own_hosts = [Middleware(HostCheck, names=frozenset(host.name for host in hosts))] if local else []
    app = Starlette(
        routes=mounted(config),
        middleware=[
            Middleware(Traced),
            Middleware(Requests, registry=registry, routes=ROUTES),
            Middleware(Audited, routes=ROUTES, rules=ACTIONS),
            Middleware(SecurityHeaders, local=local),
            *own_hosts,
            Middleware(OriginCheck, hosts=hosts, local=local),
        ],
        exception_handlers=dict.fromkeys(HANDLED, handle),
        lifespan=lifespan,
    )
    app.state.operator = Operator(config.operator_token, is_open=config.trusts_header)
    return app


def mounted(config: WebConfig) -> Sequence[Route | Mount]:
    """The routes that `WEB_ROUTES` and `FRONT_DOORS` select: all, those for users, or those for the queue.

    Raises `ConfigError` for a door that there is not.
    """
    opened = open_doors(config.front_doors)
    closed = [route for door in DOORS if door not in opened for route in door.routes]
    routes = [route for route in ROUTES if route not in closed]
    match config.web_routes:
        case "public":
            return [route for route in routes if not route.path.startswith("/internal/")]
        case "internal":
            return [route for route in routes if route.path.startswith("/internal/") or route.path in _PROBES]
    return routes


def create_parts(
    config: WebConfig,
    queues: Mapping[str, QueueSettings],
    *,
    store: ObjectStore,
    direct: DirectStore | None = None,
    finite: FiniteStore | None = None,
    queue: WatchedQueue,
    client: httpx.AsyncClient,
    metrics: WebMetrics,
    identity: Identity,
    queue_identity: QueueIdentity,
) -> Web:
    """The service's parts over those given. `direct` is the store, where clients can upload to it directly; `finite`
    is it, where it can be full."""
    # Half of the pushes that may be under way, so that one huge job never fills the queue.
    parallelism = config.job_parallelism or max(1, queues[OCR_QUEUE].max_concurrent_dispatches // 2)
    extractor = Extractor(
        ExtractContext(
            store=store,
            queue=queue,
            settings=ExtractSettings(
                limits=RenderLimits(
                    render_seconds=config.render_seconds,
                    memory_bytes=config.child_memory_bytes,
                    max_pages=config.max_pages,
                    max_side=config.max_side,
                    max_pixels=config.max_pixels,
                ),
                batch_size=config.ocr_batch_size,
                parallelism=parallelism,
                slice_seconds=config.extract_seconds,
                lease_seconds=config.lease_seconds,
                extra_children=config.extract_extra_children,
                look_seconds=config.look_seconds,
            ),
            metrics=metrics,
            render_slots=asyncio.Semaphore(config.extract_children),
        )
    )
    webhook = webhook_settings(config)
    told = Webhooks(store, queue, webhook, queues[WEBHOOK_QUEUE])
    completion = Completion(
        store=store,
        direct=direct,
        queue=queue,
        metrics=metrics,
        lease_seconds=config.lease_seconds,
        notify_all=webhook.for_all,
    )
    sweeper = Sweeper(
        store=store,
        queue=queue,
        completion=completion,
        webhooks=told,
        every_seconds=config.sweep_seconds,
        lease_seconds=config.lease_seconds,
        queue_forgets=not config.running_in_cloud,
        retention=config.retention,
    )
    return Web(
        config=config,
        store=store,
        direct=direct,
        finite=finite,
        queue=queue,
        identity=identity,
        queue_identity=queue_identity,
        client=client,
        extractor=extractor,
        completion=completion,
        sweeper=sweeper,
        keys=IdempotencyKeys(store),
        feeds=Feeds(
            store,
            nudge=sweeper.nudge,
            look_seconds=config.look_seconds,
            most_each=config.watchers_per_user,
            # Each has a connection as long as it watches: the other half is for requests that come and go.
            most=max(1, most_connections(config.max_connections) // 2),
        ),
        webhooks=told,
        fetching=Fetching(config.fetch_rules, seconds=config.fetch_seconds),
        usage=Usage(store, config.quotas),
        rates=Rates(config.quotas.requests_a_minute),
    )
