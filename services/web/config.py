"""Web's settings (R61)."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from libs.config import Settings

Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1)]
Positive = Annotated[float, Meta(gt=0)]


class WebConfig(Settings, frozen=True, kw_only=True):
    """Each field is the environment variable of the same name in capitals; `.env.example` describes them."""

    running_in_cloud: bool = False
    k_service: str = ""
    storage_path: str = "./storage"
    gcs_bucket_name: str = "gnosis-ocr-storage"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["auto", "text", "json"] = "auto"
    google_cloud_project: str = ""
    web_host: str = "127.0.0.1"
    web_port: Port = 7799
    allowed_hosts: str = ""
    worker_port: Port = 7800
    worker_url: str = ""
    extract_url: str = ""
    queue_file: str = "deploy/queue.yaml"
    internal_token: str = ""
    web_routes: Literal["all", "public", "internal"] = "all"
    iap_audience: str = ""
    google_audience: str = ""
    api_keys: bool = False
    allowed_domains: str = ""
    tasks_service_account: str = ""
    extract_audience: str = ""
    ocr_batch_size: Annotated[int, Meta(ge=1, le=1000)] = 10
    job_parallelism: Annotated[int, Meta(ge=0, le=1000)] = 0
    upload_max_bytes: Count = 2 * 1024**3
    upload_stall_seconds: Positive = 60.0
    upload_expires_seconds: Positive = 86_400.0
    max_pages: Count = 5000
    max_side: Count = 10_000
    max_pixels: Count = 40_000_000
    render_seconds: Positive = 30.0
    child_memory_bytes: Count = 2 * 1024**3
    extract_children: Count = 1
    extract_seconds: Positive = 300.0
    active_jobs_per_user: Count = 20
    lease_seconds: Positive = 60.0
    sweep_seconds: Positive = 30.0

    @property
    def logs_json(self) -> bool:
        """Whether log lines are JSON: as `LOG_FORMAT` says, by default in the cloud alone."""
        return self.log_format == "json" or (self.log_format == "auto" and self.running_in_cloud)

    @property
    def log_file(self) -> Path | None:
        """Where log lines go besides stderr (R16): nowhere in the cloud, whose local files are memory."""
        return None if self.running_in_cloud else Path(self.storage_path) / "logs" / "gnosis-ocr.log"

    @property
    def asks_for_proof(self) -> bool:
        """Whether a setting names a proof of identity, so that nobody is believed without one."""
        return bool(self.iap_audience or self.google_audience or self.api_keys)

    @property
    def queue_audience(self) -> str:
        """For whom the tokens of the queue are made: this service's own address, unless `EXTRACT_AUDIENCE` says."""
        return self.extract_audience or self.extract_base

    @property
    def worker_base(self) -> str:
        """Where OCR tasks are pushed: the worker on this machine, unless `WORKER_URL` says otherwise."""
        return (self.worker_url or f"http://127.0.0.1:{self.worker_port}").rstrip("/")

    @property
    def extract_base(self) -> str:
        """Where extraction tasks are pushed: web itself, unless `EXTRACT_URL` says otherwise."""
        return (self.extract_url or f"http://127.0.0.1:{self.web_port}").rstrip("/")
