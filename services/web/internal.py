"""Routes for the queue and the worker alone."""

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs import trace
from libs.internal_token import HEADER, matches
from libs.taskqueue import enqueue as wire
from libs.taskqueue import task as tasks
from libs.taskqueue.task import BadTask
from services.problem import Problem
from services.web.service import Web, web

MAX_BODY = 1_000_000


async def extract(request: Request) -> Response:
    """`POST /internal/extract`: an extraction task, pushed by the queue."""
    service = _admitted(request)
    try:
        task = tasks.decode(await _body(request))
    except BadTask as error:
        raise _bad(error) from error
    name = request.headers.get("X-CloudTasks-TaskName") or tasks.first_name(task.session_id, task.run, "bare")
    with trace.tracing(task.trace):
        worked = await service.extractor.process(task, name)
    return JSONResponse({"status": "extracted" if worked else "nothing_to_do"})


async def enqueue(request: Request) -> Response:
    """`POST /internal/queues/{queue}/tasks`: the worker enqueues on the local queue."""
    service = _admitted(request)
    try:
        order = wire.decode(await _body(request))
    except BadTask as error:
        raise _bad(error) from error
    try:
        await service.queue.enqueue(
            request.path_params["queue"], order.task, name=order.name, delay_seconds=order.delay_seconds
        )
    except KeyError as error:
        raise Problem(404, "No such queue", "There is no queue of that name.", "See deploy/queue.yaml.") from error
    return JSONResponse(msgspec.to_builtins({"name": order.name}), status_code=201)


async def sweep(request: Request) -> Response:
    """`POST /internal/sweep`: one look at every active job, where no process lives long enough to look by itself."""
    service = _admitted(request)
    return JSONResponse({"woken": await service.sweeper.sweep()})


def _admitted(request: Request) -> Web:
    service = web(request)
    if not matches(request.headers.get(HEADER), service.token):
        raise Problem(401, "Unauthorized", "Only the service's own parts may call this.", "Use POST /upload instead.")
    return service


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk[: MAX_BODY + 1 - len(body)]
    if len(body) > MAX_BODY:
        raise Problem(413, "Body too large", "A task has at most 1 MB.", "Send a task as the queue sends it.")
    return body


def _bad(error: BadTask) -> Problem:
    return Problem(422, "Bad task", str(error), 'Send JSON with "session_id" and "user_email".')
