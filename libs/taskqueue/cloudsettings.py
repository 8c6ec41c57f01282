"""The settings of Cloud Tasks, read from the environment."""

from collections.abc import Mapping
from typing import Annotated

import msgspec

from libs.config import ConfigError, Settings
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE, WEBHOOK_QUEUE
from libs.taskqueue.queue_settings import QueueSettings

# As Cloud Tasks allows them.
_QueueId = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9-]{1,100}\Z")]
_Project = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9:.-]*\Z")]
_Location = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9-]*\Z")]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where one queue is, and where and how its tasks are pushed."""

    #: projects/PROJECT/locations/LOCATION/queues/ID
    queue: str
    #: Where a task is pushed to.
    url: str
    #: Of the identity token that a push carries.
    audience: str
    #: The dispatch deadline.
    deadline_seconds: float


class CloudTasksSettings(Settings, frozen=True, kw_only=True):
    """Each field is the environment variable of the same name in capitals; `.env.example` describes them."""

    google_cloud_project: _Project = ""
    tasks_location: _Location = ""
    tasks_service_account: str = ""
    tasks_ocr_queue: _QueueId = OCR_QUEUE
    tasks_extract_queue: _QueueId = EXTRACT_QUEUE
    tasks_webhook_queue: _QueueId = WEBHOOK_QUEUE
    worker_url: str = ""
    worker_audience: str = ""
    extract_url: str = ""
    extract_audience: str = ""
    cloud_tasks_emulator_host: str = ""

    def targets(self, queues: Mapping[str, QueueSettings]) -> dict[str, Target]:
        """The target of each of `queues`.

        Raises `ConfigError` for a missing setting, and for an address without TLS, to which a token would be sent.
        """
        return {name: self._target(name, settings.dispatch_deadline_seconds) for name, settings in queues.items()}

    def _target(self, name: str, deadline_seconds: float) -> Target:
        place = f"projects/{self._given('google_cloud_project')}/locations/{self._given('tasks_location')}/queues"
        self._given("tasks_service_account")
        if name == OCR_QUEUE:
            base = self._base("worker_url")
            return Target(
                queue=f"{place}/{self.tasks_ocr_queue}",
                url=f"{base}/process-ocr-batch",
                audience=self.worker_audience or base,
                deadline_seconds=deadline_seconds,
            )
        base = self._base("extract_url")
        webhooks = name == WEBHOOK_QUEUE
        return Target(
            queue=f"{place}/{self.tasks_webhook_queue if webhooks else self.tasks_extract_queue}",
            url=f"{base}/internal/webhooks" if webhooks else f"{base}/internal/extract",
            audience=self.extract_audience or base,
            deadline_seconds=deadline_seconds,
        )

    def _given(self, field: str) -> str:
        value: str = getattr(self, field)
        if not value:
            raise ConfigError(f"{field.upper()} is not set: the queues of cloud mode need it. See .env.example.")
        return value

    def _base(self, field: str) -> str:
        base = self._given(field).rstrip("/")
        # The identity token is a bearer token: read in transit, it admits anyone to the service until it expires.
        if not base.startswith("https://") and not self.cloud_tasks_emulator_host:
            raise ConfigError(f"{field.upper()}={base!r}: must begin with https://, as Cloud Run's addresses do.")
        return base
