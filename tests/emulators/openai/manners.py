"""How the server behaves: each of these writes one answer to a chat completion."""

import asyncio
import gzip
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator

import msgspec

CHUNKED = b"Transfer-Encoding: chunked\r\n"
EVENTS = b"Content-Type: text/event-stream\r\n"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request: its fields, and the picture's format and size in pixels."""

    fields: dict[str, object]
    headers: dict[str, str]
    format: str
    width: int
    height: int

    @property
    def text(self) -> str:
        """What is read on the picture."""
        return f"# A page\n\nThe picture is {self.width} pixels wide and {self.height} high. ☑ Größe 😀\n"


class Wire:
    """The connection, as far as an answer needs it."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer

    async def head(self, status: int, *lines: bytes) -> None:
        """Status line and headers."""
        await self.raw(b"HTTP/1.1 %d Status\r\n" % status + b"".join(lines) + b"\r\n")

    async def raw(self, data: bytes) -> None:
        """Bytes, as they are. Raises `ConnectionError` when the client has gone."""
        self._writer.write(data)
        await self._writer.drain()
        if self._writer.is_closing():
            raise ConnectionResetError

    async def chunk(self, data: bytes) -> None:
        """A piece of a chunked body; an empty one is its end."""
        await self.raw(b"%x\r\n%s\r\n" % (len(data), data))

    async def events(self) -> None:
        """The head of a stream."""
        await self.head(200, EVENTS, CHUNKED)

    async def event(self, value: object) -> None:
        """One event."""
        await self.chunk(b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n")

    async def say(self, text: str | None, finish: str | None = None) -> None:
        """A piece of text."""
        await self.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]})

    async def done(self) -> None:
        """The end of a stream."""
        await self.event(b"[DONE]")
        await self.chunk(b"")


Manner = Callable[[Asked, Wire], Awaitable[None]]


def words(text: str) -> Iterator[str]:
    """The text in pieces as small as tokens."""
    for start in range(0, len(text), 4):
        yield text[start : start + 4]


async def stream(asked: Asked, wire: Wire) -> None:
    """As it should be."""
    await wire.events()
    await wire.event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]})
    for word in words(asked.text):
        await wire.say(word)
    await wire.say(None, "stop")
    await wire.event({"choices": [], "usage": {"completion_tokens": 17, "prompt_tokens": 1}})
    await wire.done()


async def whole(asked: Asked, wire: Wire) -> None:
    """In one piece, though a stream was asked for."""
    message = {"role": "assistant", "content": asked.text}
    answer = {
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"completion_tokens": 17},
    }
    body = json.dumps(answer).encode()
    await wire.head(200, b"Content-Type: application/json\r\n", b"Content-Length: %d\r\n" % len(body))
    await wire.raw(body)


async def undone(asked: Asked, wire: Wire) -> None:
    """Without `[DONE]`, and the count together with the reason, as `transformers serve` ends."""
    await wire.events()
    await wire.say(asked.text)
    usage = {"completion_tokens": 17, "prompt_tokens": 1}
    await wire.event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": usage})
    await wire.chunk(b"")


async def nameless(asked: Asked, wire: Wire) -> None:
    """Without a content type, in bytes that arrive one by one and cut characters in two."""
    await wire.head(200, CHUNKED)
    value = {"choices": [{"delta": {"content": asked.text}, "finish_reason": "stop"}]}
    for byte in b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\r\n\r\ndata: [DONE]\r\n\r\n":
        await wire.chunk(bytes([byte]))
    await wire.chunk(b"")


async def halves(asked: Asked, wire: Wire) -> None:
    """A character in two events, one half each; then a half alone."""
    await wire.events()
    for half in (asked.text, "\ud83d", "\ude00", "\udc00"):
        await wire.say(half)
    await wire.say("", "stop")
    await wire.done()


async def unfinished(asked: Asked, wire: Wire) -> None:
    """Never says why it ended."""
    await wire.events()
    await wire.say(asked.text)
    await wire.done()


async def cut(asked: Asked, wire: Wire) -> None:
    """The connection breaks."""
    await wire.events()
    await wire.say(asked.text)
    raise ConnectionAbortedError


async def closed(asked: Asked, wire: Wire) -> None:
    """The connection breaks before there is an answer."""
    raise ConnectionAbortedError


async def cut_off(asked: Asked, wire: Wire) -> None:
    """At the most tokens."""
    await wire.events()
    await wire.say(asked.text, "length")
    await wire.done()


async def filtered(asked: Asked, wire: Wire) -> None:
    """The page offends somebody."""
    await wire.events()
    await wire.say("", "content_filter")
    await wire.done()


async def looping(asked: Asked, wire: Wire) -> None:
    """The same words for ever."""
    await wire.events()
    while True:
        for word in words("The same sentence comes again. "):
            await wire.say(word)


async def endless(asked: Asked, wire: Wire) -> None:
    """New words for ever, more than it was allowed."""
    await wire.events()
    for number in itertools.count():
        await wire.say(f"{number * 7919 % 10007} ")


async def mistaken(asked: Asked, wire: Wire) -> None:
    """Fails in the midst."""
    await wire.events()
    await wire.say(asked.text)
    await wire.event({"error": {"message": "out of memory"}})
    await wire.done()


async def long_line(asked: Asked, wire: Wire) -> None:
    """A line that never ends."""
    await wire.events()
    await wire.chunk(b"data: ")
    while True:
        await wire.chunk(b"x" * 65536)


async def flood(asked: Asked, wire: Wire) -> None:
    """Comments as fast as they go."""
    await wire.events()
    while True:
        await wire.chunk(b": nothing\n" * 6000)


async def nonsense(asked: Asked, wire: Wire) -> None:
    """No JSON."""
    await wire.events()
    await wire.event(b"{nonsense")
    await wire.done()


async def deep(asked: Asked, wire: Wire) -> None:
    """JSON that would exhaust the stack."""
    await wire.events()
    await wire.event(b"[" * 200_000)
    await wire.done()


async def other_types(asked: Asked, wire: Wire) -> None:
    """JSON with other things in it than the protocol says."""
    await wire.events()
    await wire.event({"choices": [{"delta": {"content": [1, 2]}, "finish_reason": 7}]})
    await wire.done()


async def page_of_html(asked: Asked, wire: Wire) -> None:
    """A proxy's own idea of an answer."""
    body = b"<html>Sign in</html>"
    await wire.head(200, b"Content-Type: text/html\r\n", b"Content-Length: %d\r\n" % len(body))
    await wire.raw(body)


