"""What goes wrong: one closed set of exceptions, each with what the caller can do about it."""

import email.utils
import time
from collections.abc import Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from gnosis_ocr.models import Job

# Statuses after which the same request may succeed a little later. 507 is not among them: somebody must free space.
_TEMPORARY = frozenset({408, 429, 500, 502, 503, 504})


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Problem details (RFC 9457), as the service answers every error."""

    #: A URN that names the kind of problem.
    type: str = "about:blank"
    title: str = ""
    #: The HTTP status.
    status: int = 0
    #: What happened.
    detail: str = ""
    #: What to do next.
    hint: str = ""
    #: The other members, such as `job_status` and `percent` of a job that is still running.
    extensions: dict[str, Any] = {}


class GnosisError(Exception):
    """The base of all errors of this package."""


class Unreachable(GnosisError):
    """Nothing answers at the address, or it stopped answering."""


class UploadFailed(GnosisError):
    """The file cannot be uploaded as it is: it became shorter while it was read."""


class NotRead(GnosisError):
    """The job has ended without a result: it failed or was cancelled."""

    def __init__(self, job: "Job") -> None:
        super().__init__(job.error or job.message)
        #: The record of the job.
        self.job = job


class ApiError(GnosisError):
    """The service refused the request; the text is the problem's detail and hint."""

    def __init__(self, problem: Problem, *, retry_after: float | None = None) -> None:
        super().__init__(" ".join(filter(None, (problem.detail, problem.hint))) or f"HTTP status {problem.status}")
        #: What the service answered.
        self.problem = problem
        #: Seconds after which the service suggests to ask again; None where it suggests nothing.
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.problem.status

    @property
    def is_temporary(self) -> bool:
        """Whether the same request may succeed a little later."""
        return self.status in _TEMPORARY

    @classmethod
    def of(cls, status: int, headers: Mapping[str, str], body: bytes) -> "ApiError":
        """The error that this answer describes; also of a proxy's answer that is not a problem document."""
        return cls(_problem(status, body), retry_after=_seconds(headers.get("retry-after", "")))


def _problem(status: int, body: bytes) -> Problem:
    try:
        members = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return Problem(status=status)
    known = {name: str(members.pop(name)) for name in ("type", "title", "detail", "hint") if members.get(name)}
    members.pop("status", None)
    return Problem(**known, status=status, extensions=members)


def _seconds(retry_after: str) -> float | None:
    """The seconds of a `Retry-After` header, which has a number or a date (RFC 9110, 10.2.3)."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        at = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    # A date of HTTP is in GMT, and parsed without a zone where it says "-0000".
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - time.time())
