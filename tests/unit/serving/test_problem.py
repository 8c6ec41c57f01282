"""Errors become problem details."""

import json

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from libs.codec import TornObject
from libs.errors import ErrorKind, ExpectedError
from libs.jobstate.intake import TornIntake
from libs.jobstate.lease import TornLease
from libs.jobstate.outcome import TornOutcome
from libs.jobstate.record import TornRecord
from libs.jobstate.upload import TornUpload
from libs.storage.errors import Forbidden, NotFound, OutOfSpace, PreconditionFailed, StorageError, TooFast, Unavailable
from libs.taskqueue.queue import QueueUnavailable
from services.serving.problem import HANDLED, Problem, handle

REQUEST = Request({"type": "http", "method": "GET", "path": "/", "headers": []})


@pytest.mark.parametrize("kind", [TornRecord, TornLease, TornIntake, TornOutcome, TornUpload])
async def test_damaged_object_is_answered_with_409_and_what_to_do(kind: type[TornObject]) -> None:
    assert any(issubclass(kind, handled) for handled in HANDLED if handled is not Exception)
    response = await handle(REQUEST, kind("Expected `int`, got `str` - at `$.secret`"))
    assert response.status_code == 409
    body = json.loads(bytes(response.body))
    assert "POST /api/jobs/{job_id}/retry" in body["hint"]
    assert "secret" not in str(body)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("a/b"), 404),
        (Forbidden("a/b"), 403),
        (OutOfSpace("a/b"), 507),
        (Unavailable("a/b"), 503),
        (TooFast("a/b"), 503),
        (PreconditionFailed("a/b"), 503),
        (StorageError("a/b"), 503),
        (QueueUnavailable("no answer"), 503),
        (ClientDisconnect(), 400),
        (Problem(418, "Title", "Detail.", "Hint."), 418),
        (HTTPException(404), 404),
        (RuntimeError("a/b"), 500),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
async def test_error_is_answered_by_its_kind_and_says_what_to_do_next(error: Exception, status: int) -> None:
    response = await handle(REQUEST, error)
    assert response.status_code == status
    body = json.loads(bytes(response.body))
    assert body["detail"] and body["hint"]
    assert "a/b" not in str(body), "no path of the storage leaves the service"
    assert response.headers.get("Retry-After") == ("5" if status == 503 else None)


@pytest.mark.parametrize("kind", ErrorKind)
async def test_every_kind_of_error_has_an_answer(kind: ErrorKind) -> None:
    error = type("Raised", (ExpectedError,), {"kind": kind})()
    assert (await handle(REQUEST, error)).status_code < 600
