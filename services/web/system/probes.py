"""What the service says of itself: health, readiness, version, its interface, the worker's cache."""

import asyncio
from collections.abc import Awaitable
from functools import cache
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import httpx
import msgspec
import yaml
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from libs.storage import layout
from libs.storage.errors import StorageError
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE
from services.serving.problem import Problem
from services.web.service import Web, web
from services.web.system.docs import render_docs
from services.web.system.headers import POLICY

_WEB = Path(__file__).parents[1]
STATIC = _WEB / "static"
ASK_SECONDS = 3.0
QUEUES = (OCR_QUEUE, EXTRACT_QUEUE)


async def health(request: Request) -> Response:
    """`GET /health`: the process lives and its storage answers."""
    storage = await _storage(web(request))
    return JSONResponse(
        {"status": "ok" if storage == "ok" else "failed", "storage": storage},
        status_code=200 if storage == "ok" else 503,
    )


async def ready(request: Request) -> Response:
    """`GET /ready`: whether work can be taken; each part named."""
    service = web(request)
    storage, worker, *queues = await asyncio.gather(
        _storage(service), _worker(service), *(service.queue.health(name) for name in QUEUES)
    )
    good = {storage, worker, *queues} == {"ok"}
    return JSONResponse(
        {
            "ready": good,
            "storage": storage,
            "queue": {name: _queue(service, name, health) for name, health in zip(QUEUES, queues, strict=True)},
            "worker": worker,
        },
        status_code=200 if good else 503,
    )


async def version(request: Request) -> Response:
    """`GET /version`."""
    service = web(request)
    return JSONResponse(
        {
            "name": "gnosis-ocr",
            "version": installed_version("gnosis-ocr"),
            "mode": "cloud" if service.config.running_in_cloud else "local",
            "direct_uploads": service.direct is not None,
        }
    )


async def cache_info(request: Request) -> Response:
    """`GET /cache/info`: the worker's answer (R57)."""
    service = web(request)
    if service.config.running_in_cloud:
        if told := (await worker_state(service)).get("cache"):
            return JSONResponse(told)
        raise Problem(503, "Worker unknown", "No worker has started yet.", "Upload a document: that starts one.")
    try:
        answer = await service.client.get(f"{service.config.worker_base}/cache/info", timeout=ASK_SECONDS)
        answer.raise_for_status()
        return JSONResponse(answer.json())
    except (httpx.HTTPError, ValueError) as error:
        raise Problem(
            503,
            "Worker unreachable",
            "The worker does not answer.",
            "Start it, or see its log; then ask again.",
        ) from error


async def openapi(request: Request) -> Response:
    """`GET /openapi.json`."""
    return JSONResponse(_own_interface(request))


async def docs(request: Request) -> Response:
    """`GET /docs`: the same as a page."""
    return HTMLResponse(render_docs(_own_interface(request)))


async def home(request: Request) -> Response:
    """`GET /`: the web page."""
    direct = web(request).direct
    # The page sends large files to the bucket itself, and its browser lets it connect only where this says.
    headers = (
        {} if direct is None else {"Content-Security-Policy": f"{POLICY}; connect-src 'self' {direct.upload_origin}"}
    )
    return FileResponse(STATIC / "index.html", headers=headers)


@cache
def interface() -> dict[str, Any]:
    """The OpenAPI document."""
    document: dict[str, Any] = yaml.safe_load((_WEB / "openapi.yaml").read_text("utf-8"))
    document["info"]["version"] = installed_version("gnosis-ocr")
    return document


def _queue(service: Web, name: str, health: str) -> dict[str, object]:
    counts = service.queue.counts(name)
    if counts is None:
        return {"status": health}
    return {
        "status": health,
        "pending": counts.pending,
        "in_flight": counts.in_flight,
        "oldest_seconds": round(counts.oldest_seconds, 1),
    }


def _own_interface(request: Request) -> dict[str, Any]:
    """The document with those ways of proving who asks that this installation takes."""
    document, identity = interface(), web(request).identity
    components = document["components"]
    schemes = {name: scheme for name, scheme in components["securitySchemes"].items() if name in identity.schemes}
    ways = [way for way in document["security"] if way.keys() <= identity.schemes and (way or identity.believes_header)]
    return {**document, "security": ways, "components": {**components, "securitySchemes": schemes}}


async def _storage(service: Web) -> str:
    async def probe() -> None:
        async for _ in service.store.children("users/"):
            return

    return await _told(probe(), StorageError)


async def worker_state(service: Web) -> dict[str, object]:
    """What the worker that started last has left of itself; nothing when none ever started."""
    try:
        found: dict[str, object] = msgspec.json.decode((await service.store.read(layout.WORKER_STATE)).data, type=dict)
    except (StorageError, ValueError):
        return {}
    return found


async def _worker(service: Web) -> str:
    if service.config.running_in_cloud:
        # A call would wake a GPU; one that sleeps is able to take work.
        state = await worker_state(service)
        return f"failed: {state.get('reason')}" if state.get("state") == "failed" else "ok"

    async def probe() -> None:
        answer = await service.client.get(f"{service.config.worker_base}/ready", timeout=ASK_SECONDS)
        answer.raise_for_status()

    return await _told(probe(), httpx.HTTPError)


async def _told(probe: Awaitable[None], fault: type[Exception]) -> str:
    try:
        await asyncio.wait_for(probe, ASK_SECONDS)
    except (fault, TimeoutError) as error:
        return f"failed: {type(error).__name__}"
    return "ok"
