"""Servers on this machine that answer as they are told, and count who came."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Server:
    """Answers every request with the next of its answers; counts connections, keeps what they sent."""

    def __init__(self, *answers: str | bytes) -> None:
        self.connections = 0
        self.received: list[bytes] = []
        self.port = 0
        self._answers = list(answers)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.received.append(await reader.read(65536))
        answer = self._answers.pop(0) if self._answers else "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        writer.write(answer.encode() if isinstance(answer, str) else answer)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def serving(*answers: str | bytes, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Server]:
    server = Server(*answers)
    async with await asyncio.start_server(server.handle, host, port) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server
