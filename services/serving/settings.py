"""Settings that both services have (R61)."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from libs.config import Settings
from libs.taskqueue.queue_settings import DEFAULT_QUEUE_FILE

#: A TCP port.
Port = Annotated[int, Meta(ge=1, le=65535)]
#: A number above 0.
Positive = Annotated[float, Meta(gt=0)]


class ServiceSettings(Settings, frozen=True, kw_only=True):
    """Each field is the environment variable of the same name in capitals; `.env.example` describes them."""

    running_in_cloud: bool = False
    k_service: str = ""
    storage_path: str = "./storage"
    gcs_bucket_name: str = "gnosis-ocr-storage"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "text", "json"] = "auto"
    google_cloud_project: str = ""
    allowed_hosts: str = ""
    web_port: Port = 7799
    worker_port: Port = 7800
    worker_url: str = ""
    queue_file: str = DEFAULT_QUEUE_FILE
    internal_token: str = ""
    operator_token: str = ""
    tasks_service_account: str = ""
    lease_seconds: Positive = 60.0
    sandbox: Literal["auto", "require"] = "auto"
    max_connections: Annotated[int, Meta(ge=1)] = 1000
    connection_idle_seconds: Positive = 15.0

    @property
    def look_seconds(self) -> float:
        """Seconds between two looks at the index of active jobs while a call is at work.

        Chosen: a listing of a folder takes less than a millisecond; one of a bucket costs as much as a write, of which
        a page takes three or more.
        """
        return 3.0 if self.running_in_cloud else 0.2

    @property
    def logs_json(self) -> bool:
        """Whether log lines are JSON: by `LOG_FORMAT`, whose default is JSON in the cloud and text elsewhere."""
        return self.log_format == "json" or (self.log_format == "auto" and self.running_in_cloud)

    @property
    def log_file(self) -> Path | None:
        """The file that log lines go to besides stderr (R16); none in the cloud, where local files are memory."""
        return None if self.running_in_cloud else Path(self.storage_path) / "logs" / "gnosis-ocr.log"
