"""What Cloud Tasks admits: names, sizes, times, and the settings of a queue.

Sources: the reference of `google.cloud.tasks.v2`, and https://cloud.google.com/tasks/docs/quotas.
"""

import math
import re
from datetime import timedelta

import grpc
import msgspec
from google.cloud import tasks_v2

from libs.taskqueue.queue_settings import QueueSettings

LONGEST_DELAY_SECONDS = 30 * 86400
_QUEUE = re.compile(r"(projects/[A-Za-z0-9:.-]+/locations/[a-z0-9-]+)/queues/([A-Za-z0-9-]{1,100})")
_TASK = re.compile(rf"({_QUEUE.pattern})/tasks/([A-Za-z0-9_-]{{1,500}})")
_TASK_BYTES = 1 << 20
_HEADER_BYTES = 80 * 1024
_URL_CHARACTERS = 2083
_WITH_BODY = {tasks_v2.HttpMethod.POST, tasks_v2.HttpMethod.PUT, tasks_v2.HttpMethod.PATCH}
_DEFAULT_DEADLINE = timedelta(minutes=10)
_DEADLINES = (timedelta(seconds=15), timedelta(minutes=30))
_DEFAULTS = QueueSettings(
    max_dispatches_per_second=500.0,
    max_concurrent_dispatches=1000,
    max_burst_size=100,
    max_attempts=100,
    max_retry_seconds=None,
    min_backoff_seconds=0.1,
    max_backoff_seconds=3600.0,
    max_doublings=16,
    dispatch_deadline_seconds=_DEFAULT_DEADLINE.total_seconds(),
)


class Refused(Exception):
    """A call ends with this status."""

    def __init__(self, code: grpc.StatusCode, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


def invalid(details: str) -> Refused:
    """The caller's mistake."""
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, details)


def queue_parts(name: str) -> tuple[str, str]:
    """Location and id of a queue by its resource name. Raises `Refused`."""
    if not (found := _QUEUE.fullmatch(name)):
        raise invalid(f"Queue name {name!r} must be projects/PROJECT/locations/LOCATION/queues/QUEUE.")
    return found[1], found[2]


def task_parts(name: str) -> tuple[str, str]:
    """Queue name and id of a task by its resource name. Raises `Refused`."""
    if not (found := _TASK.fullmatch(name)):
        raise invalid(f"Task name {name[:200]!r} must be QUEUE_NAME/tasks/TASK, of letters, digits, - and _.")
    return found[1], found[4]


def checked_task(task: tasks_v2.Task) -> tasks_v2.Task:
    """The task with its defaults filled in, as it will be pushed. Raises `Refused`."""
    raw = tasks_v2.Task.pb(task)
    if raw.WhichOneof("message_type") != "http_request" or raw.HasField("retry_config"):
        raise Refused(
            grpc.StatusCode.UNIMPLEMENTED, "Only HTTP tasks without retry settings of their own are emulated."
        )
    if raw.ByteSize() > _TASK_BYTES:
        raise invalid("Task size too large.")
    http = task.http_request
    if not http.url.startswith(("http://", "https://")) or len(http.url) > _URL_CHARACTERS:
        raise invalid("HttpRequest.url must begin with http:// or https:// and have at most 2083 characters.")
    if raw.http_request.HasField("oauth_token"):
        raise Refused(grpc.StatusCode.UNIMPLEMENTED, "OAuth tokens are not emulated.")
    if raw.http_request.HasField("oidc_token") and not http.oidc_token.service_account_email:
        raise invalid("OidcToken.service_account_email is required.")
    if sum(len(name) + len(value) for name, value in http.headers.items()) > _HEADER_BYTES:
        raise invalid("HttpRequest.headers must be less than 80 KB.")
    method = http.http_method or tasks_v2.HttpMethod.POST
    if http.body and method not in _WITH_BODY:
        raise invalid("HttpRequest.body is allowed with POST, PUT and PATCH only.")
    deadline = task.dispatch_deadline if raw.HasField("dispatch_deadline") else _DEFAULT_DEADLINE
    if not _DEADLINES[0] <= deadline <= _DEADLINES[1]:
        raise invalid("Task.dispatch_deadline must be between 15s and 30m.")
    checked = tasks_v2.Task(task)
    checked.http_request.http_method = tasks_v2.HttpMethod(method)
    checked.dispatch_deadline = deadline
    return checked


def settings_of(queue: tasks_v2.Queue, known: QueueSettings = _DEFAULTS) -> QueueSettings:
    """The settings that a queue's message asks for; what it leaves out is as in `known`. Raises `Refused`."""
    raw = tasks_v2.Queue.pb(queue)
    changes: dict[str, float | None] = {}
    if rate := queue.rate_limits.max_dispatches_per_second:
        changes["max_dispatches_per_second"] = rate
        changes["max_burst_size"] = max(1, math.ceil(rate / 5))  # output only: Cloud Tasks chooses it
    if concurrent := queue.rate_limits.max_concurrent_dispatches:
        changes["max_concurrent_dispatches"] = concurrent
    retry = queue.retry_config
    if retry.max_attempts:
        changes["max_attempts"] = None if retry.max_attempts == -1 else retry.max_attempts
    if raw.retry_config.HasField("max_retry_duration"):
        changes["max_retry_seconds"] = retry.max_retry_duration.total_seconds() or None
    if raw.retry_config.HasField("min_backoff"):
        changes["min_backoff_seconds"] = retry.min_backoff.total_seconds()
    if raw.retry_config.HasField("max_backoff"):
        changes["max_backoff_seconds"] = retry.max_backoff.total_seconds()
    if retry.max_doublings:
        changes["max_doublings"] = retry.max_doublings
    settings = msgspec.structs.replace(known, **changes)
    if settings.max_dispatches_per_second > 500 or settings.max_concurrent_dispatches > 5000:
        raise invalid("At most 500 dispatches a second and 5000 at once.")
    if settings.max_attempts is not None and settings.max_attempts < 1:
        raise invalid("RetryConfig.max_attempts must be -1 or at least 1.")
    if settings.min_backoff_seconds > settings.max_backoff_seconds:
        raise invalid("RetryConfig.min_backoff must not be above max_backoff.")
    return settings
