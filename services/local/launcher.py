"""`run`: both services on this machine until Ctrl-C."""

import asyncio
from collections.abc import Mapping

from gnosis_ocr import AsyncClient
from services.local import processes
from services.local.config import LocalConfig
from services.local.terminal import Interrupts, say
from services.serving.supervisor import Supervisor, Timings


async def run(config: LocalConfig, environ: Mapping[str, str]) -> int:
    """Run web and worker; the exit code: 0 after Ctrl-C, 1 if a service cannot stay up, 2 for a wrong setting."""
    for variable, port in (("WEB_PORT", config.web_port), ("WORKER_PORT", config.worker_port)):
        if not processes.is_free(port):
            say(await _taken(variable, port))
            return 2
    services = processes.services(web_port=config.web_port, worker_port=config.worker_port)
    environ = processes.environment(environ, web_port=config.web_port, worker_port=config.worker_port)
    interrupts = Interrupts()
    timings = Timings.by_liveness(config.liveness_seconds)
    supervisor = Supervisor(services, environ, say=say, timings=timings, kill_now=interrupts.at_once)
    return await keep(supervisor, f"Gnosis OCR is ready: http://127.0.0.1:{config.web_port}", interrupts)


async def keep(supervisor: Supervisor, greeting: str, interrupts: Interrupts) -> int:
    """Print `greeting` when the services are ready, and keep them until a signal or until one cannot stay up.

    The exit code: 0 after a signal, else the supervisor's.
    """
    async with supervisor, asyncio.TaskGroup() as group:
        stopped = group.create_task(interrupts.stop.wait())
        failed = group.create_task(supervisor.given_up())
        ready = group.create_task(supervisor.ready())
        await asyncio.wait({stopped, failed, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done() and not failed.done():
            print(greeting, flush=True)
            await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
        code = failed.result() if failed.done() else 0
        if stopped.done():
            say("stopping (Ctrl-C again ends it at once)")
        for task in (stopped, failed, ready):
            task.cancel()
    return code


async def _taken(variable: str, port: int) -> str:
    async with AsyncClient(f"http://127.0.0.1:{port}") as client:
        if await client.is_gnosis():
            return f"Gnosis OCR is already running: http://127.0.0.1:{port}"
    return f"port {port} is already in use: stop the other program, or choose another port with {variable}=..."
