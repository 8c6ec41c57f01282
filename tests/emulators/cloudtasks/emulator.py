"""The emulator as a whole: a gRPC server, its queues, and the issuer of its tokens."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import grpc.aio

from libs.taskqueue.clock import Clock, SystemClock
from libs.taskqueue.queue_settings import QueueSettings
from tests.emulators.cloudtasks.faults import Faults
from tests.emulators.cloudtasks.issuer import Issuer
from tests.emulators.cloudtasks.lane import Lane
from tests.emulators.cloudtasks.push import Pusher
from tests.emulators.cloudtasks.service import Service

PROJECT, LOCATION = "emulated", "nowhere1"
PARENT = f"projects/{PROJECT}/locations/{LOCATION}"


class Emulator:
    """A running emulator: `host` is for `CLOUD_TASKS_EMULATOR_HOST`."""

    def __init__(self, *, host: str, service: Service, issuer: Issuer, faults: Faults) -> None:
        self.host = host
        self.issuer = issuer
        self.faults = faults
        self._service = service

    def lane(self, id: str) -> Lane:
        """A queue of `PARENT` by its short name."""
        return self._service.lanes[f"{PARENT}/queues/{id}"]


@asynccontextmanager
async def emulator(
    queues: Mapping[str, QueueSettings] | None = None,
    *,
    port: int = 0,
    clock: Clock | None = None,
    faults: Faults | None = None,
    issuer: Issuer | None = None,
    strips_signatures: bool = False,
) -> AsyncIterator[Emulator]:
    """An emulator on 127.0.0.1 with `queues`, by short name, in `PARENT`. Port 0: one that is free.

    `strips_signatures`: see `Pusher`.
    """
    clock, faults, issuer = clock or SystemClock(), faults or Faults(), issuer or Issuer()
    pusher = Pusher(clock, issuer, strips_signatures=strips_signatures)
    service = Service(pusher=pusher, clock=clock, faults=faults)
    # A second emulator on one port would take half of the calls: it is to fail instead.
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((service.handler(),))
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    for id, settings in (queues or {}).items():
        service.open_queue(f"{PARENT}/queues/{id}", settings)
    await server.start()
    try:
        yield Emulator(host=f"127.0.0.1:{port}", service=service, issuer=issuer, faults=faults)
    finally:
        await server.stop(None)
        for lane in service.lanes.values():
            await lane.stop()
        await pusher.close()
