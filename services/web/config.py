"""Web's settings (R61)."""

from datetime import timedelta
from typing import Annotated, Literal

from msgspec import Meta, structs

from libs.outbound.rules import Rules
from services.serving.body import Pace
from services.serving.settings import Positive, ServiceSettings
from services.web.quota import Quotas

#: A whole number of at least 1.
Count = Annotated[int, Meta(ge=1)]
#: 0: no limit; `None`: by mode, see `STRANGERS`.
Quota = Annotated[int, Meta(ge=0)] | None

#: The quotas in the cloud, where users do not know each other; elsewhere there are none. Chosen: ten uploads of the
#: largest size; four documents of the most pages; ten requests a second, while the web page makes one or two and loads
#: some images. `active_jobs_per_user` holds everywhere.
STRANGERS = Quotas(stored_bytes=20 * 1024**3, pages_a_day=20_000, requests_a_minute=600)


class WebConfig(ServiceSettings, frozen=True, kw_only=True):
    """Each field is the environment variable of the same name in capitals; `.env.example` describes them."""

    web_host: str = "127.0.0.1"
    state_bucket_name: str = ""
    extract_url: str = ""
    web_routes: Literal["all", "public", "internal"] = "all"
    front_doors: str = "all"
    iap_audience: str = ""
    google_audience: str = ""
    api_keys: bool = False
    allowed_domains: str = ""
    extract_audience: str = ""
    ocr_batch_size: Annotated[int, Meta(ge=1, le=1000)] = 10
    job_parallelism: Annotated[int, Meta(ge=0, le=1000)] = 0
    upload_max_bytes: Count = 2 * 1024**3
    upload_stall_seconds: Positive = 60.0
    upload_bytes_per_second: Positive = 1000.0
    upload_expires_seconds: Positive = 86_400.0
    max_pages: Count = 5000
    max_side: Count = 10_000
    max_pixels: Count = 40_000_000
    render_seconds: Positive = 30.0
    child_memory_bytes: Count = 2 * 1024**3
    extract_children: Count = 1
    extract_extra_children: Annotated[int, Meta(ge=0, le=100)] = 2
    extract_seconds: Positive = 300.0
    active_jobs_per_user: Count = 20
    watchers_per_user: Count = 100
    stored_bytes_per_user: Quota = None
    pages_per_day_per_user: Quota = None
    requests_per_minute_per_user: Quota = None
    disk_reserve_bytes: Annotated[int, Meta(ge=0)] = 512 * 1024**2
    retention_days: Annotated[int, Meta(ge=0, le=36_500)] = 0
    sweep_seconds: Positive = 30.0
    fetch_hosts: str = ""
    fetch_seconds: Positive = 300.0
    webhook_hosts: str = ""
    webhook_url: str = ""
    webhook_secrets: str = ""

    @property
    def upload_pace(self) -> Pace:
        """The longest time and the lowest rate of a body that has a document's bytes."""
        return Pace(
            total_seconds=self.upload_expires_seconds,
            stall_seconds=self.upload_stall_seconds,
            bytes_per_second=self.upload_bytes_per_second,
        )

    @property
    def retention(self) -> timedelta | None:
        """How long a job is kept after its end; `None`: until its owner deletes it. A bucket has a rule of its own."""
        return timedelta(days=self.retention_days) if self.retention_days and not self.running_in_cloud else None

    @property
    def quotas(self) -> Quotas:
        """What each user may use."""
        usual = STRANGERS if self.running_in_cloud else Quotas()
        given = {
            "stored_bytes": self.stored_bytes_per_user,
            "pages_a_day": self.pages_per_day_per_user,
            "requests_a_minute": self.requests_per_minute_per_user,
        }
        return structs.replace(usual, **{name: limit for name, limit in given.items() if limit is not None})

    @property
    def fetch_rules(self) -> Rules:
        """The hosts that documents are fetched from. Raises `ConfigError`."""
        return Rules.parse("FETCH_HOSTS", self.fetch_hosts)

    @property
    def asks_for_proof(self) -> bool:
        """Whether a setting names a credential, so that requests without one are refused."""
        return bool(self.iap_audience or self.google_audience or self.api_keys)

    @property
    def trusts_header(self) -> bool:
        """Whether `X-User-Email` is believed: in local mode, where no setting asks for a proof of identity."""
        return not (self.running_in_cloud or self.asks_for_proof)

    @property
    def state_bucket(self) -> str:
        """Cloud mode: the bucket of the API keys; the jobs' own unless `STATE_BUCKET_NAME` names another."""
        return self.state_bucket_name or self.gcs_bucket_name

    @property
    def queue_audience(self) -> str:
        """The audience of the queue's tokens: this service's own address, unless `EXTRACT_AUDIENCE` names another."""
        return self.extract_audience or self.extract_base

    @property
    def worker_base(self) -> str:
        """The address that OCR tasks are pushed to: the worker on this machine, unless `WORKER_URL` names another."""
        return (self.worker_url or f"http://127.0.0.1:{self.worker_port}").rstrip("/")

    @property
    def extract_base(self) -> str:
        """The address that extraction tasks are pushed to: web itself, unless `EXTRACT_URL` names another."""
        return (self.extract_url or f"http://127.0.0.1:{self.web_port}").rstrip("/")
