"""Errors over HTTP: RFC 9457 problem details, one class and one mapping for both services."""

import json
from collections.abc import Mapping

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from libs import trace
from libs.codec import TornObject
from libs.storage.errors import Forbidden, NotFound, OutOfSpace, StorageError
from libs.taskqueue.queue import QueueUnavailable

log = structlog.get_logger()


class Problem(Exception):
    """An answer that is not a success: what happened, and (`hint`) what to do next."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        hint: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.hint = hint
        self.headers = dict(headers or {})
        self.more = more


def respond(problem: Problem) -> Response:
    """The problem as `application/problem+json`."""
    body = {
        "type": f"urn:gnosis-ocr:problem:{problem.title.lower().replace(' ', '-')}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "hint": problem.hint,
        **problem.more,
    }
    return Response(
        json.dumps(body, ensure_ascii=False),
        status_code=problem.status,
        media_type="application/problem+json",
        headers=problem.headers,
    )


async def handle(request: Request, error: Exception) -> Response:
    """Answer any exception with its problem. Registered for the exceptions of `HANDLED`."""
    if isinstance(error, Problem):
        return respond(error)
    if isinstance(error, ClientDisconnect):
        # Nobody is there to read it, and it is no failure of ours to log.
        return respond(Problem(400, "Cut off", "The client left before its request was whole.", "Send it again."))
    if isinstance(error, HTTPException):
        return respond(_from_http(error))
    if isinstance(error, TornObject):
        log.error("record_torn", method=request.method, route=_route(request), kind=type(error).__name__)
        return respond(
            Problem(
                409,
                "Record damaged",
                "What is stored of this job cannot be read.",
                "Retry the damaged pages (POST /api/jobs/{job_id}/retry), or DELETE the job and upload again.",
            )
        )
    if isinstance(error, StorageError | QueueUnavailable):
        return respond(_from_backend(error))
    log.error("request_failed", method=request.method, route=_route(request), exc_info=error)
    return respond(
        Problem(
            500,
            "Internal error",
            "The service failed on this request.",
            "Try again; if it stays, tell the operator the trace id: it finds the log lines.",
            trace_id=trace.current(),
        )
    )


HANDLED: tuple[type[Exception], ...] = (
    Problem,
    ClientDisconnect,
    HTTPException,
    TornObject,
    StorageError,
    QueueUnavailable,
    Exception,
)


def _from_http(error: HTTPException) -> Problem:
    match error.status_code:
        case 404:
            return Problem(404, "Not found", "There is nothing at this address.", "GET /docs lists the addresses.")
        case 405:
            return Problem(
                405,
                "Method not allowed",
                "This address does not take that method.",
                "GET /docs lists the methods.",
                headers=error.headers,
            )
    return Problem(error.status_code, "Request refused", str(error.detail), "GET /docs describes the request.")


def _from_backend(error: StorageError | QueueUnavailable) -> Problem:
    match error:
        case Forbidden():
            return Problem(403, "Forbidden", "This file is not yours.", "Use the address given in your own job.")
        case NotFound():
            return Problem(404, "Not found", "There is no such file.", "Check the name, or the job's status.")
        case OutOfSpace():
            return Problem(507, "Out of space", "The storage is full; nothing was kept.", "Free space, then try again.")
    log.warning("backend_unavailable", error=type(error).__name__, detail=getattr(error, "detail", ""))
    return Problem(
        503,
        "Temporarily unavailable",
        "Storage or queue did not answer.",
        "Try again in a moment.",
        headers={"Retry-After": "5"},
    )


def _route(request: Request) -> str:
    return getattr(request.scope.get("endpoint"), "__name__", "")
