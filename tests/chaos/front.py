"""One address in front of the workers, as a cloud has it: each connection goes to a worker that takes it."""

import asyncio
import contextlib
from collections.abc import Callable


class Front:
    """`living` tells the ports of the workers that run. One that stands still still takes connections."""

    def __init__(self, port: int, living: Callable[[], list[int]]) -> None:
        self._port = port
        self._living = living
        self._open: dict[int, int] = {}

    async def serve(self) -> None:
        """Pass connections on until cancelled."""
        async with await asyncio.start_server(self._connected, "127.0.0.1", self._port) as server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            for port in sorted(self._living(), key=lambda port: self._open.get(port, 0)):
                try:
                    theirs = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    continue  # it is starting
                self._open[port] = self._open.get(port, 0) + 1
                try:
                    with contextlib.closing(theirs[1]):
                        await _joined((reader, writer), theirs)
                finally:
                    self._open[port] -= 1
                return


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _joined(ours: Stream, theirs: Stream) -> None:
    """Copy both ways until one side ends."""
    ways = {asyncio.create_task(_copy(ours[0], theirs[1])), asyncio.create_task(_copy(theirs[0], ours[1]))}
    _, going = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in going:
        way.cancel()
    await asyncio.gather(*ways, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
