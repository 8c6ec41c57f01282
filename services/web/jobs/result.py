"""`GET /api/jobs/{job_id}/result`: the combined result in its forms."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from libs.jobstate.evidence import read_in_order
from libs.jobstate.job import Job
from libs.jobstate.outcome import OutcomeStatus
from libs.jobstate.page import PageStatus
from libs.jobstate.status import JobStatus
from libs.page.markdown import MarkdownOptions
from libs.storage.session import SessionFiles, exists
from libs.storage.store import Stat
from services.serving.problem import Problem
from services.web.jobs.lookup import not_done, own_job
from services.web.outputs.archive import ImageLimits, as_zip
from services.web.outputs.result import PARTIAL_FORMS, ResultForm, as_html, as_json, as_markdown, as_text
from services.web.outputs.searchable import fault_since, made_since
from services.web.service import Web, web
from services.web.tasks import SEARCHABLE_AGAIN_SECONDS, start_searchable

_MEDIA_TYPES = {
    ResultForm.MD: "text/markdown; charset=utf-8",
    ResultForm.TXT: "text/plain; charset=utf-8",
    ResultForm.HTML: "text/html; charset=utf-8",
    ResultForm.JSON: "application/json",
    ResultForm.ZIP: "application/zip",
    ResultForm.PDF: "application/pdf",
}
# Seconds that a request waits for the searchable PDF to be made. Chosen: below the 60 s after which proxies and clients
# commonly give a silent request up.
_WAIT_SECONDS = 45.0
# Seconds between two looks whether it is there, the first and the longest.
_FIRST_LOOK, _LAST_LOOK = 0.1, 2.0


async def result(request: Request) -> Response:
    """`GET /api/jobs/{job_id}/result`: the combined result, in the form that `format` or `Accept` names (R68)."""
    files, job = await own_job(request)
    form, options = _form(request), _options(request)
    partial = _flag(request, "partial", "true also gives the result of a job that runs, as far as it is read.")
    if partial and form not in PARTIAL_FORMS:
        names = ", ".join(PARTIAL_FORMS)
        raise Problem(
            422, "Bad partial", f"partial is for the forms {names}.", "Ask without it once the job has ended."
        )
    if not job.ended:
        if not partial:
            raise not_done(job, "The job is still running.")
        if not job.planned:
            raise not_done(job, "The document has not been opened yet.")
    elif job.status is JobStatus.CANCELLED:
        # It is not combined, and a combined result that is there is of an earlier run.
        if not await _is_any_page_read(files, job):
            raise not_done(job, "The job was cancelled before a page was read.")
    elif not await exists(files.store, files.combined_path):
        raise not_done(job, job.error or "The job ended without a result.")
    stem = job.file_info.raw_file.rsplit(".", 1)[0]
    headers = {
        "Content-Disposition": _attachment(f"{stem}.{form}"),
        "X-Content-Type-Options": "nosniff",
        "Vary": "Accept",
    }
    if partial:
        headers["Gnosis-Partial"] = "false" if job.ended else "true"
        headers["Cache-Control"] = "no-store"
    if request.method == "HEAD":
        described = Response(media_type=_MEDIA_TYPES[form], headers=headers)
        del described.headers["Content-Length"]  # 0, and that of the result is not known before it is made
        return described
    match form:
        case ResultForm.MD:
            content = as_markdown(files, job, options)
        case ResultForm.TXT:
            content = as_text(files, job, headers=options.headers)
        case ResultForm.HTML:
            content = as_html(files, job, headers=options.headers)
        case ResultForm.JSON:
            content = as_json(files, job)
        case ResultForm.ZIP:
            config = web(request).config
            limits = ImageLimits(max_pixels=config.max_pixels, max_side=config.max_side)
            content = as_zip(files, job, limits, options)
        case ResultForm.PDF:
            stat = await searchable_pdf(web(request), files, job)
            headers["Content-Length"] = str(stat.size)
            content = stored_bytes(files, stat)
    return StreamingResponse(content, media_type=_MEDIA_TYPES[form], headers=headers)


async def _is_any_page_read(files: SessionFiles, job: Job) -> bool:
    """Whether the cancelled job has a page's text; its record may lack pages read just before it was cancelled."""
    if job.count(PageStatus.COMPLETED):
        return True
    async with aclosing(read_in_order(files, job.pages)) as outcomes:
        async for _, outcome in outcomes:
            if outcome is not None and outcome.status is OutcomeStatus.COMPLETED:
                return True
    return False


