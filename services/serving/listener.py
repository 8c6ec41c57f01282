"""The accept loop in place of asyncio's: never more connections than descriptors, and errors that do not spin.

Hypercorn takes its connections from asyncio's server, which has no limit. When the process has no descriptor left, that
server logs a traceback for each of a hundred attempts, and starts itself again as often.
"""

import asyncio
import socket
from collections.abc import Callable

import structlog

from services.serving.connections import TAKE_SECONDS, Connection, Connections, set_current

#: Seconds between attempts after `accept` has failed, and between two log lines about it (R71).
ACCEPT_PAUSE_SECONDS = 1.0
#: Seconds between two log lines that there are too many connections. Chosen: a line for each of a flood helps no one.
FULL_LOG_SECONDS = 10.0
#: Seconds between looks at clients that do not take their answers.
LOOK_SECONDS = 1.0

log = structlog.get_logger()


class SeldomLog:
    """An event that is logged at most every so many seconds, with how often it happened since."""

    def __init__(self, event: str, seconds: float) -> None:
        self._event = event
        self._seconds = seconds
        self._times = 0
        self._next = 0.0

    def warn(self, **fields: object) -> None:
        """It happened. `fields` belong to the line that may now be written."""
        self._times += 1
        now = asyncio.get_running_loop().time()
        if now >= self._next:
            log.warning(self._event, times=self._times, **fields)
            self._times, self._next = 0, now + self._seconds


class LimitedLoop(asyncio.SelectorEventLoop):
    """An event loop whose server is a `Listener`: this is where Hypercorn gets its server from."""

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self._connections = connections

    async def create_server(  # type: ignore[override]  # of the many arguments, those that Hypercorn gives
        self,
        protocol_factory: Callable[[], asyncio.Protocol],
        host: None = None,
        port: None = None,
        *,
        sock: socket.socket,
        backlog: int = 100,
        **no_tls: None,
    ) -> "Listener":
        """Listen at `sock`."""
        sock.listen(backlog)
        return Listener(sock, protocol_factory, self._connections)


class Listener:
    """Accepts connections while there is room, and makes room by ending those that can be done without.

    It has of `asyncio.Server` what Hypercorn uses.
    """

    def __init__(
        self, listening: socket.socket, factory: Callable[[], asyncio.Protocol], connections: Connections
    ) -> None:
        self._socket = listening
        self._factory = factory
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()
        self._failed = SeldomLog("accept_failed", ACCEPT_PAUSE_SECONDS)
        self._full = SeldomLog("connections_full", FULL_LOG_SECONDS)
        self._tasks = [self._loop.create_task(self._accept()), self._loop.create_task(self._watch())]

    def close(self) -> None:
        """Accept no more. Open connections go on."""
        for task in self._tasks:
            task.cancel()
        self._socket.close()

    async def wait_closed(self) -> None:
        """Return when nothing is accepted any more."""
        await asyncio.gather(*self._tasks, *self._opening, return_exceptions=True)

    async def _accept(self) -> None:
        while True:
            try:
                accepted, _ = await self._loop.sock_accept(self._socket)
            except ConnectionError:  # the client has left already
                continue
            except OSError as error:
                # The kernel reports the connection again and again as ready to be accepted.
                self._failed.warn(error=type(error).__name__, errno=error.errno)
                await asyncio.sleep(ACCEPT_PAUSE_SECONDS)
                continue
            await self._make_room()
            opening = self._loop.create_task(self._open(accepted))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)
            await asyncio.sleep(0)  # `sock_accept` does not wait while connections do

    async def _make_room(self) -> None:
        """Wait until one more connection has a place. Those that come meanwhile wait in the kernel's queue."""
        while len(self._connections) >= self._connections.most:
            if expendable := self._connections.expendable(self._loop.time()):
                self._full.warn(most=self._connections.most)
                self._connections.remove(expendable)
                expendable.abort()
            else:
                await self._connections.one_ended()

    async def _open(self, accepted: socket.socket) -> None:
        connection = self._connections.add(self._loop.time())
        set_current(connection)  # in this task's context, from which the server's tasks are started
        try:
            _end_when_dead(accepted)
            await self._loop.connect_accepted_socket(
                lambda: _Heard(self._factory(), connection, self._connections, self._loop), accepted
            )
        except OSError:
            self._connections.remove(connection)
            accepted.close()

    async def _watch(self) -> None:
        """End the connections of clients that do not take their answers. Hypercorn would wait for them for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            now = self._loop.time()
            for connection in self._connections:
                if connection.has_stopped_taking(now):
                    connection.abort()


def _end_when_dead(accepted: socket.socket) -> None:
    """Have the kernel end the connection when its client has acknowledged nothing for `TAKE_SECONDS`.

    A client that was switched off, or cut off, says nothing. What is sent to it, as the heartbeats of a stream, would
    otherwise be repeated for some 15 minutes. Linux only.
    """
    if (option := getattr(socket, "TCP_USER_TIMEOUT", None)) is not None:
        accepted.setsockopt(socket.IPPROTO_TCP, option, round(1000 * TAKE_SECONDS))


class _Heard(asyncio.Protocol):
    """Hypercorn's protocol, beside which a connection's bytes and its end are noted."""

    def __init__(
        self,
        inner: asyncio.Protocol,
        connection: Connection,
        connections: Connections,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._inner = inner
        self._connection = connection
        self._connections = connections
        self._loop = loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._inner.connection_made(transport)
        self._connection.open(transport)

    def data_received(self, data: bytes) -> None:
        self._connections.heard(self._connection, self._loop.time())
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.remove(self._connection)
        self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()
