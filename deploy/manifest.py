"""The services' manifests: `deploy/cloudrun/*.yaml`, with a deployment's values for their `${PLACES}`."""

import json
import string
from pathlib import Path

from deploy.settings import DeploySettings

FOLDER = Path(__file__).parent / "cloudrun"
# The cache's default place in the cloud (R51).
MODEL_MOUNT = {"name": "models", "mountPath": "/cache/huggingface", "readOnly": True}


def web(settings: DeploySettings) -> str:
    """The public service."""
    return _fill("web.yaml", settings)


def extract(settings: DeploySettings) -> str:
    """The private service that renders pages and sweeps: the same image as web."""
    return _fill("extract.yaml", settings)


def worker(settings: DeploySettings) -> str:
    """The private service that reads pages."""
    return _fill("worker.yaml" if settings.gpu else "worker-cpu.yaml", settings)


def values(settings: DeploySettings) -> dict[str, str]:
    """The value of each place."""
    number, region = settings.project_number, settings.region
    by_iap = settings.identity == "iap"
    iap_audience = f"/projects/{number}/locations/{region}/services/{settings.web_service}"
    return {
        "PROJECT": settings.project,
        "REGION": region,
        "BUCKET": settings.bucket,
        "STATE_BUCKET": settings.state_bucket,
        "MODEL_BUCKET": settings.model_bucket,
        "MODEL_NAME": settings.model_name,
        "MODEL_REVISION": settings.chosen_revision,
        # Only with the source "bucket" does an instance fetch the model; a mount or an image has to be complete.
        "MODEL_OFFLINE": str(settings.model_source != "bucket").lower(),
        "MODEL_MOUNTS": json.dumps([MODEL_MOUNT] if settings.model_source == "mount" else []),
        "MODEL_VOLUMES": json.dumps([_model_volume(settings)] if settings.model_source == "mount" else []),
        "TOKEN_SECRET": settings.token_secret,
        "OPERATOR_SECRET": settings.operator_secret,
        "LOG_LEVEL": settings.log_level,
        "WEB_SERVICE": settings.web_service,
        "WEB_IMAGE": settings.image("web"),
        "WEB_ACCOUNT": settings.account(settings.web_account),
        "WEB_CPU": str(settings.web_cpu),
        "WEB_MEMORY_GIB": str(settings.web_memory_gib),
        "WEB_CONCURRENCY": str(settings.web_concurrency),
        "WEB_MIN_INSTANCES": str(settings.web_min_instances),
        "WEB_MAX_INSTANCES": str(settings.web_max_instances),
        "WEB_REQUEST_SECONDS": str(settings.web_request_seconds),
        # Without IAP, HTTP/2 carries uploads of more than 32 MiB; with IAP the protocol stays HTTP/1.
        "WEB_PORT_NAME": "http1" if by_iap else "h2c",
        "IAP_ENABLED": str(by_iap).lower(),
        "IAP_AUDIENCE": iap_audience if by_iap else "",
        "GOOGLE_AUDIENCE": settings.google_audience,
        "ALLOWED_DOMAINS": settings.allowed_domains,
        "API_KEYS": str(settings.identity == "keys").lower(),
        "UPLOAD_MAX_BYTES": str(settings.upload_max_bytes),
        "CHILD_MEMORY_BYTES": str(settings.child_memory_bytes),
        "OCR_BATCH_SIZE": str(settings.ocr_batch_size),
        "EXTRACT_SERVICE": settings.extract_service,
        "EXTRACT_ACCOUNT": settings.account(settings.extract_account),
        "EXTRACT_URL": settings.url(settings.extract_service),
        "EXTRACT_CPU": str(settings.extract_cpu),
        "EXTRACT_MEMORY_GIB": str(settings.extract_memory_gib),
        "EXTRACT_MAX_INSTANCES": str(settings.extract_max_instances),
        "EXTRACT_REQUEST_SECONDS": str(settings.extract_request_seconds),
        "EXTRACT_SECONDS": str(settings.extract_seconds),
        "TASKS_ACCOUNT": settings.account(settings.tasks_account),
        "WORKER_SERVICE": settings.worker_service,
        "WORKER_URL": settings.url(settings.worker_service),
        "WORKER_IMAGE": settings.image("worker-gpu" if settings.gpu else "worker"),
        "WORKER_ACCOUNT": settings.account(settings.worker_account),
        "WORKER_CPU": str(settings.worker_cpus),
        "WORKER_MEMORY_GIB": str(settings.worker_memory),
        "WORKER_GPU": settings.worker_gpu,
        "WORKER_CONCURRENCY": str(settings.worker_concurrency),
        "WORKER_MIN_INSTANCES": str(settings.worker_min_instances),
        "WORKER_MAX_INSTANCES": str(settings.worker_max_instances),
        "WORKER_REQUEST_SECONDS": str(settings.worker_request_seconds),
        "WORKER_STARTUP_PATH": settings.worker_startup_path,
        "PAGE_SECONDS": str(settings.page_limit_seconds),
        "BATCH_SECONDS": str(settings.batch_seconds),
    }


def _model_volume(settings: DeploySettings) -> dict[str, object]:
    """The bucket of models by Cloud Storage FUSE."""
    attributes = {"bucketName": settings.model_bucket, "mountOptions": "implicit-dirs"}
    return {
        "name": MODEL_MOUNT["name"],
        "csi": {"driver": "gcsfuse.run.googleapis.com", "readOnly": True, "volumeAttributes": attributes},
    }


def _fill(name: str, settings: DeploySettings) -> str:
    return string.Template((FOLDER / name).read_text("utf-8")).substitute(values(settings))
