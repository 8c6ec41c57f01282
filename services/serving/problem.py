"""Errors over HTTP: problem details (RFC 9457), one class and one mapping for both services."""

import json
from collections.abc import Mapping

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from libs import trace
from libs.errors import ErrorKind, ExpectedError
from services.serving import audit

log = structlog.get_logger()


class Problem(Exception):
    """An answer that is not a success, raised where that is found out."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        hint: str,
        *,
        headers: Mapping[str, str] | None = None,
        fault: str = "",
        **more: object,
    ) -> None:
        super().__init__(title)
        #: The HTTP status code.
        self.status = status
        #: The kind of problem; the same for each of its occurrences.
        self.title = title
        #: What happened this time.
        self.detail = detail
        #: What the client can do next.
        self.hint = hint
        self.headers = dict(headers or {})
        #: Why a credential counts for nothing, in a word, for the audit alone.
        self.fault = fault
        #: Further members of the body.
        self.more = more


class ProblemResponse(Response):
    """A problem as an answer, which tells the audit its reason."""

    def __init__(self, problem: Problem, body: str, media_type: str) -> None:
        super().__init__(body, status_code=problem.status, headers=problem.headers, media_type=media_type)
        self._problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        known = audit.subject(scope)
        known.reason, known.fault = _kind(self._problem), self._problem.fault
        await super().__call__(scope, receive, send)


def respond(problem: Problem, form: Mapping[str, object] | None = None) -> Response:
    """The problem as `application/problem+json`, or in the form of another protocol as JSON."""
    if form is not None:
        return ProblemResponse(problem, json.dumps(form, ensure_ascii=False), "application/json")
    body = {
        "type": f"urn:gnosis-ocr:problem:{_kind(problem)}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "hint": problem.hint,
        **problem.more,
    }
    return ProblemResponse(problem, json.dumps(body, ensure_ascii=False), "application/problem+json")


#: What `handle` is registered for; `Exception` covers every error that is not expected.
HANDLED: tuple[type[Exception], ...] = (Problem, ExpectedError, HTTPException, ClientDisconnect, Exception)

_ANSWERS: Mapping[ErrorKind, Problem] = {
    ErrorKind.NOT_FOUND: Problem(
        404,
        "Not found",
        "There is no such file.",
        "Check the name, or the job's status.",
    ),
    ErrorKind.FORBIDDEN: Problem(
        403,
        "Forbidden",
        "This file is not yours.",
        "Use the address given in your own job.",
    ),
    ErrorKind.DAMAGED: Problem(
        409,
        "Record damaged",
        "What is stored of this job cannot be read.",
        "Retry the damaged pages (POST /api/jobs/{job_id}/retry), or DELETE the job and upload again.",
    ),
    ErrorKind.OUT_OF_SPACE: Problem(
        507,
        "Out of space",
        "The storage is full; nothing was kept.",
        "Free space, then try again.",
    ),
    ErrorKind.UNAVAILABLE: Problem(
        503,
        "Temporarily unavailable",
        "Storage or queue did not answer.",
        "Try again in a moment.",
        headers={"Retry-After": "5"},
    ),
}


async def handle(request: Request, error: Exception) -> Response:
    """Answer any error with its problem. Registered for the types in `HANDLED`."""
    return respond(problem_of(request, error))


def problem_of(request: Request, error: Exception) -> Problem:
    """The problem that any error is answered with; what the operator should know is logged."""
    match error:
        case Problem():
            return error
        case ExpectedError():
            _log_expected(request, error)
            return _ANSWERS[error.kind]
        case HTTPException():
            return _from_http(error)
        case ClientDisconnect():  # no one reads the answer, and there is no failure of ours to log
            return Problem(400, "Cut off", "The client left before its request was whole.", "Send it again.")
    log.error("request_failed", method=request.method, route=_route(request), exc_info=error)
    return Problem(
        500,
        "Internal error",
        "The service failed on this request.",
        "Try again; if it stays, tell the operator the trace id: it finds the log lines.",
        # This answer is sent outside of all middleware, and so without the headers that others get there.
        headers={
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        },
        trace_id=trace.current(),
    )


def _log_expected(request: Request, error: ExpectedError) -> None:
    """Log damaged objects, and storage or queue that did not answer."""
    name = type(error).__name__
    if error.kind is ErrorKind.DAMAGED:
        log.error("record_torn", method=request.method, route=_route(request), kind=name)
    elif error.kind is ErrorKind.UNAVAILABLE:
        log.warning("backend_unavailable", error=name, detail=getattr(error, "detail", ""))


def _from_http(error: HTTPException) -> Problem:
    """The problem for an error that Starlette's own routing raised."""
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


def _kind(problem: Problem) -> str:
    return problem.title.lower().replace(" ", "-")


def _route(request: Request) -> str:
    return getattr(request.scope.get("endpoint"), "__name__", "")
