"""The door for clients of Azure Document Intelligence, with errors in its form."""

from typing import Any

from starlette.routing import Route

from services.serving.problem import Problem
from services.web.frontdoors.azure import analyze, results
from services.web.frontdoors.door import Door, in_form

_CODES = {
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    413: "InvalidContentLength",
    415: "InvalidContent",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
    507: "InsufficientStorage",
}
_MODEL = "/documentintelligence/documentModels/{model}"


def error(problem: Problem) -> dict[str, Any]:
    """An error as Azure's services write it; what is not named is a fault of the request."""
    code = _CODES.get(problem.status, "InvalidRequest")
    return {"error": {"code": code, "message": f"{problem.detail} {problem.hint}"}}


DOOR = Door(
    name="azure",
    routes=in_form(
        error,
        (
            Route(f"{_MODEL}:analyze", analyze.analyze, methods=["POST"]),
            Route(f"{_MODEL}/analyzeResults/{{job_id}}", results.result),
            Route(f"{_MODEL}/analyzeResults/{{job_id}}", results.delete, methods=["DELETE"]),
            Route(f"{_MODEL}/analyzeResults/{{job_id}}/pdf", results.pdf),
        ),
    ),
)
