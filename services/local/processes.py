"""Web and worker as processes of this machine: their commands, their environment and their ports."""

import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from libs.taskqueue.queue_settings import SHIPPED_QUEUE_FILE
from services.serving.supervisor import Service

# Days after which a private service deletes what an interrupted command never came back for. Chosen.
_KEPT_DAYS = 7


def services(*, web_port: int, worker_port: int) -> tuple[Service, Service]:
    """The two services, web first."""
    return (
        Service(
            name="web",
            command=module("services.web"),
            ready_url=f"http://127.0.0.1:{web_port}/ready",
            health_url=f"http://127.0.0.1:{web_port}/health",
        ),
        Service(
            name="worker",
            command=module("services.worker"),
            ready_url=f"http://127.0.0.1:{worker_port}/ready",
            health_url=f"http://127.0.0.1:{worker_port}/health",
        ),
    )


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs the module of this installation.

    Python looks for modules in the working directory only where this process does: a folder of documents may hold
    anything.
    """
    looks_here = sys.path[0] in ("", str(Path.cwd()))
    return (sys.executable, *(() if looks_here else ("-P",)), "-m", name, *arguments)


def environment(environ: Mapping[str, str], *, web_port: int, worker_port: int) -> dict[str, str]:
    """The environment of both services. The queue file is found from any working directory."""
    return {
        "QUEUE_FILE": str(SHIPPED_QUEUE_FILE),
        **environ,
        "WEB_PORT": str(web_port),
        "WORKER_PORT": str(worker_port),
    }


def private_environment(
    environ: Mapping[str, str], *, web_port: int, worker_port: int, storage: Path
) -> dict[str, str]:
    """The environment of services that serve one command only and share nothing with another Gnosis."""
    elsewhere = {"WORKER_URL", "EXTRACT_URL", "QUEUE_URL", "WEB_HOST", "WORKER_HOST", "INTERNAL_TOKEN"}
    # Their one user is the person who runs the command: no proof of identity is asked for, and nothing is rationed.
    proofs = {"IAP_AUDIENCE", "GOOGLE_AUDIENCE", "API_KEYS", "WEB_ROUTES"}
    quotas = {"PAGES_PER_DAY_PER_USER", "REQUESTS_PER_MINUTE_PER_USER", "ACTIVE_JOBS_PER_USER", "RETENTION_DAYS"}
    kept = {name: value for name, value in environ.items() if name not in elsewhere | proofs | quotas}
    return environment(kept, web_port=web_port, worker_port=worker_port) | {
        "STORAGE_PATH": str(storage),
        "RETENTION_DAYS": str(_KEPT_DAYS),
    }


def is_free(port: int) -> bool:
    """Whether a server could listen on the port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As servers do, so that connections still closing after a restart do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Different ports of 127.0.0.1 on which nothing listens now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
