"""`/v1/status` and `/v1/result`: the state and the result of a task."""

import asyncio
from contextlib import suppress

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from libs.jobstate.job import Job
from libs.jobstate.rebuild import load_or_rebuild
from libs.storage.errors import NotFound
from services.serving import audit
from services.serving.problem import Problem
from services.web.auth.identity import get_user_of_client
from services.web.frontdoors.docling.asked import TaskId
from services.web.frontdoors.docling.delivery import deliver, zip_response
from services.web.frontdoors.docling.result import FailureResult, task, task_status, why_failed
from services.web.frontdoors.reading import JOB_HEADER, Reading, reading_of
from services.web.live.feed import Stopping

#: The client compares these texts.
UNKNOWN = "Task not found."
NOT_ENDED = "Task result not found. Please wait for a completion status."
#: Seconds that a request waits for the end of a task, at most. Chosen: below the 60 s after which many proxies end a
#: connection on which nothing is sent.
MAX_WAIT_SECONDS = 50.0


async def poll(request: Request) -> Response:
    """The task's state, once it has ended or `wait` seconds have passed. Raises `Problem`."""
    task_id, reading, job = await _found(request)
    seconds = min(_wait(request), MAX_WAIT_SECONDS)
    if not job.ended and seconds > 0:
        job = await _later(reading, job, seconds)
    shown = msgspec.structs.replace(task(job), task_id=str(task_id))
    return JSONResponse(msgspec.to_builtins(shown), headers={JOB_HEADER: reading.job_id})


async def result(request: Request) -> Response:
    """The task's result. Raises `Problem` 404 before its end."""
    task_id, reading, job = await _found(request)
    if not job.ended:
        raise Problem(404, "Not found", NOT_ENDED, "Poll the task's status.")
    if task_status(job) == "failure":
        return JSONResponse(msgspec.to_builtins(FailureResult(failure=why_failed(job))))
    if task_id.zipped:
        return zip_response(reading, job, task_id)
    seconds = (job.updated_at - job.run_started_at).total_seconds()
    return StreamingResponse(
        deliver(reading, job, task_id, seconds=seconds),
        media_type="application/json",
        headers={JOB_HEADER: reading.job_id},
    )


async def _found(request: Request) -> tuple[TaskId, Reading, Job]:
    user = await get_user_of_client(request)
    unknown = Problem(404, "Not found", UNKNOWN, "Send the document again.")
    try:
        task_id = TaskId.parse(request.path_params["job_id"])
    except ValueError as error:
        raise unknown from error
    try:
        reading = await reading_of(request, user, task_id.job_id)
        job = await load_or_rebuild(reading.files)
    except NotFound as error:
        raise unknown from error
    except Problem as error:
        raise (unknown if error.status == 404 else error) from error
    audit.subject(request.scope).job_id = task_id.job_id
    return task_id, reading, job


async def _later(reading: Reading, job: Job, seconds: float) -> Job:
    """The job when it has ended, or as it is after so many seconds."""
    view = None
    with suppress(TimeoutError, Stopping), reading.service.feeds.watched(reading.user.email, reading.job_id) as feed:
        async with asyncio.timeout(seconds):
            while not job.ended:
                view = await feed.newer(view)
                job = view.record
    return job


def _wait(request: Request) -> float:
    try:
        return float(request.query_params.get("wait", "0"))
    except ValueError as error:
        raise Problem(422, "Bad field", "wait is a number of seconds.", "Leave it out, or send 20.") from error
