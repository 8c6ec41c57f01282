"""What an image runs: one service, and around it the supervisor that `make run` has too.

    python -m services.serving.entrypoint web

Docker starts a container again only when its process ends. A service that hangs does not end, so this process asks it
for `/health`, kills it when it is silent for `LIVENESS_SECONDS`, and starts it anew. On Cloud Run, which has probes of
its own, and with `LIVENESS_SECONDS=0` the service takes the place of this process.
"""

import asyncio
import os
import signal
import sys
from typing import Annotated, Literal

from msgspec import Meta

from libs.config import ConfigError, Settings, read
from services.serving.settings import Port
from services.serving.supervisor import CONFIGURATION_ERROR, Service, Supervisor, Timings

# Addresses on which a server listens on every interface: it is asked on the loopback one.
_EVERY_INTERFACE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - compared with, not bound to


class EntrypointSettings(Settings, frozen=True, kw_only=True):
    """Each field is the environment variable of the same name in capitals; `.env.example` describes them."""

    web_host: str = "127.0.0.1"
    web_port: Port = 7799
    worker_host: str = "127.0.0.1"
    worker_port: Port = 7800
    liveness_seconds: Annotated[float, Meta(ge=0)] = 30.0
    k_service: str = ""

    @property
    def supervised(self) -> bool:
        """Whether this process stays, because nothing else restarts a service that hangs."""
        return self.liveness_seconds > 0 and not self.k_service

    def service(self, name: Literal["web", "worker"]) -> Service:
        """The service of this name."""
        host, port = (self.web_host, self.web_port) if name == "web" else (self.worker_host, self.worker_port)
        host = _EVERY_INTERFACE.get(host, f"[{host}]" if ":" in host else host)
        return Service(
            name=name,
            command=(sys.executable, "-m", f"services.{name}"),
            ready_url=f"http://{host}:{port}/ready",
            health_url=f"http://{host}:{port}/health",
        )


def main(arguments: list[str]) -> int:
    """Run the service; the exit code: 0 after a stop signal, 1 if it cannot stay up, 2 for a wrong setting."""
    match arguments:
        case ["web" | "worker" as name]:
            pass
        case _:
            _say("name one service: web or worker")
            return CONFIGURATION_ERROR
    try:
        settings = read(EntrypointSettings, os.environ)
    except ConfigError as error:
        _say(str(error))
        return CONFIGURATION_ERROR
    service = settings.service(name)
    if not settings.supervised:
        os.execv(service.command[0], service.command)  # noqa: S606 - a fixed command
    return asyncio.run(_keep(service, Timings.by_liveness(settings.liveness_seconds)))


async def _keep(service: Service, timings: Timings) -> int:
    """Keep the service until SIGTERM or SIGINT, or until it cannot stay up."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with Supervisor([service], os.environ, say=_say, timings=timings) as supervisor:
        stopped = asyncio.create_task(stop.wait())
        failed = asyncio.create_task(supervisor.given_up())
        await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
        code = failed.result() if failed.done() else 0
        stopped.cancel()
        failed.cancel()
    return code


def _say(line: str) -> None:
    print(f"gnosis-ocr: {line}", file=sys.stderr, flush=True)  # noqa: T201 - its log, beside the service's own


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
