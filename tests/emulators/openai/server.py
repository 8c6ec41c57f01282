"""The server: connections on a socket of its own, in a thread of its own."""

import asyncio
import base64
import io
import json
import threading
from types import TracebackType
from typing import Any, Self

from PIL import Image

from tests.emulators.openai.manners import Asked, Manner, Wire, stream

MODEL = "emulated-vision"


class Emulator:
    """`with Emulator() as server:` serves at `server.url` until the block ends.

    `manners` are used up one a request; when none are left, `manner` is how the others are answered. With a `limit`,
    requests beyond so many at once are answered by `refusal`. `asked` are the requests so far, `most_at_once` is how
    many of them were open together. `models` are those that it lists, or the status that it refuses to list them with.
    """

    def __init__(self, *, manner: Manner = stream, key: str = "", port: int = 0) -> None:
        self.manner = manner
        self.manners: list[Manner] = []
        self.models: list[str] | int = [MODEL]
        self.asked: list[Asked] = []
        self.at_once = 0
        self.most_at_once = 0
        self.limit: int | None = None
        self.refusal: Manner = stream
        self._key = key
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="openai-emulator", daemon=True)

    @property
    def url(self) -> str:
        """What `OPENAI_BASE_URL` is to be."""
        return f"http://127.0.0.1:{self._port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        tasks: set[asyncio.Task[None]] = set()

        def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._connection(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(connected, "127.0.0.1", self._port, limit=1 << 26)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._ended.wait()
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
        await asyncio.sleep(0)  # a socket is closed a turn of the loop after its transport

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                method, path, _ = lines[0].split(" ")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                await self._answer(method, path, headers, body, Wire(writer))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort()

    async def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes, wire: Wire) -> None:
        if self._key and headers.get("authorization") != f"Bearer {self._key}":
            await _small(wire, 401, {"error": {"message": f"Wrong key {headers.get('authorization')}"}})
        elif (method, path) == ("GET", "/v1/models") and isinstance(self.models, list):
            listed = [{"id": name, "object": "model"} for name in self.models]
            await _small(wire, 200, {"object": "list", "data": listed})
        elif (method, path) == ("GET", "/v1/models") and isinstance(self.models, int):
            await _small(wire, self.models, "a fault of its own")
        elif (method, path) == ("POST", "/v1/chat/completions"):
            await self._complete(_asked(json.loads(body), headers), wire)
        else:
            await _small(wire, 404, {"error": {"message": "Not found"}})

    async def _complete(self, asked: Asked, wire: Wire) -> None:
        self.asked.append(asked)
        self.at_once += 1
        try:
            self.most_at_once = max(self.most_at_once, self.at_once)
            manner = self.manners.pop(0) if self.manners else self.manner
            if self.limit is not None and self.at_once > self.limit:
                manner = self.refusal
            await manner(asked, wire)
        finally:
            self.at_once -= 1


async def _small(wire: Wire, status: int, value: object) -> None:
    body = json.dumps(value).encode()
    await wire.head(status, b"Content-Type: application/json\r\n", b"Content-Length: %d\r\n" % len(body))
    await wire.raw(body)


def _asked(fields: dict[str, Any], headers: dict[str, str]) -> Asked:
    """The request; it has to be as the protocol says."""
    (message,) = fields["messages"]
    parts = {part["type"]: part for part in message["content"]}
    assert parts["text"]["text"]
    assert message["role"] == "user"
    head, _, data = parts["image_url"]["image_url"]["url"].partition(",")
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
        assert head == f"data:image/{str(image.format).lower()};base64"
        return Asked(fields=fields, headers=headers, format=str(image.format), width=image.width, height=image.height)
