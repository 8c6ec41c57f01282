"""The places where a token is taken: each with a service of its own behind it."""

import time
from typing import Any

import httpx
import msgspec

from libs.idtoken.token import GOOGLE, IAP
from libs.internal_token import InternalToken
from libs.storage.memory import MemoryStore
from services.serving.metrics import new_registry
from services.serving.queue_identity import QueueAccount, SharedSecret, queue_account
from services.web.auth.configured import configured_identity
from services.web.config import WebConfig
from services.worker.app import assemble as assemble_worker
from services.worker.app import create_worker
from services.worker.config import WorkerConfig
from services.worker.metrics import WorkerMetrics
from tests.inprocess import idle_queue, in_process
from tests.issuer import Publisher

AUDIENCE = "/projects/1/global/backendServices/2"
SERVICE = "https://web.example.org"
EMAIL = "reader@example.org"
QUEUE = "queue@project.iam.gserviceaccount.com"
SECRET = "s" * 40
TASK = {"session_id": "0" * 32, "user_email": ""}

Headers = list[tuple[str, str]]


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A place where a token is taken."""

    name: str
    client: httpx.AsyncClient
    publisher: Publisher
    method: str
    path: str
    header: str
    claims: dict[str, Any]

    def carrying(self, token: str) -> Headers:
        return [(self.header, token if self.header.startswith("X-") else f"Bearer {token}")]

    def token(self, **changed: Any) -> str:
        claims = {name: value for name, value in (self.claims | changed).items() if value is not ...}
        return self.publisher.sign(claims)

    async def knock(self, headers: Headers) -> httpx.Response:
        body = TASK if self.method == "POST" else None
        return await self.client.request(self.method, self.path, headers=headers, json=body)


def make_door(name: str, issuers: dict[str, Publisher], outward: httpx.AsyncClient, *, cloud_run: bool = True) -> Door:
    """One place with a service of its own behind it, which has fetched no keys yet."""
    publisher = issuers["iap" if name == "iap" else "google"]
    now = int(time.time())
    claims: dict[str, Any] = {"iat": now - 10, "exp": now + 600, "sub": "accounts.google.com:1"}
    if name in ("iap", "google"):
        config = WebConfig(
            running_in_cloud=True,
            iap_audience=AUDIENCE if name == "iap" else "",
            google_audience=AUDIENCE if name == "google" else "",
        )
        store = MemoryStore()
        identity = configured_identity(
            config,
            store=store,
            client=outward,
            iap=issuers["iap"].issuer(IAP),
            google=issuers["google"].issuer(GOOGLE),
        )
        claims |= {"aud": AUDIENCE, "email": EMAIL, "iss": (IAP if name == "iap" else GOOGLE).names[0]}
        return Door(
            name=name,
            client=in_process(
                config, store=store, identity=identity, queue_identity=SharedSecret(InternalToken("x")), outward=outward
            ),
            publisher=publisher,
            method="GET",
            path="/api/jobs",
            header="X-Goog-IAP-JWT-Assertion" if name == "iap" else "Authorization",
            claims=claims if name == "iap" else claims | {"email_verified": True},
        )
    account = queue_account(
        account=QUEUE,
        audience=SERVICE,
        token=InternalToken(SECRET),
        on_cloud_run=cloud_run,
        client=outward,
        google=issuers["google"].issuer(GOOGLE),
    )
    claims |= {"aud": SERVICE, "email": QUEUE, "email_verified": True, "iss": GOOGLE.names[0]}
    if name == "queue":
        config = WebConfig(running_in_cloud=True, api_keys=True)
        store = MemoryStore()
        identity = configured_identity(config, store=store, client=outward)
        client: httpx.AsyncClient = in_process(
            config, store=store, identity=identity, queue_identity=account, outward=outward
        )
        path = "/internal/extract"
    else:
        client, path = worker_client(account), "/process-ocr-batch"
    return Door(
        name=name, client=client, publisher=publisher, method="POST", path=path, header="Authorization", claims=claims
    )


def worker_client(account: QueueAccount) -> httpx.AsyncClient:
    config = WorkerConfig(ocr_engine="tests.scripted:create")
    registry = new_registry()
    app = assemble_worker(config, registry=registry)
    app.state.worker = create_worker(
        config,
        store=MemoryStore(),
        queue=idle_queue(),
        queue_identity=account,
        metrics=WorkerMetrics(registry),
    )
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost")
