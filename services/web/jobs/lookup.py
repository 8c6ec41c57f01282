"""The user's own job, and its page, that an address names; the answer where it is not done."""

from starlette.requests import Request

from libs.jobstate.job import Job
from libs.jobstate.rebuild import load_or_rebuild
from libs.jobstate.status import JobStatus
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles, validate_session
from services.serving.problem import Problem
from services.web.auth import get_user_from_request
from services.web.live.feed import Feed, View
from services.web.service import web


async def own_session(request: Request) -> SessionFiles:
    """The files of the job that the URL names, if its owner is the user who asks.

    Raises `Problem` 404 for a job that is unknown, deleted or another user's.
    """
    user = await get_user_from_request(request)
    try:
        return await validate_session(web(request).store, user.email, request.path_params["job_id"])
    except NotFound as error:
        raise _not_found() from error


async def own_job(request: Request) -> tuple[SessionFiles, Job]:
    """The same, and the job's record. Raises `Problem` 404, `TornIntake`."""
    files = await own_session(request)
    try:
        return files, await load_or_rebuild(files)
    except NotFound as error:
        raise _not_found() from error


async def own_page(request: Request) -> tuple[SessionFiles, Job, int]:
    """The same, and the number of the job's page that the URL names. Raises `Problem` 404 and 409, `TornIntake`."""
    files, job = await own_job(request)
    given = request.path_params["n"]
    page_no = int(given) if given.isascii() and given.isdigit() and len(given) <= 9 else 0
    if page_no not in job.pages:
        if not job.planned and not job.ended:
            raise not_done(job, "The document has not been opened yet.")
        raise Problem(
            404,
            "Page not found",
            "This page is not among the job's pages.",
            "GET the job's status for its pages.",
        )
    return files, job, page_no


async def newer_view(feed: Feed, than: View | None) -> View:
    """The next view of a watched job after `than`; the first one after `None`.

    Raises `Problem` 404, `Stopping`, and before the first view `TornIntake`, `StorageError`.
    """
    try:
        return await feed.newer(than)
    except NotFound as error:
        raise _not_found() from error


def not_done(job: Job, detail: str) -> Problem:
    """409: what is asked for does not exist yet, or will not."""
    hint = "Ask again when the job's status says so."
    if job.status is JobStatus.CANCELLED:
        hint = f"The job was cancelled. POST /api/jobs/{job.job_id}/retry goes on with it."
    elif job.status is JobStatus.FAILED:
        hint = "The job failed; its status says why. Upload a corrected file."
    return Problem(409, "Not done", detail, hint, job_status=job.status, percent=job.percent)


def _not_found() -> Problem:
    """The same for a job that is unknown, malformed or another user's, so that they cannot be told apart."""
    return Problem(404, "Job not found", "No such job.", "Check the job id; GET /api/jobs lists your jobs.")
