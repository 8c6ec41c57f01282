"""`.../analyzeResults/{job_id}`: the state and the result of a reading, its searchable PDF, and its deletion."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from libs.jobstate.job import Job
from libs.jobstate.rebuild import load_or_rebuild
from libs.jobstate.status import JobStatus
from libs.storage.errors import NotFound
from services.serving import audit
from services.serving.problem import Problem
from services.web.auth.identity import get_user_of_client
from services.web.frontdoors.azure.analyze import POLL_SECONDS
from services.web.frontdoors.azure.answer import analyze_result_json
from services.web.frontdoors.azure.asked import Wanted, check_model, wanted
from services.web.frontdoors.reading import JOB_HEADER, Reading, reading_of, succeeded
from services.web.jobs.result import searchable_pdf, stored_bytes
from services.web.jobs.routes import delete_job
from services.web.outputs.searchable import fault_since, made_since
from services.web.service import web
from services.web.tasks import SEARCHABLE_AGAIN_SECONDS, start_searchable


async def result(request: Request) -> Response:
    """The state of the reading, and once it has succeeded its `analyzeResult`. Raises `Problem` 404."""
    reading, job = await _found(request)
    asked = wanted(request.query_params)
    await web(request).sweeper.nudge(reading.files, job)
    headers = {JOB_HEADER: reading.job_id}
    state = await _state(reading, job, asked)
    body = {"status": state, "createdDateTime": job.created_at, "lastUpdatedDateTime": job.updated_at}
    if state == "succeeded":
        content = _result(reading, job, asked, request.path_params["model"], msgspec.json.encode(body))
        return StreamingResponse(content, media_type="application/json", headers=headers)
    audit.subject(request.scope).is_silent = True
    if state == "failed":
        message = job.error or f"The reading was cancelled. POST /api/jobs/{job.job_id}/retry goes on with it."
        return JSONResponse(
            {**msgspec.to_builtins(body), "error": {"code": "InvalidContent", "message": message}}, headers=headers
        )
    return JSONResponse(msgspec.to_builtins(body), headers={**headers, "Retry-After": str(POLL_SECONDS)})


async def pdf(request: Request) -> Response:
    """The document with its text in it, to search and copy. Raises `Problem` 404, 409, 422, 503."""
    reading, job = await _found(request)
    if not job.ended:
        raise Problem(
            409, "Not done", "The document is still being read.", "Ask again when the operation has succeeded."
        )
    stat = await searchable_pdf(web(request), reading.files, succeeded(job))
    headers = {JOB_HEADER: reading.job_id, "Content-Length": str(stat.size)}
    if request.method == "HEAD":
        return Response(media_type="application/pdf", headers=headers)
    return StreamingResponse(stored_bytes(reading.files, stat), media_type="application/pdf", headers=headers)


async def delete(request: Request) -> Response:
    """Delete the reading: its job with every file. Raises `Problem` 404."""
    user = await get_user_of_client(request)
    check_model(request.path_params["model"])
    reading = await reading_of(request, user, request.path_params["job_id"])
    await delete_job(web(request), reading.files)
    return Response(status_code=204)


async def _found(request: Request) -> tuple[Reading, Job]:
    user = await get_user_of_client(request)
    check_model(request.path_params["model"])
    reading = await reading_of(request, user, request.path_params["job_id"])
    try:
        return reading, await load_or_rebuild(reading.files)
    except NotFound as error:
        raise Problem(404, "Not found", "No such result.", "Send the document again.") from error


async def _state(reading: Reading, job: Job, asked: Wanted) -> str:
    """The state in Azure's words. With `asked.pdf` it is running until the PDF is there, or cannot be made."""
    if job.status in (JobStatus.FAILED, JobStatus.CANCELLED):
        return "failed"
    if not job.ended:
        return "notStarted" if job.status is JobStatus.QUEUED else "running"
    if not asked.pdf or await made_since(reading.files, job) is not None:
        return "succeeded"
    if await fault_since(reading.files, job, SEARCHABLE_AGAIN_SECONDS) is not None:
        return "succeeded"  # the request for the PDF says why there is none
    await start_searchable(reading.service.queue, job, await reading.files.store.now())
    return "running"


async def _result(reading: Reading, job: Job, asked: Wanted, model: str, head: bytes) -> AsyncIterator[bytes]:
    yield head.removesuffix(b"}") + b',"analyzeResult":'
    async with aclosing(reading.pages(job)) as pages:
        written = analyze_result_json(
            pages, model_id=model, content_format=asked.content_format, string_index=asked.string_index
        )
        async for piece in written:
            yield piece
    yield b"}"