async def searchable_pdf(service: Web, files: SessionFiles, job: Job) -> Stat:
    """The searchable PDF, made now where it is missing. Raises `Problem` 422 and 503, `QueueUnavailable`."""
    deadline = asyncio.get_running_loop().time() + _WAIT_SECONDS
    pause, enqueued = _FIRST_LOOK, False
    while (stat := await made_since(files, job)) is None:
        if (reason := await fault_since(files, job, SEARCHABLE_AGAIN_SECONDS)) is not None:
            raise Problem(422, "No searchable PDF", reason, "The other forms of the result are there: see ?format=.")
        if not enqueued:
            await start_searchable(service.queue, job, await files.store.now())
            enqueued = True
        if asyncio.get_running_loop().time() > deadline:
            raise Problem(
                503,
                "Being made",
                "The searchable PDF is not ready yet.",
                "Ask again in a moment.",
                headers={"Retry-After": "5"},
            )
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LAST_LOOK)
    return stat


async def stored_bytes(files: SessionFiles, stat: Stat) -> AsyncIterator[bytes]:
    """The bytes of a stored file of the job."""
    async with files.store.open_read(stat.path, end=stat.size) as opened:
        async for chunk in opened.chunks:
            yield chunk


def _form(request: Request) -> ResultForm:
    """The form that `format` names, else the first that `Accept` names; Markdown where neither asks for one."""
    if (given := request.query_params.get("format")) is not None:
        try:
            return ResultForm(given)
        except ValueError as error:
            names = ", ".join(ResultForm)
            raise Problem(422, "Bad format", f"format is one of {names}.", "Leave it out for Markdown.") from error
    by_type = {kind.split(";")[0]: form for form, kind in _MEDIA_TYPES.items()}
    for kind in _accepted(request.headers.get("Accept") or "*/*"):
        if kind in ("*/*", "text/*"):
            return ResultForm.MD
        if kind in by_type:
            return by_type[kind]
    raise Problem(
        406,
        "Not acceptable",
        f"The result comes as {', '.join(by_type)}.",
        "Name one of these in Accept, or a form in ?format=.",
    )


def _options(request: Request) -> MarkdownOptions:
    """What `headers` and `tables` ask for."""
    headers = _flag(request, "headers", "true keeps running heads and page numbers.")
    tables = request.query_params.get("tables", "html")
    if tables not in ("html", "pipes"):
        raise Problem(422, "Bad tables", "tables is html or pipes.", "pipes writes tables without spans in Markdown.")
    return MarkdownOptions(headers=headers, pipes=tables == "pipes")


def _flag(request: Request, name: str, hint: str) -> bool:
    """A parameter that is true or false, false where it is left out. Raises `Problem` 422."""
    given = request.query_params.get(name, "false")
    if given not in ("true", "false"):
        raise Problem(422, f"Bad {name}", f"{name} is true or false.", hint)
    return given == "true"


def _accepted(header: str) -> list[str]:
    """The media types of an `Accept` header, the most wanted first (RFC 9110, 12.5.1); those of weight 0 left out."""
    weighed = []
    for entry in header.split(","):
        kind, *parameters = (part.strip().lower() for part in entry.split(";"))
        weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
        try:
            weight = float(weights[0]) if weights else 1.0
        except ValueError:
            weight = 0.0
        if weight > 0:
            weighed.append((weight, kind))
    return [kind for _, kind in sorted(weighed, key=lambda one: -one[0])]


def _attachment(name: str) -> str:
    """A `Content-Disposition` header for a file of any name (RFC 6266)."""
    plain = "".join(c if (c.isascii() and c.isalnum()) or c in "._- " else "_" for c in name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
