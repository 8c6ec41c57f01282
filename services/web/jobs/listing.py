"""`GET /api/jobs`: the user's jobs, newest first, a page at a time, by status and by file name."""

import unicodedata

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.fanout import REQUESTS_AT_ONCE, fan_out
from libs.jobstate.commit import load
from libs.jobstate.job import Job
from libs.jobstate.page import PageStatus
from libs.jobstate.record import TornRecord
from libs.jobstate.status import JobStatus
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from libs.storage.store import ObjectStore
from services.serving.problem import Problem
from services.web.auth import User, get_user_from_request
from services.web.service import web

#: Jobs on a page of the list at most. Chosen: each costs a read of its record.
MAX_LISTED = 100
#: Records that one call reads at most, whether their jobs are listed or not. Chosen: five full pages of the list; at
#: `REQUESTS_AT_ONCE` they take 16 times the latency of the storage.
MAX_READ = 500
#: Characters of `q` at most. Chosen: those of a file's name (`upload.admission.MAX_NAME`); a longer one is in none.
MAX_QUERY = 255


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs are listed."""

    #: Empty: of any status.
    statuses: frozenset[JobStatus]
    #: What the file's name must contain, as `_comparable` writes it.
    part: str

    @property
    def narrows(self) -> bool:
        """Whether it can leave out a job."""
        return bool(self.statuses or self.part)

    def admits(self, job: Job) -> bool:
        """Whether the job is listed."""
        if self.statuses and job.status not in self.statuses:
            return False
        return self.part in _comparable(job.file_info.filename)


async def listing(request: Request) -> Response:
    """`GET /api/jobs`: the user's jobs, newest first, a page at a time."""
    store = web(request).store
    user = await get_user_from_request(request)
    limit = _limit(request.query_params.get("limit", "20"))
    cursor = _cursor(request.query_params.get("cursor", ""))
    wanted = Filter(
        statuses=_statuses(request.query_params.get("status", "")), part=_part(request.query_params.get("q", ""))
    )
    ids = [name async for name in store.children(layout.user_prefix(user.user_hash))]
    # An id begins with its time, so reverse order is newest first.
    ids = sorted((i for i in ids if layout.is_session_id(i) and (not cursor or i < cursor)), reverse=True)
    found, looked_at = await _find(store, user, ids, wanted, limit)
    return JSONResponse(
        {
            "jobs": [_summary(job) for job in found],
            "next_cursor": ids[looked_at - 1] if looked_at < len(ids) else None,
        }
    )


async def _find(store: ObjectStore, user: User, ids: list[str], wanted: Filter, limit: int) -> tuple[list[Job], int]:
    """The first `limit` of these sessions' jobs that are wanted, fewer after `MAX_READ`; how many ids that took.

    What was read beyond the last job of a full page is not counted: the next call reads it again.
    """
    found: list[Job] = []
    read = 0
    while len(found) < limit and read < min(len(ids), MAX_READ):
        size = limit - len(found)
        if wanted.narrows:  # most may be left out: a read for each missing job would take one latency after the other
            size = max(size, REQUESTS_AT_ONCE)
        chunk = ids[read : min(read + size, MAX_READ)]
        for job in await fan_out(lambda session_id: _own_job(store, user, session_id), chunk):
            read += 1
            if job is not None and wanted.admits(job):
                found.append(job)
                if len(found) == limit:
                    break
    return found, read


async def _own_job(store: ObjectStore, user: User, session_id: str) -> Job | None:
    files = SessionFiles(store=store, user_hash=user.user_hash, session_id=session_id)
    try:
        job = await load(files)
    except (NotFound, TornRecord):
        return None  # still being uploaded, or just deleted
    # Another user's address may have the same hash.
    return job if layout.normal_email(job.user_email) == user.email else None


def _summary(job: Job) -> dict[str, object]:
    return {
        "job_id": job.job_id,
        "status": job.status,
        "percent": job.percent,
        "message": job.message,
        "file_info": msgspec.to_builtins(job.file_info),
        "created_at": msgspec.to_builtins(job.created_at),
        "updated_at": msgspec.to_builtins(job.updated_at),
        "pages_completed": job.count(PageStatus.COMPLETED),
        "pages_failed": job.count(PageStatus.FAILED),
    }


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not 1 <= int(text) <= MAX_LISTED:
        raise Problem(422, "Bad limit", f"limit is a whole number from 1 to {MAX_LISTED}.", "20 is the default.")
    return int(text)


def _cursor(text: str) -> str:
    if text and not layout.is_session_id(text):
        raise Problem(
            422,
            "Bad cursor",
            "The cursor is not one of ours.",
            "Use next_cursor of the page before, or none.",
        )
    return text


def _statuses(text: str) -> frozenset[JobStatus]:
    """Those that the text names, separated by commas; none where it is empty. Raises `Problem` 422."""
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    try:
        return frozenset(JobStatus(name) for name in names)
    except ValueError as error:
        raise Problem(
            422,
            "Bad status",
            f"status is one or several of: {', '.join(JobStatus)}.",
            "Separate several by commas, or leave it out for jobs of every status.",
        ) from error


def _part(text: str) -> str:
    """What names have to contain. Raises `Problem` 422."""
    if len(text) > MAX_QUERY:
        raise Problem(422, "Bad q", f"q has at most {MAX_QUERY} characters.", "Send a part of the file's name.")
    return _comparable(text.strip())


def _comparable(name: str) -> str:
    """The name without a difference of case, or of accents that are characters of their own in some systems' names."""
    return unicodedata.normalize("NFC", name).casefold()
