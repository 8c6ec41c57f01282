"""The worker's settings (R61)."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from libs.config import Settings

Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[float, Meta(gt=0)]


class WorkerConfig(Settings, frozen=True, kw_only=True):
    """Each field is the environment variable of the same name in capitals; `.env.example` describes them."""

    running_in_cloud: bool = False
    k_service: str = ""
    storage_path: str = "./storage"
    gcs_bucket_name: str = "gnosis-ocr-storage"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "text", "json"] = "auto"
    google_cloud_project: str = ""
    worker_host: str = "127.0.0.1"
    worker_port: Port = 7800
    web_port: Port = 7799
    queue_url: str = ""
    queue_file: str = "deploy/queue.yaml"
    internal_token: str = ""
    worker_url: str = ""
    tasks_service_account: str = ""
    worker_audience: str = ""
    ocr_engine: str = "auto"
    ocr_threads: Annotated[int, Meta(ge=0, le=256)] = 0
    ocr_languages: str = "eng"
    fallback_engine: Annotated[str, Meta(pattern="^(auto|none|rapidocr|tesseract|[^:]+:[^:]+)$")] = "auto"
    fallback_memory_bytes: Annotated[int, Meta(ge=64 * 1024**2)] = 4 * 1024**3
    lease_seconds: Positive = 60.0
    page_seconds: Positive = 120.0
    batch_seconds: Positive = 120.0

    @property
    def logs_json(self) -> bool:
        """Whether log lines are JSON: as `LOG_FORMAT` says, by default in the cloud alone."""
        return self.log_format == "json" or (self.log_format == "auto" and self.running_in_cloud)

    @property
    def log_file(self) -> Path | None:
        """Where log lines go besides stderr (R16): nowhere in the cloud, whose local files are memory."""
        return None if self.running_in_cloud else Path(self.storage_path) / "logs" / "gnosis-ocr.log"

    @property
    def queue_audience(self) -> str:
        """For whom the tokens of the queue are made: this service's own address, unless `WORKER_AUDIENCE` says."""
        return self.worker_audience or self.worker_url.rstrip("/")

    @property
    def queue_base(self) -> str:
        """Where tasks are enqueued: web on this machine, unless `QUEUE_URL` says otherwise."""
        return self.queue_url or f"http://127.0.0.1:{self.web_port}"
