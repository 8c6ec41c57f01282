"""`POST /api/jobs/{job_id}/retry`: read pages again, in a new run, and as it says by another engine or resolution."""

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
from libs.jobstate.intake import PageOptions
from libs.jobstate.job import Job, RetryRefused
from libs.jobstate.outcome import Again, BriefOutcome, OutcomeStatus, PageOutcome, TornOutcome
from libs.storage import layout
from libs.storage.errors import NotFound, PreconditionFailed
from libs.storage.pace import write_paced
from libs.storage.session import SessionFiles
from libs.taskqueue.queue import QueueUnavailable
from services.serving.body import read_body
from services.serving.problem import Problem
from services.web.activejobs import check_room_beside
from services.web.auth import User
from services.web.jobs.lookup import own_job
from services.web.pageoptions import read_page_options
from services.web.service import web
from services.web.tasks import start_stage


class RetryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/jobs/{job_id}/retry`. What it leaves out is as the job's own options say."""

    #: The numbers of the pages to read again; `None`: those that failed.
    pages: list[int] | None = None
    engine: str | None = None
    ocr: str | None = None
    #: Dots per inch.
    dpi: int | None = None


_bodies = Codec(RetryBody, BadMessage)


async def retry(request: Request) -> Response:
    """`POST /api/jobs/{job_id}/retry`: read the failed pages, or those named, in a new run."""
    service = web(request)
    files, job = await own_job(request)
    body = await _body(request)
    given = {"engine": body.engine, "ocr": body.ocr, "dpi": body.dpi}
    options = await read_page_options(files.store, {name: str(one) for name, one in given.items() if one is not None})
    at = await files.store.now()
    found = await _unrecorded(files, job) if job.ended else {}
    try:
        planned = job.retry(body.pages, at, options=options, found=found)
    except RetryRefused as error:
        raise _refused(str(error)) from error
    await notice.ensure(files, job)  # the record will not know any more how this run ended
    user = User(email=layout.normal_email(job.user_email), user_hash=files.user_hash)
    # One at a time with the user's uploads: each sees those before it. In two processes two may take the last place.
    with service.receiving.opened(user.email) as (_, turn):
        async with turn:
            await service.usage.admit(user.user_hash)
            await check_room_beside(files, user, service.config.active_jobs_per_user)
            await announce(files, planned.run)
    had_outcome = {n for n, page in job.pages.items() if page.ended} | found.keys()
    job = await commit(
        files,
        lambda now: now.retry(body.pages, at, options=options, found=found) if now.run < planned.run else now,
    )
    if _asked(job) != _asked(planned):  # another retry was faster, and asks for something else
        raise _refused("The job is still running. Wait until it has ended, or cancel it first.")
    await cancellation.forget(files)
    # After the record: a web that dies before that must not have marked what no run will read.
    again = [n for n, page in job.pages.items() if page.run == job.run and (n in had_outcome or page.reread)]
    await fan_out(partial(_mark, files, job), again)
    with suppress(QueueUnavailable):  # the sweep starts it later
        await start_stage(service.queue, job)
    service.feeds.look_soon(job.job_id)
    return JSONResponse({"job_id": job.job_id, "status": job.status, "run": job.run}, status_code=202)


async def _body(request: Request) -> RetryBody:
    """What the body asks for; of an empty one nothing. Raises `Problem` 413, 422."""
    body = await read_body(request, hint="Name fewer pages.")
    if not body.strip():
        return RetryBody()
    try:
        return _bodies.decode(body)
    except BadMessage as error:
        raise Problem(422, "Bad body", str(error), 'Send {"pages": [2, 5]}, or no body.') from error


def _refused(reason: str) -> Problem:
    return Problem(409, "Nothing to retry", reason, "GET the job's status for its pages.")


def _asked(job: Job) -> dict[int, PageOptions]:
    """The pages that the job's run reads, and how."""
    return {n: _plain(page.options) for n, page in job.pages.items() if page.run == job.run}


def _plain(options: PageOptions) -> PageOptions:
    return PageOptions(engine=options.engine, ocr=options.ocr, dpi=options.dpi)


async def _unrecorded(files: SessionFiles, job: Job) -> dict[int, BriefOutcome]:
    """Outcomes that the record lacks, of pages that were read just before the job was cancelled."""
    found = await read_outcomes(files, (n for n, page in job.pages.items() if not page.ended))
    for outcome in found.values():
        await derive_text(files, outcome)
    return {n: outcome.brief() for n, outcome in found.items()}


async def _mark(files: SessionFiles, job: Job, page_no: int) -> None:
    """Mark the page's outcome: a late writer of the old run is refused, and a lost record does not lose the retry.

    A reading stays the page's result until the new run has another.
    """
    again = Again(run=job.run, options=_plain(job.pages[page_no].options))
    path = files.page_outcome_path(page_no)
    while True:
        outcome, generation = await read_versioned(files, page_no)
        if outcome is not None and outcome.due_run >= job.run:
            return  # marked before, or even read: the sweep was faster
        if outcome is None:
            outcome = PageOutcome(page_no=page_no, run=job.run, status=OutcomeStatus.PENDING)
        with suppress(PreconditionFailed):  # a second retry, or a late writer of the old run, was faster: look again
            try:
                marked = outcomes.encode(msgspec.structs.replace(outcome, again=again))
                await write_paced(files.store, path, marked, if_generation=generation)
            except (NotFound, TornOutcome):
                return  # the job was deleted, or the outcome has no room for a mark: the record alone asks for it
            return
