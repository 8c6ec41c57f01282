"""Errors become problem details."""

import json

import pytest
from starlette.requests import Request

from libs.codec import TornObject
from libs.jobstate.intake import TornIntake
from libs.jobstate.lease import TornLease
from libs.jobstate.outcome import TornOutcome
from libs.jobstate.record import TornRecord
from libs.jobstate.upload import TornUpload
from services.serving.problem import HANDLED, handle

REQUEST = Request({"type": "http", "method": "GET", "path": "/", "headers": []})


@pytest.mark.parametrize("kind", [TornRecord, TornLease, TornIntake, TornOutcome, TornUpload])
async def test_damaged_object_is_answered_with_409_and_what_to_do(kind: type[TornObject]) -> None:
    assert any(issubclass(kind, handled) for handled in HANDLED if handled is not Exception)
    response = await handle(REQUEST, kind("Expected `int`, got `str` - at `$.secret`"))
    assert response.status_code == 409
    body = json.loads(bytes(response.body))
    assert "POST /api/jobs/{job_id}/retry" in body["hint"]
    assert "secret" not in str(body)
