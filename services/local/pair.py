"""Web and worker as programs on this machine."""

import sys
from collections.abc import Mapping
from pathlib import Path

from services.local.supervisor import Service

_QUEUE_FILE = Path(__file__).resolve().parents[2] / "deploy" / "queue.yaml"


def services(*, web_port: int, worker_port: int) -> tuple[Service, Service]:
    """The two services, web first."""
    return (
        Service(
            name="web",
            command=(sys.executable, "-m", "services.web"),
            ready_url=f"http://127.0.0.1:{web_port}/ready",
        ),
        Service(
            name="worker",
            command=(sys.executable, "-m", "services.worker"),
            ready_url=f"http://127.0.0.1:{worker_port}/ready",
        ),
    )


def environment(environ: Mapping[str, str], *, web_port: int, worker_port: int) -> dict[str, str]:
    """What both services see. The queue file is found from any working directory."""
    return {
        "QUEUE_FILE": str(_QUEUE_FILE),
        **environ,
        "WEB_PORT": str(web_port),
        "WORKER_PORT": str(worker_port),
    }


def private_environment(
    environ: Mapping[str, str], *, web_port: int, worker_port: int, storage: Path
) -> dict[str, str]:
    """For a pair that serves one command: nothing of it is found by, or shared with, another Gnosis."""
    elsewhere = {"WORKER_URL", "EXTRACT_URL", "QUEUE_URL", "WEB_HOST", "WORKER_HOST", "INTERNAL_TOKEN"}
    # Nor does it ask who its one user is.
    proofs = {"IAP_AUDIENCE", "GOOGLE_AUDIENCE", "API_KEYS", "WEB_ROUTES"}
    kept = {name: value for name, value in environ.items() if name not in elsewhere | proofs}
    return environment(kept, web_port=web_port, worker_port=worker_port) | {"STORAGE_PATH": str(storage)}
