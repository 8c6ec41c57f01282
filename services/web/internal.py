"""Routes for the queue, the worker and Cloud Scheduler; no user may call them."""

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs import trace
from libs.taskqueue import remote
from libs.taskqueue import task as tasks
from libs.taskqueue.task import BadTask
from services.serving.body import read_body
from services.serving.problem import Problem
from services.web.service import Web, web

_HINT = "Send a task as the queue sends it."


async def extract(request: Request) -> Response:
    """`POST /internal/extract`: work on an extraction task that the queue pushes."""
    service = await _admitted(request)
    try:
        task = tasks.decode(await read_body(request, hint=_HINT))
    except BadTask as error:
        raise _bad(error) from error
    name = request.headers.get("X-CloudTasks-TaskName") or tasks.first_name(task.session_id, task.run, "bare")
    with trace.tracing(task.trace):
        worked = await service.extractor.process(task, name)
    return JSONResponse({"status": "extracted" if worked else "nothing_to_do"})


async def webhooks(request: Request) -> Response:
    """`POST /internal/webhooks`: tell the end of a job, as a task says that the queue pushes."""
    service = await _admitted(request)
    try:
        task = tasks.decode(await read_body(request, hint=_HINT))
    except BadTask as error:
        raise _bad(error) from error
    tried = await service.webhooks.deliver(task)
    return JSONResponse({"status": "tried" if tried else "nothing_to_do"})


async def sweep(request: Request) -> Response:
    """`POST /internal/sweep`: look at every active job. Called by Cloud Scheduler: in the cloud web has no timer."""
    service = await _admitted(request)
    return JSONResponse({"status": "swept", "woken": await service.sweeper.sweep()})


async def enqueue(request: Request) -> Response:
    """`POST /internal/queues/{queue}/tasks`: enqueue a task of the worker on the local queue."""
    service = await _admitted(request)
    try:
        given = remote.decode(await read_body(request, hint=_HINT))
    except BadTask as error:
        raise _bad(error) from error
    try:
        await service.queue.enqueue(
            request.path_params["queue"], given.task, name=given.name, delay_seconds=given.delay_seconds
        )
    except KeyError as error:
        raise Problem(404, "No such queue", "There is no queue of that name.", "See deploy/queue.yaml.") from error
    return JSONResponse(msgspec.to_builtins({"name": given.name}), status_code=201)


async def _admitted(request: Request) -> Web:
    service = web(request)
    await service.queue_identity.admit(request.headers)
    return service


def _bad(error: BadTask) -> Problem:
    return Problem(422, "Bad task", str(error), 'Send JSON with "session_id" and "user_email".')
