"""The state of the service: health, readiness, version, the worker's model cache."""

import asyncio
from collections.abc import Awaitable
from importlib.metadata import version as installed_version

import httpx
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs import workerstate
from libs.storage.errors import StorageError
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, WEBHOOK_QUEUE
from libs.workerstate import WorkerState
from services.serving import sandbox
from services.serving.operator import operator
from services.serving.problem import Problem
from services.web.auth import get_user_from_request
from services.web.service import Web, web

#: Seconds that each part has to answer. Chosen: short, since a load balancer or a person waits for the probe.
ANSWER_SECONDS = 3.0
_QUEUES = (OCR_QUEUE, EXTRACT_QUEUE, WEBHOOK_QUEUE)


async def health(request: Request) -> Response:
    """`GET /health`: 200 while the process runs and its storage answers, else 503."""
    storage = await _storage(web(request))
    return JSONResponse(
        {"status": "ok" if storage == "ok" else "failed", "storage": storage},
        status_code=200 if storage == "ok" else 503,
    )


async def ready(request: Request) -> Response:
    """`GET /ready`: whether work can be done; 503 while a part fails. The operator also sees the state of each part."""
    service = web(request)
    storage, disk, worker, *queues = await asyncio.gather(
        _storage(service), _disk(service), _worker(service), *(service.queue.health(name) for name in _QUEUES)
    )
    good = {storage, disk, worker, *queues} == {"ok"}
    report: dict[str, object] = {"ready": good}
    if operator(request).admits(request.headers):
        report |= {
            "storage": storage,
            "disk": disk,
            "queue": {name: _queue(service, name, health) for name, health in zip(_QUEUES, queues, strict=True)},
            "worker": worker,
            "sandbox": sandbox.report(),
        }
    return JSONResponse(report, status_code=200 if good else 503)


async def version(request: Request) -> Response:
    """`GET /version`: name, version, mode, whether direct uploads are possible, and the engines to choose from."""
    service = web(request)
    return JSONResponse(
        {
            "name": "gnosis-ocr",
            "version": installed_version("gnosis-ocr"),
            "mode": "cloud" if service.config.running_in_cloud else "local",
            "direct_uploads": service.direct is not None,
            "engines": (await _worker_state(service)).engines,
        }
    )


async def cache_info(request: Request) -> Response:
    """`GET /cache/info`: the worker's model cache (R57), for users."""
    service = web(request)
    await get_user_from_request(request)
    if service.config.running_in_cloud:
        if cache := (await _worker_state(service)).cache:
            return JSONResponse(cache)
        raise Problem(503, "Worker unknown", "No worker has started yet.", "Upload a document: that starts one.")
    try:
        answer = await service.client.get(f"{service.config.worker_base}/cache/info", timeout=ANSWER_SECONDS)
        answer.raise_for_status()
        return JSONResponse(answer.json())
    except (httpx.HTTPError, ValueError) as error:
        raise Problem(
            503,
            "Worker unreachable",
            "The worker does not answer.",
            "Start it, or see its log; then ask again.",
        ) from error


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


async def _storage(service: Web) -> str:
    async def probe() -> None:
        async for _ in service.store.children("users/"):
            return

    return await _result(probe(), StorageError)


async def _disk(service: Web) -> str:
    """`ok`, or that uploads are refused because too little of the disk is free."""
    if service.finite is None or (room := await service.finite.room()) > 0:
        return "ok"
    return f"failed: uploads are refused; free {-room:,} bytes, or lower DISK_RESERVE_BYTES"


async def _worker_state(service: Web) -> WorkerState:
    """The state that the worker has stored; without storage as if none had ever started."""
    try:
        return await workerstate.read(service.store)
    except StorageError:
        return WorkerState()


async def _worker(service: Web) -> str:
    if service.config.running_in_cloud:
        # A request would start a GPU instance; a worker scaled to zero can take work.
        state = await _worker_state(service)
        return f"failed: {state.reason}" if state.state == "failed" else "ok"

    async def probe() -> None:
        answer = await service.client.get(f"{service.config.worker_base}/ready", timeout=ANSWER_SECONDS)
        answer.raise_for_status()

    return await _result(probe(), httpx.HTTPError)


async def _result(probe: Awaitable[None], fault: type[Exception]) -> str:
    try:
        await asyncio.wait_for(probe, ANSWER_SECONDS)
    except (fault, TimeoutError) as error:
        return f"failed: {type(error).__name__}"
    return "ok"
