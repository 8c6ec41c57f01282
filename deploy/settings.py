"""What a deployment may choose; `docs/deploy.md` lists it."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta

from libs.config import ConfigError, Settings
from libs.taskqueue.queue import EXTRACT_QUEUE, OCR_QUEUE
from libs.taskqueue.queue_settings import DEFAULT_QUEUE_FILE, QueueSettings
from services.worker.modelcache.settings import DEFAULT_MODEL, chosen_revision

Name = Annotated[str, Meta(pattern=r"\A[a-z]([-a-z0-9]{0,47}[a-z0-9])?\Z")]
# A service account's id: the part of its address before the @.
AccountId = Annotated[str, Meta(pattern=r"\A[a-z][-a-z0-9]{4,28}[a-z0-9]\Z")]
Bucket = Annotated[str, Meta(pattern=r"\A([a-z0-9][-_.a-z0-9]{1,61}[a-z0-9])?\Z")]
Word = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._/-]+\Z")]
Count = Annotated[int, Meta(ge=1, le=1000)]
Scale = Annotated[int, Meta(ge=0, le=1000)]
Cpus = Literal[1, 2, 4, 6, 8, 20, 22, 24, 26, 28, 30]
Gibibytes = Annotated[int, Meta(ge=1, le=120)]
RequestSeconds = Annotated[int, Meta(ge=1, le=3600)]
Seconds = Annotated[int, Meta(ge=1)]

GIB = 1024**3
# Bytes for Python, its packages and the page images in hand, beside the upload and the rendering child. Chosen: above
# web's peak of memory in docs/performance.md.
EXTRACT_ROOM_BYTES = GIB // 2
# A variable of the deploying script, which reads the address from the repository where no setting has it.
REGISTRY = "${IMAGE_REGISTRY}"
# The least CPUs and GiB that Cloud Run requires with each GPU (its documentation of GPUs).
GPU_NEEDS = {"nvidia-l4": (4, 16), "nvidia-rtx-pro-6000": (20, 80)}


class DeploySettings(Settings, frozen=True, kw_only=True):
    """A deployment. Each field is the variable of the same name in capitals.

    The defaults make a small one: one worker on CPUs, and no instance runs without requests.
    """

    # Where
    project: Annotated[str, Meta(pattern=r"\A([a-z][-a-z0-9]{4,28}[a-z0-9])?\Z")] = ""
    project_number: Annotated[str, Meta(pattern=r"\A[0-9]*\Z")] = ""
    region: Annotated[str, Meta(pattern=r"\A[a-z]+-[a-z]+[0-9]+\Z")] = "europe-west4"
    repository: Name = "gnosis-ocr"
    image_registry: Annotated[str, Meta(pattern=r"\A([A-Za-z0-9._:/-]*[A-Za-z0-9])?\Z")] = ""
    tag: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_][A-Za-z0-9._-]{0,127}\Z")] = "latest"
    gcs_bucket_name: Bucket = ""
    state_bucket_name: Bucket = ""
    model_bucket_name: Bucket = ""

    # Names
    web_service: Name = "gnosis-ocr-web"
    extract_service: Name = "gnosis-ocr-extract"
    worker_service: Name = "gnosis-ocr-worker"
    web_account: AccountId = "gnosis-ocr-web"
    extract_account: AccountId = "gnosis-ocr-extract"
    worker_account: AccountId = "gnosis-ocr-worker"
    tasks_account: AccountId = "gnosis-ocr-tasks"
    token_secret: Name = "gnosis-ocr-internal-token"  # noqa: S105 - the secret's name
    operator_secret: Name = "gnosis-ocr-operator-token"  # noqa: S105 - and another's
    sweep_job: Name = "gnosis-ocr-sweep"

    # Who may use it
    identity: Literal["keys", "google", "iap"] = "keys"
    google_audience: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._:/-]*\Z")] = ""
    iap_members: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9@._:,+/-]*\Z")] = ""
    web_origins: Annotated[str, Meta(pattern=r"\A(https://[a-z0-9.:-]+(,https://[a-z0-9.:-]+)*)?\Z")] = ""
    allowed_domains: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9.,-]*\Z")] = ""

    # How much
    queue_file: str = DEFAULT_QUEUE_FILE
    web_cpu: Cpus = 1
    web_memory_gib: Gibibytes = 1
    web_concurrency: Count = 80
    web_min_instances: Scale = 0
    web_max_instances: Count = 4
    web_request_seconds: RequestSeconds = 3600
    extract_cpu: Cpus = 2
    extract_memory_gib: Gibibytes = 4
    extract_max_instances: Count = 2
    extract_request_seconds: RequestSeconds = 660
    upload_max_bytes: Annotated[int, Meta(ge=1)] = GIB
    child_memory_bytes: Annotated[int, Meta(ge=1)] = 2 * GIB
    extract_seconds: Seconds = 300
    worker_device: Literal["cpu", "gpu"] = "cpu"
    worker_gpu: Literal["nvidia-l4", "nvidia-rtx-pro-6000"] = "nvidia-l4"
    worker_cpu: Annotated[int, Meta(ge=0)] = 0
    worker_memory_gib: Annotated[int, Meta(ge=0)] = 0
    worker_concurrency: Count = 1
    worker_min_instances: Scale = 0
    worker_max_instances: Count = 1
    worker_request_seconds: RequestSeconds = 660
    worker_startup_path: Literal["/ready", "/health"] = "/ready"
    torch_index_url: Annotated[str, Meta(pattern=r"\A(https://[A-Za-z0-9./_-]+)?\Z")] = ""
    page_seconds: Annotated[int, Meta(ge=0)] = 0
    batch_seconds: Seconds = 120
    ocr_batch_size: Count = 10
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    # Upkeep
    audit_days: Annotated[int, Meta(ge=1, le=3650)] = 400
    retention_days: Annotated[int, Meta(ge=0, le=36500)] = 0
    sweep_schedule: Annotated[str, Meta(pattern=r"\A[0-9A-Za-z*/, -]+\Z")] = "* * * * *"
    model_name: Word = DEFAULT_MODEL
    model_revision: Annotated[str, Meta(pattern=r"\A[A-Za-z0-9._/-]*\Z")] = ""
    model_source: Literal["bucket", "mount", "image"] = "bucket"
    service: Literal["", "web", "extract", "worker"] = ""
    revision: Annotated[str, Meta(pattern=r"\A[-a-z0-9]*\Z")] = ""
    delete_data: Literal["", "yes"] = ""

    @property
    def bucket(self) -> str:
        """The bucket of jobs. Bucket names are global, so the default contains the project's."""
        return self.gcs_bucket_name or f"{self.project}-gnosis-ocr-storage"

    @property
    def state_bucket(self) -> str:
        """The bucket of the installation's own state: its API keys. Only web, which opens no document, reads it."""
        return self.state_bucket_name or f"{self.project}-gnosis-ocr-state"

    @property
    def model_bucket(self) -> str:
        """The bucket of models."""
        return self.model_bucket_name or f"{self.project}-gnosis-ocr-models"

    @property
    def chosen_revision(self) -> str:
        """The revision of the model: by default the pinned commit of the default model."""
        return chosen_revision(self.model_name, self.model_revision)

    @property
    def gpu(self) -> bool:
        """Whether the worker has a GPU."""
        return self.worker_device == "gpu"

    @property
    def worker_cpus(self) -> int:
        """The worker's CPUs: as set, else what its device needs."""
        return self.worker_cpu or (GPU_NEEDS[self.worker_gpu][0] if self.gpu else 4)

    @property
    def worker_memory(self) -> int:
        """The worker's memory in GiB: as set, else what its device needs."""
        return self.worker_memory_gib or (GPU_NEEDS[self.worker_gpu][1] if self.gpu else 4)

    @property
    def page_limit_seconds(self) -> int:
        """How long (seconds) a page may take before its engine counts as hanging."""
        return self.page_seconds or (300 if self.gpu else 120)

    def account(self, name: str) -> str:
        """The address of a service account of this project."""
        return f"{name}@{self.project}.iam.gserviceaccount.com"

    def url(self, service: str) -> str:
        """The address that Cloud Run gives a service, known before the service exists."""
        return f"https://{service}-{self.project_number}.{self.region}.run.app"

    def image(self, name: str) -> str:
        """The full name of the image `web` or `worker`."""
        return f"{self.image_registry or REGISTRY}/{name}:{self.tag}"


