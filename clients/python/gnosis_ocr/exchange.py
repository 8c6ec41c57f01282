"""The steps of which a conversation with the service is made, apart from how they are carried out.

A flow is a generator: it yields steps, receives their outcomes, and returns its value. It holds all decisions (order,
retries, waits); the blocking and the asynchronous client only carry out steps, so that neither repeats the other.
"""

import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeAlias, TypeVar

import msgspec

from gnosis_ocr.errors import ApiError, Unreachable

T = TypeVar("T")
#: A JSON document of the service.
M = TypeVar("M", bound=msgspec.Struct)

# Seconds before a request is repeated: the first time, and at most. Chosen: a service that restarts is back in a few
# seconds, and a person does not notice the first.
_FIRST_PAUSE, _LAST_PAUSE = 0.2, 5.0


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP request. Its outcome is an `Answer`, or `Unreachable` is raised."""

    method: str
    #: Under the address of the service.
    path: str
    params: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes = b""
    #: Seconds without a byte after which the service is unreachable.
    timeout: float = 30.0
    #: The file that receives the body of an answer below 400; None: the body is in the answer.
    save_to: Path | None = None
    #: Leave the body of a 200 to be read line by line, as a stream of events is.
    listen: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a request."""

    status: int
    #: By names in lower case.
    headers: Mapping[str, str]
    body: bytes
    #: Of a request that listens: what `ReadLine` reads from.
    lines: Any = None


class ReadLine(msgspec.Struct, frozen=True):
    """Read the next line of a body. The outcome is the line, None at the end, or `Unreachable` is raised."""

    lines: Any


class Pause(msgspec.Struct, frozen=True):
    """A wait."""

    seconds: float


class ReadFile(msgspec.Struct, frozen=True):
    """Read at most `size` bytes of the file from `offset` on. The outcome is the bytes; `OSError` is raised."""

    file: BinaryIO
    offset: int
    size: int


class Item(msgspec.Struct, Generic[T], frozen=True):
    """A value for the caller of a flow that has several."""

    value: T


Step: TypeAlias = Request | ReadLine | Pause | ReadFile
#: Returns one value.
Flow: TypeAlias = Generator[Step, Any, T]
#: Has values for its caller on the way.
Stream: TypeAlias = Generator[Step | Item[T], Any, None]


def ask(request: Request, *, patience: float, repeat: bool = True) -> Flow[Answer]:
    """The answer below 400, asked for again for `patience` seconds while the fault may pass. Waits as Retry-After says.

    `repeat`: the request may be sent again although the service may have acted on it. Raises `ApiError`, `Unreachable`.
    """
    deadline = time.monotonic() + patience
    pause = _FIRST_PAUSE
    while True:
        fault: ApiError | Unreachable
        try:
            answer: Answer = yield request
        except Unreachable as error:
            fault, wait, passes = error, pause, repeat
        else:
            if answer.status < 400:
                return answer
            fault = ApiError.of(answer.status, answer.headers, answer.body)
            wait, passes = max(pause, fault.retry_after or 0.0), fault.is_temporary
        if not passes or time.monotonic() + wait > deadline:
            raise fault
        yield Pause(wait)
        pause = min(2 * pause, _LAST_PAUSE)


def ask_for(model: type[M], request: Request, *, patience: float, repeat: bool = True) -> Flow[M]:
    """The same, with the answer's JSON as `model`. Raises also `Unreachable` for what is no such document."""
    answer = yield from ask(request, patience=patience, repeat=repeat)
    return decode(model, answer)


def decode(model: type[M], answer: Answer) -> M:
    """The JSON of the answer. Raises `Unreachable`: what answers is not the service, or a much older one."""
    try:
        return msgspec.json.decode(answer.body, type=model)
    except msgspec.DecodeError as error:
        raise Unreachable(f"what answers is not a Gnosis of this version ({error}). Check the address.") from error
