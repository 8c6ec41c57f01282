"""The chat completions protocol of OpenAI, as many servers speak it: what is asked, and what comes back in pieces.

Nothing that a server sends is believed: no line, no answer and no count of them may be larger than a page can need, and
what is no JSON, or another JSON than expected, is a `BadAnswer`. No I/O here.
"""

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from services.worker.engines.guard.repetition import ends_in_loop
from services.worker.engines.transcriber import Ending, Sampling, Untranscribable

MAX_LINE = 1 << 20
# An event of a stream is a few hundred bytes around each token; some servers repeat much of themselves in every one.
_BYTES_A_TOKEN, _SPARE_BYTES = 4096, 1 << 20
_CHARACTERS_A_TOKEN = 64
# A server that heeds `max_tokens` ends by itself; this is for one that does not.
_SPARE_TOKENS = 64

_LOOK_EVERY = 256  # characters
_TAIL = 16_384  # characters: as many units as a loop may be long
# Servers cut their texts in pieces of their own, so the text is cut anew: into about as many pieces as tokens.
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


class BadAnswer(Exception):
    """The server answers something else than the protocol says; the message is the rest of "The server ..."."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an answer, or a whole one."""

    content: str | None = None


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The one answer, as far as it goes."""

    delta: Message | None = None
    message: Message | None = None
    finish_reason: str | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted."""

    completion_tokens: int | None = None


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a stream, or the answer of a server that does not stream."""

    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    error: Any = None


def request(model: str, prompt: str, image: bytes, sampling: Sampling, *, without: frozenset[str]) -> dict[str, object]:
    """What to send for a page whose picture is `image` (PNG or JPEG); fields named in `without` are left out.

    A server that does not know `max_tokens` gets `max_completion_tokens` in its place.
    """
    kind = "png" if image.startswith(b"\x89PNG") else "jpeg"
    url = f"data:image/{kind};base64,{base64.b64encode(image).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": prompt}]
    fields: dict[str, object] = {
        "model": model,
        "messages": [{"role": "user", "content": content}],
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "seed": sampling.seed,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if "max_tokens" in without:
        fields["max_completion_tokens"] = sampling.max_tokens
    return {name: value for name, value in fields.items() if name not in without}


_OPTIONAL = ("stream_options", "seed", "temperature")


class Answer:
    """An answer as it comes in. `feed` takes bytes as they arrive; `done` says that no more are needed.

    Both raise `BadAnswer`, and `Untranscribable` where the server refuses the page in the midst of it.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._line = bytearray()
        self._bytes = 0
        self._whole: bool | None = None  # a JSON document, and no stream of events
        self._pieces: list[str] = []
        self._characters = 0
        self._looked_at = 0
        self._counted = 0
        self._finish: str | None = None
        self._ending: Ending | None = None
        self.done = False

    @property
    def characters(self) -> int:
        """How much text there is."""
        return self._characters

    @property
    def complete(self) -> bool:
        """Whether it has said why it ended; only the count of its tokens may still come."""
        return self._finish is not None

    def feed(self, data: bytes) -> None:
        """Bytes as they came from the connection."""
        self._bytes += len(data)
        if self._bytes > self._max_tokens * _BYTES_A_TOKEN + _SPARE_BYTES:
            raise BadAnswer("sends far more than a page can have")
        if self._whole is None and (first := data.lstrip()):
            self._whole = first.startswith(b"{")
        if self._whole:
            self._line += data
            return
        for line in self._lines(data):
            self._event(line)
            if self.done:
                return

    def close(self) -> None:
        """The connection has ended in good order."""
        line = bytes(self._line)
        self._line.clear()
        if self._whole:
            self._take(_chunk(line))
        elif line and not self.done:
            self._event(line)

    def transcript(self) -> tuple[str, Ending, int]:
        """Text, why it ended, tokens. Raises `BadAnswer` where the answer has no end."""
        ending = self._ending or (_ENDINGS.get(self._finish) if self._finish else None)
        if ending is None:
            told = "breaks off in the midst of an answer" if self._finish is None else "ends for an unknown reason"
            raise BadAnswer(told)
        # A character may have come in two halves; one that stays half is none.
        text = "".join(self._pieces).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return text, ending, self._counted or len(self._pieces)

    def _lines(self, data: bytes) -> Iterator[bytes]:
        start = 0
        while (end := data.find(b"\n", start)) >= 0:
            yield bytes(self._line + data[start:end])
            self._line.clear()
            start = end + 1
        self._line += data[start:]
        if len(self._line) > MAX_LINE:
            raise BadAnswer("sends a line without an end")

    def _event(self, line: bytes) -> None:
        if not line.startswith(b"data:"):
            return  # a comment that keeps the connection open, or a field that says nothing here
        value = line[5:].strip()
        if value == b"[DONE]":
            self.done = True
        elif value:
            self._take(_chunk(value))

    def _take(self, chunk: Chunk) -> None:
        if chunk.error:
            raise BadAnswer("reports an error in the midst of an answer")
        if chunk.usage and chunk.usage.completion_tokens:
            self._counted = max(0, min(chunk.usage.completion_tokens, self._max_tokens))
        for choice in chunk.choices[:1]:
            message = choice.delta or choice.message
            if message and message.content:
                self._write(message.content)
            self._finish = choice.finish_reason or self._finish
        if self._finish == "content_filter":
            raise Untranscribable("The server's content filter refuses this page.")

    def _write(self, piece: str) -> None:
        self._pieces.append(piece)
        self._characters += len(piece)
        too_long = self._characters > _CHARACTERS_A_TOKEN * self._max_tokens
        if too_long or (not self._whole and len(self._pieces) > self._max_tokens + _SPARE_TOKENS):
            self._ending, self.done = Ending.LENGTH, True
        elif self._characters - self._looked_at >= _LOOK_EVERY:
            self._looked_at = self._characters
            if ends_in_loop(_UNITS.findall(self._tail()), "".join):
                self._ending, self.done = Ending.LOOP, True

    def _tail(self) -> str:
        """The end of the text, joined anew only as far as it is looked at."""
        length, first = 0, len(self._pieces)
        while first and length < _TAIL:
            first -= 1
            length += len(self._pieces[first])
        return "".join(self._pieces[first:])[-_TAIL:]


def _chunk(value: bytes) -> Chunk:
    try:
        return msgspec.convert(json.loads(value.decode("utf-8", "replace")), Chunk)
    except (ValueError, RecursionError) as error:
        raise BadAnswer("sends what is no answer of a chat completion") from error


def refused_field(body: bytes) -> str | None:
    """The field that a server complains of when it refuses a request, where a page can be read without it."""
    text = body.decode("utf-8", "replace")
    if "max_completion_tokens" in text:
        return "max_tokens"
    return next((name for name in _OPTIONAL if name in text), None)


def models(body: bytes) -> tuple[str, ...]:
    """The names in an answer to `GET /models`; none where it is something else."""
    try:
        listed = json.loads(body.decode("utf-8", "replace"))
        return tuple(entry["id"] for entry in listed["data"] if isinstance(entry["id"], str))
    except (ValueError, RecursionError, LookupError, TypeError):
        return ()
