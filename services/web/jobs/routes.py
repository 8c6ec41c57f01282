"""Routes of one job: status, pages, cancel, delete."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from libs.jobstate import cancellation, deletion, record
from libs.jobstate.commit import commit, load
from libs.jobstate.evidence import read_reading, require_readable_outcome
from libs.jobstate.job import Job
from libs.jobstate.notice import retire
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.jobstate.page import PageStatus
from libs.jobstate.status import JobStatus
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from services.serving.problem import Problem
from services.web.auth import get_user_from_request
from services.web.jobs.lookup import newer_view, not_done, own_job, own_page, own_session
from services.web.live.feed import Stopping
from services.web.outputs import page as page_json
from services.web.service import Web, web
from services.web.tasks import start_webhooks
from services.web.text.blocks import blocks_html

#: Seconds that a status waits for a change at most. Chosen: the time after which proxies commonly give a silent request
#: up; a client that sits behind one asks for less.
MAX_WAIT_SECONDS = 60


class ExpiringJob(Job, frozen=True, kw_only=True):
    """The record as shown where jobs are not kept for ever."""

    #: When the job will be deleted; `None` while it runs.
    expires_at: datetime | None = None


async def status(request: Request) -> Response:
    """`GET /api/jobs/{job_id}/status`: the whole record (R42); 304 when the client has it.

    With `wait` and `If-None-Match` the answer comes when the record changes, or after so many seconds.
    """
    seconds, known = _wait(request.query_params.get("wait", "0")), request.headers.get("If-None-Match")
    if seconds and known is not None:
        job = await _changed(request, known, seconds)
    else:
        files, job = await own_job(request)
        if seconds is None:  # only now: who may not see the job is told nothing else
            raise Problem(
                422,
                "Bad wait",
                f"wait is a whole number of seconds up to {MAX_WAIT_SECONDS}.",
                "Send the ETag of the last answer as If-None-Match: the next one comes when the job has changed.",
            )
        await web(request).sweeper.nudge(files, job)
    headers = {"ETag": _etag(job)}
    if known == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    retention = web(request).config.retention
    body = record.encode(job if retention is None else _with_expiry(job, retention))
    return Response(body, media_type="application/json", headers=headers)


async def _changed(request: Request, known: str, seconds: int) -> Job:
    """The record once its `ETag` is another than `known`, or as it is after `seconds` or where the process stops.

    Raises `Problem` 404, 429, 503, `TornIntake`, `StorageError`.
    """
    user = await get_user_from_request(request)
    view = None
    with (
        web(request).feeds.watched(user.email, request.path_params["job_id"]) as feed,
        suppress(TimeoutError, Stopping),
    ):
        async with asyncio.timeout(seconds):
            view = await newer_view(feed, None)
            while _etag(view.record) == known:
                view = await newer_view(feed, view)
    if view is None:
        raise Problem(503, "Not answered", "The job could not be read in time.", "Ask again.")
    return view.record


async def progress(request: Request) -> Response:
    """`GET /api/v1/jobs/{job_id}/status`: the short form (R42)."""
    _, job = await own_job(request)
    return JSONResponse(
        {
            "job_id": job.job_id,
            "status": job.status,
            "progress": {
                "percent": job.percent,
                "current_page": job.current_page,
                "total_pages": len(job.pages),
                "message": job.message,
            },
            "pages_completed": job.count(PageStatus.COMPLETED),
            "pages_failed": job.count(PageStatus.FAILED),
            "error": job.error,
        }
    )


async def page(request: Request) -> Response:
    """`GET /api/jobs/{job_id}/pages/{n}`: a page's result the moment it exists; JSON or HTML by `Accept`.

    With `run` it is what that run read. While a page is read again, its earlier reading is the result.
    """
    files, job, page_no = await own_page(request)
    run = _run(request.query_params.get("run"))
    result = await require_readable_outcome(files, page_no)
    is_late = run is None and result is not None and result.run < job.pages[page_no].run
    if result is None or (is_late and result.status is not OutcomeStatus.COMPLETED):
        raise not_done(job, "This page has not been read yet.")
    outcome = result if run is None else await read_reading(files, result, run)
    if outcome is None:
        runs = ", ".join(str(reading.run) for reading in result.history)
        raise Problem(
            404,
            "Reading not found",
            f"Run {run} has not read this page.",
            f"These runs have: {runs}. Leave run out for the page's result.",
        )
    headers = {
        "ETag": f'"{outcome.run}-{outcome.completed_at}"',
        "Vary": "Accept",
    }
    accept = request.headers.get("Accept", "")
    if "application/json" in accept:
        document = await asyncio.to_thread(page_json.page_document, outcome, job, alone=True, history=result.history)
        headers["ETag"] = f'"{outcome.run}-{outcome.completed_at}-{len(result.history)}"'
        return Response(page_json.encode(document), media_type="application/json", headers=headers)
    if outcome.status is OutcomeStatus.FAILED:
        raise Problem(
            409,
            "Page failed",
            outcome.error or "This page could not be read.",
            f"POST /api/jobs/{job.job_id}/retry reads it again.",
            page_status="failed",
        )
    if "text/html" in accept:
        return HTMLResponse(await asyncio.to_thread(_html, outcome), headers=headers)
    return Response(outcome.text, media_type="text/markdown; charset=utf-8", headers=headers)


def _html(outcome: PageOutcome) -> str:
    return blocks_html(page_json.blocks_of(outcome), places=True)


async def cancel(request: Request) -> Response:
    """`POST /api/jobs/{job_id}/cancel`: stop the job and keep the pages that were read."""
    files, _ = await own_job(request)
    at = await files.store.now()
    job = await commit(files, lambda job: job.cancel(at))
    if job.status is JobStatus.CANCELLED:
        await cancellation.note(files, job.run)
    await retire(files, job)
    await start_webhooks(web(request).queue, job)
    web(request).feeds.look_soon(job.job_id)
    return JSONResponse({"job_id": job.job_id, "status": job.status}, status_code=202)


async def delete(request: Request) -> Response:
    """`DELETE /api/jobs/{job_id}`: delete every file of the job; the sweep removes what is written late."""
    files = await own_session(request)  # not own_job: a job with a damaged record can be deleted too
    await delete_job(web(request), files)
    return Response(status_code=204)


async def delete_job(service: Web, files: SessionFiles) -> None:
    """Delete the job with every file. Raises `StorageError`."""
    read_at = await _read_at(files)
    await deletion.delete(files)
    service.usage.deleted(files.user_hash, read_at)
    service.feeds.look_soon(files.session_id)


def _with_expiry(job: Job, retention: timedelta) -> ExpiringJob:
    return ExpiringJob(**msgspec.structs.asdict(job), expires_at=deletion.expires_at(job, retention))


async def _read_at(files: SessionFiles) -> list[datetime]:
    """When each page of the job was read; none where the record cannot be read."""
    with suppress(NotFound, record.TornRecord):
        pages = (await load(files)).pages.values()
        return [page.processing_completed_at for page in pages if page.processing_completed_at is not None]
    return []


def _etag(job: Job) -> str:
    return f'"{job.revision}"'


def _wait(text: str) -> int | None:
    """The seconds that a client waits for a change; `None` for any other text."""
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) > MAX_WAIT_SECONDS:
        return None
    return int(text)


def _run(text: str | None) -> int | None:
    """The run that the request names, if it names one. Raises `Problem` 422."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not int(text):
        raise Problem(
            422, "Bad run", "run is a whole number from 1.", "Leave it out for the page's result; its JSON lists runs."
        )
    return int(text)
