"""OpenAI's chat completions protocol as many servers speak it: the request, and the answer as a stream of events.

Servers are not trusted: lines, answers and their number are bounded by what a page can need, and anything but the JSON
that the protocol describes is a `ProtocolError`. No I/O here.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from services.worker.engines.guard.repetition import ends_in_loop
from services.worker.engines.transcriber import Ending, Sampling, Transcript, Untranscribable

# Bounds on what a server may send, so that none can fill the memory. Chosen: several times what honest servers send.

#: Bytes of one line, which is one event of a stream.
MAX_LINE_BYTES = 1 << 20
# Bytes of an answer for each token allowed, and once per answer. An event is a few hundred bytes around each token;
# some servers repeat many fields in every one.
_BYTES_PER_TOKEN, _SPARE_BYTES = 4096, 1 << 20
# Characters of text for each token allowed. Tokens have about four on average, rows of spaces or dashes far more.
_CHARACTERS_PER_TOKEN = 64
# Pieces of text beyond the tokens allowed. A server that respects `max_tokens` ends by itself; others are cut off here.
_SPARE_TOKENS = 64

# Characters between two searches for a loop, and at the text's end that each search looks at: the longest loop has some
# 2,000 units, so eight characters for each.
_SEARCH_INTERVAL = 256
_SEARCH_TAIL = 16_384
# Servers send pieces of any length, so the text is cut anew into units of about a token.
_UNITS = re.compile(r"\s*(?:<[^<>]{1,60}>|\w{1,4}|[^\w\s])")

_ENDINGS = {
    "stop": Ending.STOP,
    "end_turn": Ending.STOP,
    "eos": Ending.STOP,
    "eos_token": Ending.STOP,
    "stop_sequence": Ending.STOP,
    "length": Ending.LENGTH,
    "max_tokens": Ending.LENGTH,
}


class ProtocolError(Exception):
    """The server's answer breaks the protocol; the message is the rest of a sentence "The server ..."."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of text (`delta`), or all of it."""

    content: str | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The model's answer, or the part of it in one event."""

    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """The server's count of tokens."""

    completion_tokens: int | None = None


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a stream, or the answer of a server that does not stream."""

    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    error: Any = None


class CompletionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to write down one page."""

    model: str
    prompt: str
    #: The page, a PNG or JPEG file.
    image: bytes
    sampling: Sampling
    #: Further fields, which the model's profile or the settings add.
    extra: Mapping[str, Any] = {}
    #: Whether the image stands before the prompt.
    image_first: bool = True

    def fields(self, *, without: frozenset[str]) -> dict[str, object]:
        """The JSON body, without the fields that the server does not know.

        Without `max_tokens`, its limit is sent as `max_completion_tokens`.
        """
        kind = "png" if self.image.startswith(b"\x89PNG") else "jpeg"
        url = f"data:image/{kind};base64,{base64.b64encode(self.image).decode()}"
        content: list[dict[str, object]] = [{"type": "image_url", "image_url": {"url": url}}]
        if self.prompt:
            content.insert(1 if self.image_first else 0, {"type": "text", "text": self.prompt})
        fields: dict[str, object] = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self.sampling.max_tokens,
            "temperature": self.sampling.temperature,
            "seed": self.sampling.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        fields = {**self.extra, **fields}
        if "max_tokens" in without:
            fields["max_completion_tokens"] = self.sampling.max_tokens
        return {name: value for name, value in fields.items() if name not in without}


_OPTIONAL_FIELDS = ("stream_options", "seed", "temperature")


