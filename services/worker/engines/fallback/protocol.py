"""What the worker and its fallback child send each other: one request, one answer; each ends with its stream.

The request is a line of JSON and then the page image; the answer is JSON. The child decodes an image that has broken
an engine before, so the worker accepts from it only what has the right shape and size.
"""

import msgspec

from libs.codec import BadMessage, Codec
from libs.page.trust import Trust
from services.serving.jail import Wall
from services.worker.engines.engine import EngineInfo, PageText

#: Bytes of an answer. Chosen: several times the longest text of a page.
MAX_ANSWER_BYTES = 8 * 1024**2
# Characters of a name or a reason in an answer. Chosen: a sentence or two.
_MAX_CHARACTERS = 300
# Scripts in an answer. Chosen: more than any engine reads.
_MAX_SCRIPTS = 30


class FallbackRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine reads the page, and what it may use."""

    engine: str
    #: 0 for all cores.
    threads: int
    languages: str
    #: The folder of models for further scripts; empty for none.
    models: str = ""
    #: Bytes of address space.
    memory_bytes: int
    #: Seconds of processor time, of all threads together.
    cpu_seconds: int
    #: The parent's process id: a child that finds another parent is orphaned already.
    parent: int
    #: The walls of the jail that this machine supports: the child raises all of them, or exits.
    walls: tuple[Wall, ...] = ()


class FallbackAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Either the page's text or why there is none."""

    engine: EngineInfo
    #: Its page number is ignored.
    text: PageText | None = None
    refused: str | None = None


class BadAnswer(BadMessage):
    """The child's answer is none; the message is the rest of a sentence that begins with its engine's name."""


_requests = Codec(FallbackRequest, BadMessage)
_answers = Codec(FallbackAnswer, BadMessage)


def encode_request(request: FallbackRequest, image: bytes) -> bytes:
    """A request as its bytes."""
    return _requests.encode(request) + b"\n" + image


def decode_request(data: bytes) -> tuple[FallbackRequest, bytes]:
    """Read a request and the page image behind it. Raises `BadMessage`."""
    line, _, image = data.partition(b"\n")
    return _requests.decode(line), image


def encode_answer(answer: FallbackAnswer) -> bytes:
    """An answer as its bytes."""
    return _answers.encode(answer)


def decode_answer(data: bytes) -> FallbackAnswer:
    """Read an answer, and cut its texts to a printable line each. Raises `BadAnswer`."""
    try:
        answer = _answers.decode(data)
    except BadMessage as error:
        raise BadAnswer("gave an answer that makes no sense.") from error
    if (answer.text is None) == (answer.refused is None):
        raise BadAnswer("gave an answer that makes no sense.")
    engine = EngineInfo(
        name=_short(answer.engine.name),
        revision=_short(answer.engine.revision),
        device=_short(answer.engine.device),
        scripts=tuple(map(_short, answer.engine.scripts[:_MAX_SCRIPTS])),
    )
    refused = None if answer.refused is None else _short(answer.refused)
    # The worker itself records who tried what, and what the text agrees with; names in it would become labels of
    # metrics.
    text = answer.text and msgspec.structs.replace(
        answer.text, tries=(), tokens=0, trust=_measured(answer.text.trust), fallback=None
    )
    return msgspec.structs.replace(answer, engine=engine, refused=refused, text=text)


def _measured(trust: Trust | None) -> Trust | None:
    """What only the child can know of its text: the recogniser's confidence, and the lines that it left out."""
    if trust is None:
        return None
    return Trust(
        confidence=_share(trust.confidence),
        unreadable=_share(trust.unreadable),
        script=trust.script and _short(trust.script),
        reads=tuple(map(_short, trust.reads[:_MAX_SCRIPTS])),
        nothing_read=trust.nothing_read,
    )


def _share(value: float | None) -> float | None:
    return None if value is None else min(max(value, 0.0), 1.0)


def _short(text: str) -> str:
    """One printable line of a length that a record can carry."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[:_MAX_CHARACTERS]).split())
