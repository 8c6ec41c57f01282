"""Errors of Google's client in the storage's terms, and what is tried again."""

import http.client

import pytest
import requests
import urllib3
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud.storage.exceptions import InvalidResponse

from libs.storage import retries
from libs.storage.errors import NotFound, PreconditionFailed, StorageError, TooFast, Unavailable
from libs.storage.retries import Doubt, is_passing, paced, patient, translated

SECRET = "https://storage.googleapis.com/upload?upload_id=SECRET"


def answered(status: int) -> InvalidResponse:
    response = requests.Response()
    response.status_code = status
    return InvalidResponse(response, "refused")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (api.NotFound(SECRET), NotFound),
        (api.PreconditionFailed(SECRET), PreconditionFailed),
        (api.TooManyRequests(SECRET), TooFast),
        (answered(429), TooFast),
        (api.Forbidden(SECRET), Unavailable),
        (api.Unauthorized(SECRET), Unavailable),
        (api.ServiceUnavailable(SECRET), Unavailable),
        (api.RetryError(SECRET, cause=api.ServiceUnavailable(SECRET)), Unavailable),
        (api.RetryError(SECRET, cause=answered(429)), TooFast),
        (requests.ConnectionError(SECRET), Unavailable),
        (requests.ReadTimeout(SECRET), Unavailable),
        (urllib3.exceptions.ProtocolError(SECRET), Unavailable),
        (auth.RefreshError(SECRET), Unavailable),
        (auth.TransportError(requests.ConnectionError(SECRET)), Unavailable),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_an_error_of_the_client_is_told_as_the_storages_own(error: Exception, kind: type[StorageError]) -> None:
    with pytest.raises(StorageError) as caught, translated("users/a"):
        raise error
    assert type(caught.value) is kind
    assert caught.value.path == "users/a"
    assert "SECRET" not in str(caught.value)


def test_an_error_that_nobody_expects_stays_itself() -> None:
    for error in (api.BadRequest("what?"), ValueError("what?"), NotFound("users/b")):
        with pytest.raises(type(error)) as caught, translated("users/a"):
            raise error
        assert caught.value is error


def test_a_missing_bucket_is_no_missing_object() -> None:
    with pytest.raises(Unavailable, match="GCS_BUCKET_NAME"), translated("users/a", creating=True):
        raise api.NotFound("what?")


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int) -> None:
    assert is_passing(answered(status))
    assert is_passing(api.from_http_status(status, "passing"))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 413, 416])
def test_what_will_not_pass_is_not_tried_again(status: int) -> None:
    assert not is_passing(answered(status))


def test_only_the_patient_wait_out_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "FIRST_PAUSE_SECONDS", 0.001)
    for retry, attempts in ((patient(), 3), (paced(Doubt()), 1)):
        errors = [api.TooManyRequests("slow down"), answered(429)]
        tried = 0

        def call(errors: list[Exception] = errors) -> None:
            nonlocal tried
            tried += 1
            if errors:
                raise errors.pop()

        with translated("users/a") if attempts == 3 else pytest.raises(InvalidResponse):
            retry(call)()
        assert tried == attempts


def test_only_an_attempt_without_an_answer_leaves_a_doubt() -> None:
    for error, doubtful in (
        (api.TooManyRequests("slow down"), False),
        (api.ServiceUnavailable("later"), True),
        (requests.ConnectionError("reset"), True),
        (http.client.RemoteDisconnected("gone"), True),
    ):
        doubt = Doubt()
        doubt.note(error)
        assert doubt.is_real == doubtful
