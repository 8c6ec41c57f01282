"""What the worker and its fallback child say to each other: a request, an answer, and either ends with its stream.

The request is a line of JSON and then the page image; the answer is JSON. The child decodes an image that has broken
an engine before, so the worker believes of its answer only what has the right shape and size.
"""

import msgspec

from libs.codec import BadMessage, Codec
from services.worker.engines.engine import EngineInfo, PageText

MAX_ANSWER_BYTES = 8 * 1024**2
_MAX_WORDS = 300


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine is to read the page, and what it may use.

    `threads` is 0 for all cores; memory is in bytes of address space; `cpu_seconds` counts all threads; `parent` is
    a process id, for a child that has been orphaned already.
    """

    engine: str
    threads: int
    languages: str
    memory_bytes: int
    cpu_seconds: int
    parent: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The page's text, or why there is none. The page number in it counts for nothing."""

    engine: EngineInfo
    text: PageText | None = None
    refused: str | None = None


class BadAnswer(BadMessage):
    """The child talks nonsense; the message is the rest of a sentence that begins with its engine's name."""


_requests = Codec(Request, BadMessage)
_answers = Codec(Answer, BadMessage)


def encode_request(request: Request, image: bytes) -> bytes:
    """The request as sent."""
    return _requests.encode(request) + b"\n" + image


def decode_request(data: bytes) -> tuple[Request, bytes]:
    """The request and the page image. Raises `BadMessage`."""
    line, _, image = data.partition(b"\n")
    return _requests.decode(line), image


def encode_answer(answer: Answer) -> bytes:
    """The answer as sent."""
    return _answers.encode(answer)


def decode_answer(data: bytes) -> Answer:
    """Read an answer. Raises `BadAnswer`."""
    try:
        answer = _answers.decode(data)
    except BadMessage as error:
        raise BadAnswer("gave an answer that makes no sense.") from error
    if (answer.text is None) == (answer.refused is None):
        raise BadAnswer("gave an answer that makes no sense.")
    engine = EngineInfo(
        name=_short(answer.engine.name), revision=_short(answer.engine.revision), device=_short(answer.engine.device)
    )
    refused = None if answer.refused is None else _short(answer.refused)
    # Who tried what, and how far it can be trusted, is for the worker to say; names in it would be labels of metrics.
    text = answer.text and msgspec.structs.replace(answer.text, tries=(), tokens=0, trust=None, fallback=None)
    return msgspec.structs.replace(answer, engine=engine, refused=refused, text=text)


def _short(text: str) -> str:
    """One printable line of a length that a record can carry."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:_MAX_WORDS]).split())
