"""When a request is repeated, and when an error is the caller's."""

import time
from email.utils import formatdate
from typing import Any

import msgspec
import pytest

from gnosis_ocr.errors import ApiError, Unreachable
from gnosis_ocr.exchange import Answer, Pause, Request, ask

GET = Request(method="GET", path="/api/jobs")
DONE = Answer(status=200, headers={}, body=b"{}")


def refusal(status: int, *, retry_after: str = "") -> Answer:
    problem = {"type": "urn:x", "title": "No", "status": status, "detail": "It is so.", "hint": "Wait.", "percent": 5}
    headers = {"retry-after": retry_after} if retry_after else {}
    return Answer(status=status, headers=headers, body=msgspec.json.encode(problem))


def follow(outcomes: list[Any], **options: Any) -> tuple[list[Any], Answer]:
    """The steps of `ask` with these outcomes of its requests, and its answer."""
    flow, steps, remaining = ask(GET, **options), [], list(outcomes)
    step = next(flow)
    while True:
        steps.append(step)
        try:
            if isinstance(step, Pause):
                step = flow.send(None)
            elif isinstance(outcome := remaining.pop(0), Exception):
                step = flow.throw(outcome)
            else:
                step = flow.send(outcome)
        except StopIteration as end:
            return steps, end.value


def test_a_limit_is_waited_for_as_long_as_the_service_says() -> None:
    steps, answer = follow([refusal(429, retry_after="7"), DONE], patience=60.0)
    assert steps == [GET, Pause(7.0), GET]
    assert answer == DONE


def test_a_date_to_retry_after_counts_from_now() -> None:
    steps, _ = follow([refusal(503, retry_after=formatdate(time.time() + 20, usegmt=True)), DONE], patience=60.0)
    assert 18.0 < steps[1].seconds < 21.0


def test_a_limit_beyond_the_patience_is_the_callers_with_all_that_the_service_said() -> None:
    with pytest.raises(ApiError) as caught:
        follow([refusal(429, retry_after="3600")], patience=60.0)
    error = caught.value
    assert (error.status, error.retry_after, error.is_temporary) == (429, 3600.0, True)
    assert (error.problem.title, error.problem.extensions) == ("No", {"percent": 5})
    assert str(error) == "It is so. Wait."


def test_a_refusal_is_not_repeated() -> None:
    with pytest.raises(ApiError) as caught:
        follow([refusal(404)], patience=60.0)
    assert not caught.value.is_temporary


def test_a_restart_of_the_service_is_waited_for_a_little_longer_each_time() -> None:
    away = Unreachable("away")
    steps, _ = follow([away, away, refusal(500), DONE], patience=60.0)
    assert [step.seconds for step in steps if isinstance(step, Pause)] == [0.2, 0.4, 0.8]


def test_a_request_that_may_have_been_acted_on_is_not_sent_twice_unless_it_may() -> None:
    with pytest.raises(Unreachable):
        follow([Unreachable("away")], patience=60.0, repeat=False)
    assert follow([refusal(503), DONE], patience=60.0, repeat=False)[1] == DONE


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]", b'{"detail": 5}'])
def test_an_error_that_is_no_problem_document_has_its_status(body: bytes) -> None:
    error = ApiError.of(502, {"retry-after": "soon"}, body)
    assert (error.status, error.retry_after) == (502, None)
    assert str(error)