async def packed(asked: Asked, wire: Wire) -> None:
    """Small on the wire, and 20 MB when unpacked."""
    body = gzip.compress(b" " * 20_000_000, 1)
    await wire.head(200, EVENTS, b"Content-Encoding: gzip\r\n", b"Content-Length: %d\r\n" % len(body))
    await wire.raw(body)


async def silent(asked: Asked, wire: Wire) -> None:
    """Takes the request, and that is all."""
    await asyncio.Event().wait()


async def dripping(asked: Asked, wire: Wire) -> None:
    """Keeps the connection alive and says nothing."""
    await wire.events()
    while True:
        await wire.chunk(b": still here\n\n")
        await asyncio.sleep(0.02)


async def slow(asked: Asked, wire: Wire) -> None:
    """A word at a time, each in time, and never an end."""
    await wire.events()
    for number in itertools.count():
        await wire.say(f"word{number} ")
        await asyncio.sleep(0.05)


async def stalled(asked: Asked, wire: Wire) -> None:
    """Stops in the midst."""
    await wire.events()
    await wire.say("A word")
    await asyncio.Event().wait()


async def lingering(asked: Asked, wire: Wire) -> None:
    """Says why it ended, and keeps the connection open."""
    await wire.events()
    await wire.say(asked.text, "stop")
    await asyncio.Event().wait()


def refusing(status: int, said: str = "", *, retry_after: str = "") -> Manner:
    """A refusal, which quotes what it was sent, as some servers do."""

    async def refuse(asked: Asked, wire: Wire) -> None:
        quoted = asked.headers.get("authorization", "")
        body = json.dumps({"error": {"message": f"{said} {quoted}", "type": "refused"}}).encode()
        lines = [b"Content-Type: application/json\r\n", b"Content-Length: %d\r\n" % len(body)]
        if retry_after:
            lines.append(b"Retry-After: %s\r\n" % retry_after.encode())
        await wire.head(status, *lines)
        await wire.raw(body)

    return refuse
