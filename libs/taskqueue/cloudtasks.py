"""The queues of cloud mode: Google Cloud Tasks through its official client.

Of the queues only this module imports Google's packages, so local mode does not need them.
"""

import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import grpc.aio
import structlog
from google.api_core import exceptions as faults
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud import tasks_v2
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcAsyncIOTransport

from libs.config import ConfigError
from libs.retry import RetryableFault
from libs.taskqueue.clock import Clock, SystemClock
from libs.taskqueue.cloudsettings import CloudTasksSettings, Target
from libs.taskqueue.queue import QueueCounts, QueueUnavailable, persist
from libs.taskqueue.queue_settings import QueueSettings
from libs.taskqueue.task import OcrTask, encode

# Chosen: `persist` then fits two attempts that hang, and a health check fails before its caller gives up.
_REQUEST_SECONDS = 5.0
_HEALTH_SECONDS = 3.0
# Faults that may pass. A retry is safe even where the task was taken and only the answer was lost: every task has a
# name, and the queue takes a name once.
_PASSING = (
    faults.ServiceUnavailable,
    faults.DeadlineExceeded,
    faults.Aborted,
    faults.InternalServerError,
    faults.Unknown,
    faults.ResourceExhausted,
    GoogleAuthError,  # the metadata server did not give a token
)
_ADVICE: dict[type[faults.GoogleAPICallError], str] = {
    faults.NotFound: "create the queue with `make deploy-queue`, or wait some minutes if it was idle for a month",
    faults.PermissionDenied: (
        "grant this service's account roles/cloudtasks.enqueuer on the queue "
        "and roles/iam.serviceAccountUser on TASKS_SERVICE_ACCOUNT"
    ),
    faults.Unauthenticated: "check the credentials this process runs with",
    faults.InvalidArgument: "check WORKER_URL, EXTRACT_URL, TASKS_SERVICE_ACCOUNT and the dispatch deadline",
}

log = structlog.get_logger()


class CloudTasksQueue:
    """A `TaskQueue` on Cloud Tasks. What `headers` returns goes with the pushes of a task (the internal token).

    The client does not retry the creation of a task, so this class does. The client's errors are translated.
    """

    def __init__(
        self,
        client: tasks_v2.CloudTasksAsyncClient,
        targets: Mapping[str, Target],
        *,
        service_account: str,
        headers: Callable[[], Mapping[str, str]] = dict,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`service_account` is the e-mail of the identity with which tasks are pushed; `jitter`: see `persist`."""
        self._client = client
        self._targets = targets
        self._service_account = service_account
        self._headers = headers
        self._clock = clock or SystemClock()
        self._jitter = jitter

    async def enqueue(self, queue: str, task: OcrTask, *, name: str, delay_seconds: float = 0.0) -> None:
        """See `TaskQueue`. Retries for some 10 s. Raises `KeyError` for a queue without a target."""
        target = self._targets[queue]
        request = tasks_v2.CreateTaskRequest(parent=target.queue, task=self._task(target, task, name, delay_seconds))
        try:
            await persist(lambda: self._try(queue, name, request), clock=self._clock, jitter=self._jitter)
        except RetryableFault as fault:
            # The caller may suppress the error, since the sweep repairs it; the operator must see it.
            log.warning("task_not_enqueued", queue=queue, task=name, code=str(fault))
            raise QueueUnavailable(f"Cloud Tasks did not take the task: {fault}. Try again in a moment.") from fault

    async def health(self, queue: str) -> str:
        """See `WatchedQueue`."""
        try:
            found = await self._client.get_queue(name=self._targets[queue].queue, retry=None, timeout=_HEALTH_SECONDS)
        except (faults.GoogleAPIError, GoogleAuthError) as error:
            return f"failed: {type(error).__name__}"
        running = found.state is tasks_v2.Queue.State.RUNNING
        return "ok" if running else f"failed: {found.state.name.lower()}"

    def counts(self, queue: str) -> QueueCounts | None:
        """See `WatchedQueue`. Cloud Tasks gives them only in its own metrics."""
        return None

    def _task(self, target: Target, task: OcrTask, name: str, delay_seconds: float) -> tasks_v2.Task:
        message = tasks_v2.Task(
            name=f"{target.queue}/tasks/{name}",
            http_request=tasks_v2.HttpRequest(
                url=target.url,
                http_method=tasks_v2.HttpMethod.POST,
                headers={"Content-Type": "application/json", **self._headers()},
                body=encode(task),
                oidc_token=tasks_v2.OidcToken(service_account_email=self._service_account, audience=target.audience),
            ),
            dispatch_deadline=timedelta(seconds=target.deadline_seconds),
        )
        if delay_seconds > 0:
            message.schedule_time = datetime.fromtimestamp(self._clock.epoch() + delay_seconds, UTC)
        return message

    async def _try(self, queue: str, name: str, request: tasks_v2.CreateTaskRequest) -> None:
        """One attempt. Raises `RetryableFault`, and `QueueUnavailable` for a refusal that would be repeated."""
        try:
            await self._client.create_task(request, retry=None, timeout=_REQUEST_SECONDS)
        except faults.AlreadyExists:
            log.info("task_duplicate", queue=queue, task=name)
        except _PASSING as error:
            raise RetryableFault(type(error).__name__) from error
        except faults.GoogleAPICallError as error:
            kind = type(error)
            log.error("task_refused", queue=queue, task=name, code=kind.__name__)
            advice = _ADVICE.get(kind, "see the status of Cloud Tasks and this service's log")
            raise QueueUnavailable(f"Cloud Tasks refused the task with {kind.__name__}: {advice}.") from error


@asynccontextmanager
async def open_cloud_tasks(
    settings: CloudTasksSettings,
    queues: Mapping[str, QueueSettings],
    *,
    headers: Callable[[], Mapping[str, str]] = dict,
) -> AsyncIterator[CloudTasksQueue]:
    """The queue, with a client that is closed at the end. Raises `ConfigError` for settings that cannot work."""
    targets = settings.targets(queues)
    client = client_of(settings)
    try:
        yield CloudTasksQueue(client, targets, service_account=settings.tasks_service_account, headers=headers)
    finally:
        await client.transport.close()


def client_of(settings: CloudTasksSettings) -> tasks_v2.CloudTasksAsyncClient:
    """The official client; for an emulator, over an insecure channel. Raises `ConfigError`."""
    if not settings.cloud_tasks_emulator_host:
        try:
            return tasks_v2.CloudTasksAsyncClient()
        except DefaultCredentialsError as error:
            raise ConfigError(
                "Google gives this process no credentials for Cloud Tasks. Run it under a service account, "
                "or run `gcloud auth application-default login`."
            ) from error
    # Setting the endpoint alone is not enough: the client would still look for credentials and use TLS.
    channel = grpc.aio.insecure_channel(settings.cloud_tasks_emulator_host, options=[("grpc.enable_http_proxy", 0)])
    return tasks_v2.CloudTasksAsyncClient(transport=CloudTasksGrpcAsyncIOTransport(channel=channel))