def check(settings: DeploySettings, queues: Mapping[str, QueueSettings]) -> None:
    """Raise `ConfigError` for settings that contradict each other or the queues."""
    if not settings.project or not settings.project_number:
        raise ConfigError(
            "PROJECT and PROJECT_NUMBER are needed: the project's id, and what "
            "`gcloud projects describe PROJECT --format='value(projectNumber)'` prints."
        )
    if settings.identity == "google" and not settings.google_audience:
        raise ConfigError("IDENTITY=google needs GOOGLE_AUDIENCE: the OAuth client id that tokens are made for.")
    if settings.identity == "iap" and not settings.iap_members:
        raise ConfigError("IDENTITY=iap needs IAP_MEMBERS, such as domain:example.com or user:jo@example.com,group:...")
    _check_queue(
        "worker",
        queues[OCR_QUEUE],
        request_seconds=settings.worker_request_seconds,
        capacity=settings.worker_max_instances * settings.worker_concurrency,
        capacity_names="WORKER_MAX_INSTANCES x WORKER_CONCURRENCY",
        budget_seconds=settings.batch_seconds + settings.page_limit_seconds,
        budget_names="BATCH_SECONDS + PAGE_SECONDS",
    )
    _check_queue(
        "extract",
        queues[EXTRACT_QUEUE],
        request_seconds=settings.extract_request_seconds,
        # Each instance handles one request at a time, and the sweep needs one.
        capacity=settings.extract_max_instances - 1,
        capacity_names="EXTRACT_MAX_INSTANCES less one for the sweep",
        budget_seconds=settings.extract_seconds,
        budget_names="EXTRACT_SECONDS",
    )
    _check_extract_memory(settings)
    for name, cpus, memory in (
        ("WEB", settings.web_cpu, settings.web_memory_gib),
        ("EXTRACT", settings.extract_cpu, settings.extract_memory_gib),
        ("WORKER", settings.worker_cpus, settings.worker_memory),
    ):
        _check_cpus(name, cpus, memory)
    if settings.gpu:
        cpus, memory = GPU_NEEDS[settings.worker_gpu]
        if settings.worker_cpus < cpus or settings.worker_memory < memory:
            raise ConfigError(f"{settings.worker_gpu} needs WORKER_CPU={cpus} and WORKER_MEMORY_GIB={memory} at least.")


