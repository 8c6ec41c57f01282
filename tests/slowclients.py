"""Clients that hold connections: each sends little, slowly or nothing, in one of the ways in which that is possible."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator

#: Seconds between two bytes of a slow client.
PAUSE_SECONDS = 1.0
#: Seconds after which a client whose connection was closed comes again.
AGAIN_SECONDS = 5.0
#: Bytes that a slow body announces.
LENGTH = 1000

_HEAD = "{} HTTP/1.1\r\nHost: localhost\r\n"
_BODY = _HEAD + f"Content-Length: {LENGTH}\r\n"
_FORM = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n%PDF-1.7\n'

#: What each kind sends at once, and whether it goes on byte by byte.
KINDS: dict[str, tuple[bytes, bool]] = {
    "idle TCP": (b"", False),
    "slow head": ((_HEAD.format("GET /health") + "X-Slow: ").encode(), True),
    "slow JSON": ((_BODY.format("POST /api/direct-uploads") + "\r\n{").encode(), True),
    "slow multipart": (
        (_BODY.format("POST /upload") + "Content-Type: multipart/form-data; boundary=b\r\n\r\n" + _FORM).encode(),
        True,
    ),
    "slow tus, bad token": (
        (
            _BODY.format("PATCH /api/uploads/" + "0" * 32) + "Tus-Resumable: 1.0.0\r\nAuthorization: Bearer no\r\n\r\n"
        ).encode(),
        True,
    ),
    # The preface of RFC 9113, section 3.4: a line that no server of HTTP/1.1 takes, and empty settings.
    "idle HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0", False),
}


class SlowClients:
    """So many clients, of all kinds in turn."""

    def __init__(self, port: int, count: int, *, again: bool, within_seconds: float = 0.0) -> None:
        """They come `within_seconds`. `again`: a client whose connection was closed makes a new one."""
        self._port = port
        self._again = again
        self._between = within_seconds / max(1, count)
        kinds = list(KINDS)
        self._clients = [kinds[number % len(kinds)] for number in range(count)]
        #: Connections that the service has closed, by kind.
        self.closed: Counter[str] = Counter()
        #: Connections that are open now.
        self.open = 0

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[list["asyncio.Task[None]"]]:
        """The clients' tasks, which end when the service has closed their connections, or with the block."""
        tasks = [
            asyncio.create_task(self._hold(kind, number * self._between)) for number, kind in enumerate(self._clients)
        ]
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _hold(self, kind: str, wait: float) -> None:
        await asyncio.sleep(wait)
        while True:
            with contextlib.suppress(OSError):
                await self._hold_once(*KINDS[kind])
                self.closed[kind] += 1
                if not self._again:
                    return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _hold_once(self, begin: bytes, goes_on: bool) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        self.open += 1
        ended = asyncio.create_task(_read_to_end(reader))
        try:
            writer.write(begin)
            while goes_on and not ended.done():
                await asyncio.wait([ended], timeout=PAUSE_SECONDS)
                writer.write(b"x")
            await ended
        finally:
            self.open -= 1
            ended.cancel()
            writer.close()


async def _read_to_end(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1 << 16):
            pass