class StreamedAnswer:
    """An answer while it arrives.

    `feed` and `close` raise `ProtocolError`, and `Untranscribable` where the server's content filter refuses the page.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._line = bytearray()
        self._bytes = 0
        self._is_document: bool | None = None  # one JSON document instead of a stream of events; None: not known yet
        self._pieces: list[str] = []
        self._characters = 0
        self._searched_at = 0
        self._token_count = 0
        self._finish_reason: str | None = None
        self._ending: Ending | None = None
        #: No more bytes are needed.
        self.done = False

    @property
    def characters(self) -> int:
        """Length of the text so far."""
        return self._characters

    @property
    def has_finish_reason(self) -> bool:
        """Whether the text is complete; only the count of its tokens may still arrive."""
        return self._finish_reason is not None

    def feed(self, data: bytes) -> None:
        """Take bytes as they arrive from the connection."""
        self._bytes += len(data)
        if self._bytes > self._max_tokens * _BYTES_PER_TOKEN + _SPARE_BYTES:
            raise ProtocolError("sends far more than a page can have")
        if self._is_document is None and (first := data.lstrip()):
            self._is_document = first.startswith(b"{")
        if self._is_document:
            self._line += data
            return
        for line in self._lines(data):
            self._event(line)
            if self.done:
                return

    def close(self) -> None:
        """Take the end of the body, where the server ended it in good order."""
        line = bytes(self._line)
        self._line.clear()
        if self._is_document:
            self._take(_chunk(line))
        elif line and not self.done:
            self._event(line)

    def transcript(self) -> Transcript:
        """The whole answer. Raises `ProtocolError` where it has no finish reason, or an unknown one."""
        ending = self._ending or (_ENDINGS.get(self._finish_reason) if self._finish_reason else None)
        if ending is None:
            fault = (
                "breaks off in the midst of an answer" if self._finish_reason is None else "ends for an unknown reason"
            )
            raise ProtocolError(fault)
        # JSON may split a character into two surrogates, in two events. One that stays alone becomes U+FFFD.
        text = "".join(self._pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return Transcript(text=text, ending=ending, tokens=self._token_count or len(self._pieces))

    def _lines(self, data: bytes) -> Iterator[bytes]:
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            yield bytes(self._line + data[start:end])
            self._line.clear()
            start = end + 1
        self._line += data[start:]
        if len(self._line) > MAX_LINE_BYTES:
            raise ProtocolError("sends a line without an end")

    def _event(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return  # a comment that keeps the connection open, or a field of no meaning here
        value = line[5:].strip()
        if value == b"[DONE]":
            self.done = True
        elif value:
            self._take(_chunk(value))

    def _take(self, chunk: Chunk) -> None:
        if chunk.error:
            raise ProtocolError("reports an error in the midst of an answer")
        if chunk.usage and chunk.usage.completion_tokens:
            self._token_count = max(0, min(chunk.usage.completion_tokens, self._max_tokens))
        for choice in chunk.choices[:1]:
            message = choice.delta or choice.message
            if message and message.content:
                self._write(message.content)
            self._finish_reason = choice.finish_reason or self._finish_reason
        if self._finish_reason == "content_filter":
            raise Untranscribable("The server's content filter refuses this page.")

    def _write(self, piece: str) -> None:
        self._pieces.append(piece)
        self._characters += len(piece)
        too_long = self._characters > _CHARACTERS_PER_TOKEN * self._max_tokens
        if too_long or (not self._is_document and len(self._pieces) > self._max_tokens + _SPARE_TOKENS):
            self._ending, self.done = Ending.LENGTH, True
        elif self._characters - self._searched_at >= _SEARCH_INTERVAL:
            self._searched_at = self._characters
            if ends_in_loop(_UNITS.findall(self._tail()), "".join):
                self._ending, self.done = Ending.LOOP, True

    def _tail(self) -> str:
        """The text's last characters; joining all pieces at each search would take quadratic time."""
        length, first = 0, len(self._pieces)
        while first and length < _SEARCH_TAIL:
            first -= 1
            length += len(self._pieces[first])
        return "".join(self._pieces[first:])[-_SEARCH_TAIL:]


def _chunk(value: bytes) -> Chunk:
    try:
        return msgspec.convert(json.loads(value.decode("utf-8", "replace")), Chunk)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("sends no answer of a chat completion") from error


def refused_field(body: bytes, extra: Mapping[str, Any]) -> str | None:
    """The field that the server names when it refuses a request; None where it names no field that can be left out.

    `extra` are the request's further fields, which can be left out too.
    """
    text = body.decode("utf-8", "replace")
    if "max_completion_tokens" in text:
        return "max_tokens"
    return next((name for name in (*_OPTIONAL_FIELDS, *extra) if name in text), None)


def models(body: bytes) -> tuple[str, ...]:
    """The models' names in the body of `GET /models`; none where the body is something else."""
    try:
        listed = json.loads(body.decode("utf-8", "replace"))
        return tuple(entry["id"] for entry in listed["data"] if isinstance(entry["id"], str))
    except (ValueError, RecursionError, LookupError, TypeError):
        return ()
