"""A client of web's routes for uploads, message by message as an HTTP server passes them."""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

import msgspec
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.types import Message

from libs.internal_token import InternalToken
from libs.jobstate.commit import load
from libs.storage import layout
from libs.storage.session import SessionFiles
from libs.storage.store import ObjectStore
from libs.taskqueue.local import LocalQueue
from libs.taskqueue.queue import EXTRACT_QUEUE
from libs.taskqueue.queue_settings import read_queue_settings
from services.serving.problem import HANDLED, handle
from services.serving.queue_identity import SharedSecret
from services.web.app import ROUTES, create_parts
from services.web.auth.identity import Identity
from services.web.config import WebConfig
from services.web.metrics import WebMetrics
from services.web.service import Web
from tests import ROOT

ADA = "ada@example.org"
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 20
BODY_TYPE = "application/offset+octet-stream"
QUEUES = read_queue_settings(ROOT / "deploy" / "queue.yaml")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Calls the app as an HTTP server does: with a body in pieces, which may break off."""

    def __init__(self, store: ObjectStore, *, user: str = ADA, **config: object) -> None:
        self.store = store
        self.user = user
        self.queue = LocalQueue(QUEUES, dict.fromkeys(QUEUES, "http://127.0.0.1:9"))  # not started: it only stores
        self.web: Web = create_parts(
            WebConfig(**config),  # type: ignore[arg-type]
            QUEUES,
            store=store,
            queue=self.queue,
            client=cast(Any, None),
            metrics=WebMetrics(CollectorRegistry()),
            identity=Identity([], trusts_header=True),
            queue_identity=SharedSecret(InternalToken("")),
        )
        self.app = Starlette(routes=ROUTES, exception_handlers=dict.fromkeys(HANDLED, handle))
        self.app.state.web = self.web

    async def send(
        self,
        method: str,
        path: str,
        *pieces: bytes,
        broken: bool = False,
        pause: Callable[[], Awaitable[None]] | None = None,
        user: str = "",
        headers: Mapping[str, str] = MappingProxyType({}),
        **more: str,
    ) -> Answer:
        """One request, with a `pause` before the end of its body; header names have `_` for `-`."""
        given = {"Tus-Resumable": "1.0.0", "X-User-Email": user or self.user}
        given |= {name.replace("_", "-"): value for name, value in {**headers, **more}.items()}
        arriving: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        arriving.append({"type": "http.disconnect"} if broken else {"type": "http.request", "body": b""})
        sent: list[Message] = []

        async def receive() -> Message:
            await asyncio.sleep(0)
            if pause is not None and len(arriving) == 1:
                await pause()
            return arriving.pop(0)

        async def keep(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        }
        await self.app(scope, receive, keep)
        return Answer(
            status=sent[0]["status"],
            headers={name.decode(): value.decode() for name, value in sent[0]["headers"]},
            body=b"".join(message.get("body", b"") for message in sent[1:]),
        )

    async def create(self, length: int | None, **headers: str) -> str:
        """Create an upload; its address."""
        length_header = {"Upload_Defer_Length": "1"} if length is None else {"Upload_Length": str(length)}
        answer = await self.send("POST", "/api/uploads", headers={**length_header, **headers})
        assert answer.status == 201, answer.body
        return answer.headers["location"]

    async def patch(
        self,
        address: str,
        offset: int,
        *pieces: bytes,
        broken: bool = False,
        pause: Callable[[], Awaitable[None]] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
        **more: str,
    ) -> Answer:
        given = {"Content_Type": BODY_TYPE, "Upload_Offset": str(offset), **headers, **more}
        return await self.send("PATCH", address, *pieces, broken=broken, pause=pause, headers=given)

    async def offset(self, address: str) -> int:
        answer = await self.send("HEAD", address)
        assert answer.status == 200, answer.body
        return int(answer.headers["upload-offset"])

    def files(self, address: str) -> SessionFiles:
        return SessionFiles(
            store=self.store, user_hash=layout.user_hash(self.user), session_id=address.rsplit("/", 1)[-1]
        )

    async def stored(self, address: str) -> bytes:
        """The whole file, as its job has stored it."""
        files = self.files(address)
        job = await load(files)
        assert self.queue.pending(EXTRACT_QUEUE) >= 1
        return (await self.store.read(files.path(job.file_info.raw_file))).data

    async def names(self, address: str) -> set[str]:
        files = self.files(address)
        return {stat.path.removeprefix(files.path("")) async for stat in self.store.list(files.path(""))}


def metadata(**fields: str) -> str:
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in fields.items())


def checksum(data: bytes, algorithm: str = "sha1") -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"