def _check_queue(
    name: str,
    queue: QueueSettings,
    *,
    request_seconds: int,
    capacity: int,
    capacity_names: str,
    budget_seconds: int,
    budget_names: str,
) -> None:
    deadline = queue.dispatch_deadline_seconds
    if request_seconds < deadline:
        raise ConfigError(
            f"{name.upper()}_REQUEST_SECONDS={request_seconds} is below the queue's dispatchDeadline ({deadline:g} s): "
            "Cloud Run would cut off calls that the queue still waits for. Raise it."
        )
    if budget_seconds > deadline:
        raise ConfigError(
            f"{budget_names} = {budget_seconds} s is above the queue's dispatchDeadline ({deadline:g} s): the queue "
            "would deliver again while the first call still works. Lower it, or raise dispatchDeadline."
        )
    if capacity < queue.max_concurrent_dispatches:
        raise ConfigError(
            f"{capacity_names} = {capacity} is below the queue's maxConcurrentDispatches "
            f"({queue.max_concurrent_dispatches}): what is above is answered 429. Raise it, or lower deploy/queue.yaml."
        )


def _check_extract_memory(settings: DeploySettings) -> None:
    needed = settings.upload_max_bytes + settings.child_memory_bytes + EXTRACT_ROOM_BYTES
    if settings.extract_memory_gib * GIB < needed:
        raise ConfigError(
            f"EXTRACT_MEMORY_GIB={settings.extract_memory_gib} is too little: files are memory on Cloud Run, so "
            f"UPLOAD_MAX_BYTES + CHILD_MEMORY_BYTES + 512 MiB = {needed / GIB:.1f} GiB are needed. Raise it."
        )


def _check_cpus(name: str, cpus: int, memory_gib: int) -> None:
    """Cloud Run's rule: memory needs CPUs."""
    least = next((cpus for gib, cpus in ((4, 1), (8, 2), (16, 4), (24, 6), (32, 8)) if memory_gib <= gib), 20)
    if cpus < least:
        raise ConfigError(f"{name}_MEMORY_GIB={memory_gib} needs {name}_CPU={least} at least; it is {cpus}.")
