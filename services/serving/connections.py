"""The open connections of a service: what each waits for, and which of them ends first where there are too many."""

import asyncio
import contextlib
import resource
from collections.abc import Iterator
from contextvars import ContextVar
from enum import Enum, auto

#: Descriptors that are kept for everything but connections and their files. Measured: web has 9 open at rest and 21
#: while it renders a document, the worker 10 and 17; the rest is for more children and for what the libraries open.
RESERVED_DESCRIPTORS = 64
#: Descriptors of one connection: its socket, and the file that is sent or stored by it.
DESCRIPTORS_EACH = 2
#: Connections that are served however low the process's limit is. Chosen: a few users and the service's own calls.
LEAST_CONNECTIONS = 8
#: Seconds for which a client that owes something must have been silent before it counts as slow. Chosen: longer than
#: the round trip of any line, so that a request that is just arriving, or an upload under way, is not cut off.
SILENT_SECONDS = 1.0
#: Seconds in which a client has to take the rest of its answer once the connection is being closed. Chosen: as long as
#: it may send on after a refusal.
LINGER_SECONDS = 5.0
#: Seconds in which a client has to take something of an answer. Chosen: as `UPLOAD_STALL_SECONDS` for the other way.
TAKE_SECONDS = 60.0


def most_connections(asked: int) -> int:
    """How many connections fit: `asked`, or fewer where the process may open too few files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return asked
    return max(LEAST_CONNECTIONS, min(asked, (soft - RESERVED_DESCRIPTORS) // DESCRIPTORS_EACH))


class Wait(Enum):
    """What a client owes, in the order in which its connection can be done without."""

    #: The head of its first request.
    FIRST_REQUEST = auto()
    #: The head of another request.
    NEXT_REQUEST = auto()
    #: The rest of a body.
    BODY = auto()


class Connection:
    """One connection and its requests. `Connections` makes it."""

    def __init__(self, connections: "Connections", now: float) -> None:
        self._connections = connections
        self._requests = self._awaited = 0
        self._served = False
        self._untaken, self._taken_at = 0, now
        self._is_aborted = False
        self._transport: asyncio.Transport | None = None
        #: When its last bytes arrived, by the loop's clock.
        self.heard_at = now

    @property
    def wait(self) -> "Wait | None":
        """What the client owes; `None` while the service is at work on a request of it."""
        if self._requests == 0:
            return Wait.NEXT_REQUEST if self._served else Wait.FIRST_REQUEST
        return Wait.BODY if self._requests == self._awaited else None

    @contextlib.contextmanager
    def request(self) -> Iterator[None]:
        """A request is in progress during the block."""
        self._requests += 1
        self._connections.place(self)
        try:
            yield
        finally:
            self._requests -= 1
            self._served = True
            self._connections.place(self)

    @contextlib.contextmanager
    def awaited(self) -> Iterator[None]:
        """A request waits for more of its body during the block."""
        self._awaited += 1
        self._connections.place(self)
        try:
            yield
        finally:
            self._awaited -= 1
            self._connections.place(self)

    def open(self, transport: asyncio.Transport) -> None:
        """It has its transport."""
        self._transport = transport
        if self._is_aborted:
            transport.abort()

    def abort(self) -> None:
        """End it at once: its requests are cut off."""
        self._is_aborted = True
        if self._transport is not None:
            self._transport.abort()

    def has_stopped_taking(self, now: float) -> bool:
        """Whether the client has taken nothing for too long of what it was sent. Called every second or so."""
        if self._transport is None:
            return False
        untaken = self._transport.get_write_buffer_size()
        if untaken == 0 or untaken != self._untaken:
            self._untaken, self._taken_at = untaken, now
        return now - self._taken_at > (LINGER_SECONDS if self._transport.is_closing() else TAKE_SECONDS)


class Connections:
    """All connections, in the order in which they can be done without."""

    def __init__(self, most: int) -> None:
        #: How many there may be.
        self.most = most
        self._all: set[Connection] = set()
        # Those that wait for their client, each group by the time of its last bytes.
        self._waiting: dict[Wait, dict[Connection, None]] = {wait: {} for wait in Wait}
        self._ended = asyncio.Event()

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Connection]:
        return iter(tuple(self._all))

    def add(self, now: float) -> Connection:
        """A new connection."""
        connection = Connection(self, now)
        self._all.add(connection)
        self.place(connection)
        return connection

    def heard(self, connection: Connection, now: float) -> None:
        """Bytes have arrived: of those that wait, it is the last to be done without."""
        connection.heard_at = now
        if (wait := connection.wait) is not None and connection in (group := self._waiting[wait]):
            del group[connection]
            group[connection] = None

    def place(self, connection: Connection) -> None:
        """Call it when the connection's state has changed."""
        if connection not in self._all:
            return
        for wait, group in self._waiting.items():
            if wait is not connection.wait:
                group.pop(connection, None)
            elif connection not in group:
                group[connection] = None

    def remove(self, connection: Connection) -> None:
        """The connection has ended."""
        self._all.discard(connection)
        for group in self._waiting.values():
            group.pop(connection, None)
        self._ended.set()

    def expendable(self, now: float) -> Connection | None:
        """The connection to end for a new one; `None` while the service is at work for each.

        Of those that are silent, one without any request first: uploads under way and clients that come again and again
        outlast those that only hold connections. Where none is silent, the one that was heard the longest ago.
        """
        oldest = [next(iter(group)) for group in self._waiting.values() if group]
        silent = [connection for connection in oldest if now - connection.heard_at > SILENT_SECONDS]
        return next(iter(silent), None) or min(oldest, key=lambda connection: connection.heard_at, default=None)

    async def one_ended(self) -> None:
        """Wait for the next connection to end."""
        self._ended.clear()
        await self._ended.wait()


_current: ContextVar[Connection] = ContextVar("connection")


def current() -> Connection | None:
    """The connection of the request that is served here; `None` outside a server."""
    return _current.get(None)


def set_current(connection: Connection) -> None:
    """What is started from here on serves this connection."""
    _current.set(connection)
