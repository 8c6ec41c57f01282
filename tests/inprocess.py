"""The web service within the test's own process: its real routes over a store in memory and a queue that keeps all."""

import ssl

import httpx
from starlette.applications import Starlette

from libs.internal_token import InternalToken
from libs.storage.store import DirectStore, ObjectStore
from libs.taskqueue.local import LocalQueue
from libs.taskqueue.queue_settings import read_queue_settings
from services.serving.metrics import new_registry
from services.serving.queue_identity import QueueIdentity, SharedSecret
from services.web.app import assemble, create_parts
from services.web.auth.configured import configured_identity
from services.web.auth.identity import Identity
from services.web.config import WebConfig
from services.web.metrics import WebMetrics
from services.web.service import Web
from tests import ROOT

# Loading certificates costs more than a test does, and no test calls anybody over TLS.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
QUEUES = read_queue_settings(ROOT / "deploy" / "queue.yaml")


class ClientInProcess(httpx.AsyncClient):
    """A client that also lets a test look behind the routes."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(transport=httpx.ASGITransport(app), base_url="http://localhost")
        self.web: Web = app.state.web


def in_process(
    config: WebConfig,
    *,
    store: ObjectStore,
    direct: DirectStore | None = None,
    identity: Identity,
    queue_identity: QueueIdentity,
    outward: httpx.AsyncClient,
) -> "ClientInProcess":
    """A client of the service. `outward` is what the service itself calls others with."""
    registry = new_registry()
    app = assemble(config, registry=registry)
    app.state.registry = registry
    app.state.web = create_parts(
        config,
        QUEUES,
        store=store,
        direct=direct,
        queue=idle_queue(),
        client=outward,
        metrics=WebMetrics(registry),
        identity=identity,
        queue_identity=queue_identity,
    )
    return ClientInProcess(app)


def configured(
    config: WebConfig, store: ObjectStore, outward: httpx.AsyncClient, *, direct: DirectStore | None = None
) -> ClientInProcess:
    """A client of the service, which identifies users as `config` says, and the queue by a secret."""
    return in_process(
        config,
        store=store,
        direct=direct,
        identity=configured_identity(config, store=store, client=outward),
        queue_identity=SharedSecret(InternalToken("s" * 40)),
        outward=outward,
    )


def idle_queue() -> LocalQueue:
    """A queue that was never started: it takes tasks and pushes none."""
    return LocalQueue(QUEUES, dict.fromkeys(QUEUES, "http://127.0.0.1:9"))


def outward_client() -> httpx.AsyncClient:
    """What the service calls others with, on this machine."""
    return httpx.AsyncClient(trust_env=False, verify=_NO_CERTIFICATES)
