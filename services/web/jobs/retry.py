"""`POST /api/jobs/{job_id}/retry`: read pages again, in a new run."""

from contextlib import suppress
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.codec import BadMessage, Codec
from libs.fanout import fan_out
from libs.jobstate import cancellation, notice
from libs.jobstate import outcome as outcomes
from libs.jobstate.active import announce
from libs.jobstate.commit import commit
from libs.jobstate.evidence import derive_text, read_outcomes, read_versioned
from libs.jobstate.job import Job, RetryRefused
from libs.jobstate.outcome import BriefOutcome, OutcomeStatus, PageOutcome
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles
from libs.taskqueue.queue import QueueUnavailable
from services.serving.body import read_body
from services.serving.problem import Problem
from services.web.jobs.lookup import own_job
from services.web.service import web
from services.web.tasks import start_stage


class RetryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/jobs/{job_id}/retry`."""

    #: The numbers of the pages to read again; `None`: those that failed.
    pages: list[int] | None = None


_bodies = Codec(RetryBody, BadMessage)


async def retry(request: Request) -> Response:
    """`POST /api/jobs/{job_id}/retry`: read the failed pages, or those named, in a new run."""
    service = web(request)
    files, job = await own_job(request)
    await service.usage.admit(files.user_hash)
    numbers = await _pages(request)
    at = await files.store.now()
    found = await _unrecorded(files, job) if job.ended else {}
    try:
        planned = job.retry(numbers, at, found=found)
    except RetryRefused as error:
        raise Problem(409, "Nothing to retry", str(error), "GET the job's status for its pages.") from error
    await notice.ensure(files, job)  # the record will not know any more how this run ended
    await announce(files, planned.run)
    had_outcome = {n for n, page in job.pages.items() if page.ended} | found.keys()
    job = await commit(files, lambda now: now.retry(numbers, at, found=found) if now.run < planned.run else now)
    await cancellation.forget(files)
    # After the record: a web that dies before that must not have removed what the last run still shows.
    again = [n for n, page in job.pages.items() if page.run == job.run and n in had_outcome]
    await fan_out(partial(_mark_pending, files, job.run), again)
    with suppress(QueueUnavailable):  # the sweep starts it later
        await start_stage(service.queue, job)
    service.feeds.look_soon(job.job_id)
    return JSONResponse({"job_id": job.job_id, "status": job.status, "run": job.run}, status_code=202)


async def _pages(request: Request) -> list[int] | None:
    """The page numbers in the body of a retry; `None` without a body. Raises `Problem` 413, 422."""
    body = await read_body(request, hint="Name fewer pages.")
    if not body.strip():
        return None
    try:
        return _bodies.decode(body).pages
    except BadMessage as error:
        raise Problem(422, "Bad body", str(error), 'Send {"pages": [2, 5]}, or no body.') from error


async def _unrecorded(files: SessionFiles, job: Job) -> dict[int, BriefOutcome]:
    """Outcomes that the record lacks, of pages that were read just before the job was cancelled."""
    found = await read_outcomes(files, (n for n, page in job.pages.items() if not page.ended))
    for outcome in found.values():
        await derive_text(files, outcome)
    return {n: outcome.brief() for n, outcome in found.items()}


async def _mark_pending(files: SessionFiles, run: int, page_no: int) -> None:
    """Replace the page's outcome by the new run's marker, so that a late writer of the old run is refused."""
    text = files.page_result_path(page_no)
    try:
        derived = (await files.store.stat(text)).generation
    except NotFound:
        derived = None
    outcome, generation = await read_versioned(files, page_no)
    if outcome is not None and outcome.run >= run:
        return  # marked before, or even read: the sweep was faster
    marker = PageOutcome(page_no=page_no, run=run, status=OutcomeStatus.PENDING)
    path = files.page_outcome_path(page_no)
    with suppress(PreconditionFailed, NotFound):  # a second retry, or a reader of the new run, was faster
        await write_paced(files.store, path, outcomes.encode(marker), if_generation=generation)
        if derived is not None:
            # By generation: it may be the new run's text by now.
            await files.store.delete(text, if_generation=derived)
