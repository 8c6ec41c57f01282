"""The emulator as a server: Hypercorn's connections, on a socket of its own, in a thread of its own."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from types import TracebackType
from typing import cast

from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework, ConnectionState, LifespanState

from tests.emulators.gcs.bucket import Bucket
from tests.emulators.gcs.faults import Faults
from tests.emulators.gcs.service import Service
from tests.emulators.gcs.weather import Weather

GRACE_SECONDS = 5.0

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Emulator:
    """`with Emulator() as emulator:` serves at `emulator.url` until the block ends.

    Connections are handed to Hypercorn one by one, so that a fault can break the very one that it befalls.
    """

    def __init__(self, *, port: int = 0, seed: int = 0) -> None:
        self.service = Service()
        self.faults = Faults(seed=seed)
        self.connections = 0
        # The protocol is named because asyncio sends small answers at once (TCP_NODELAY) only on such a socket.
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen()
        self._connections: dict[tuple[str, int], asyncio.StreamWriter] = {}
        # All there ever were, longer than Hypercorn cares for them: one that is closing may still hold what nobody
        # fetched, and one that waits for its reader is known to nobody else and would be collected.
        self._transports: set[asyncio.WriteTransport] = set()
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="gcs-emulator", daemon=True)

    @property
    def url(self) -> str:
        """What `STORAGE_EMULATOR_HOST` is to be."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def open_uploads(self) -> int:
        """Resumable uploads that are neither ended nor cancelled."""
        return sum(session.is_open for session in list(self.service.sessions.values()))

    def make_bucket(self, name: str, *, paced: bool = False, clock: Callable[[], float] | None = None) -> Bucket:
        """A new bucket; `paced` grants each object one write a second."""
        bucket = Bucket(name, paced=paced, clock=clock) if clock else Bucket(name, paced=paced)
        self.service.buckets[name] = bucket
        return bucket

    def __enter__(self) -> "Emulator":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def wait(self) -> None:
        """Serve until the thread ends."""
        self._thread.join()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._accept())
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _accept(self) -> None:
        config = Config()
        config.keep_alive_timeout = 60
        app = ASGIWrapper(cast(ASGIFramework, Weather(self.service, self.faults, self._cut)))
        context = WorkerContext(None)

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            peer = writer.get_extra_info("peername")
            self._connections[peer] = writer
            self._transports.add(writer.transport)
            self.connections += 1
            try:
                await TCPServer(
                    app, self._loop, config, context, ConnectionState(LifespanState({})), reader, writer
                ).run()
            finally:
                # The client may have got the same port again meanwhile.
                if self._connections.get(peer) is writer:
                    del self._connections[peer]

        server = await asyncio.start_server(connected, sock=self._listener)
        await self._ended.wait()
        # First no more connections, and then a moment for those just accepted: a server that is closed while asyncio
        # makes the transport of one loses its socket without closing it.
        self._loop.remove_reader(self._listener)
        for _ in range(3):
            await asyncio.sleep(0)
        server.close()
        await context.terminated.set()
        # Until nothing runs: a connection may just be on its way in, and an answer to a broken one on its way out.
        end = self._loop.time() + GRACE_SECONDS
        while True:
            self._abort_all()
            # First: a connection that was accepted in this very moment has no task yet.
            await asyncio.sleep(0.01)
            others = asyncio.all_tasks() - {asyncio.current_task()}
            if not others or self._loop.time() > end:
                break
            await asyncio.wait(others, timeout=0.05)
        self._abort_all()
        await asyncio.sleep(0.01)

    def _abort_all(self) -> None:
        for transport in list(self._transports):
            transport.abort()

    def _cut(self, peer: tuple[str, int], hard: bool) -> None:
        writer = self._connections.get(tuple(peer))  # type: ignore[arg-type]
        if writer is None:
            return
        if hard:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()
        else:
            writer.close()
