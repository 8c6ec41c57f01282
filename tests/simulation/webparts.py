"""Web in a simulated process: its real routes and parts over a simulated store and queue."""

from typing import Any, cast

from starlette.applications import Starlette

from libs.internal_token import InternalToken
from libs.storage.store import ObjectStore
from libs.taskqueue.queue import TaskQueue
from services.serving.problem import HANDLED, handle
from services.serving.queue_identity import SharedSecret
from services.web.app import ROUTES
from services.web.auth.identity import Identity
from services.web.config import WebConfig
from services.web.extract.extractor import Extractor
from services.web.fetching import Fetching
from services.web.idempotency import IdempotencyKeys
from services.web.live.feed import Feeds
from services.web.metrics import WebMetrics
from services.web.quota import Quotas, Rates, Usage
from services.web.service import Web
from services.web.sweeper import Sweeper
from services.web.upload.completion import Completion
from services.web.webhooks.delivery import Webhooks
from services.web.webhooks.settings import webhook_settings


def web_app(
    config: WebConfig,
    *,
    store: ObjectStore,
    queue: TaskQueue,
    extractor: Extractor,
    webhooks: Webhooks,
    metrics: WebMetrics,
    sweep_seconds: float,
    lease_seconds: float,
    queue_forgets: bool = False,
) -> Starlette:
    """The application; its parts are in `state.web`, and its sweep is still to be run."""
    completion = Completion(
        store=store,
        queue=queue,
        metrics=metrics,
        lease_seconds=lease_seconds,
        notify_all=webhook_settings(config).for_all,
    )
    sweeper = Sweeper(
        store=store,
        queue=queue,
        completion=completion,
        webhooks=webhooks,
        every_seconds=sweep_seconds,
        lease_seconds=lease_seconds,
        queue_forgets=queue_forgets,
    )
    app = Starlette(routes=ROUTES, exception_handlers=dict.fromkeys(HANDLED, handle))
    # The routes that users call need no more of the queue than `TaskQueue`, and nothing of the client.
    app.state.web = Web(
        config=config,
        store=store,
        queue=cast(Any, queue),
        identity=Identity((), trusts_header=True),
        queue_identity=SharedSecret(InternalToken("")),
        client=cast(Any, None),
        extractor=extractor,
        completion=completion,
        sweeper=sweeper,
        keys=IdempotencyKeys(store),
        feeds=Feeds(store, nudge=sweeper.nudge, look_seconds=3.0, most_each=100, most=100),
        webhooks=webhooks,
        fetching=Fetching(config.fetch_rules, seconds=1.0),
        usage=Usage(store, Quotas()),
        rates=Rates(0),
    )
    return app
