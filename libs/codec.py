"""JSON documents, stored or sent to another process: one encode, one decode, one family of errors."""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from libs.errors import ErrorKind, ExpectedError

T = TypeVar("T")


class Undecodable(ValueError):
    """Bytes that are no document of the expected kind; the message has the place and the fault."""


class TornObject(ExpectedError, Undecodable):
    """A stored object is damaged. Kinds of objects whose damage a client sees have subclasses, named `Torn...`."""

    kind = ErrorKind.DAMAGED


class BadMessage(Undecodable):
    """A client or another process has sent what the protocol does not allow. Subclasses are named `Bad...`."""


class Codec(Generic[T]):
    """Encodes and decodes the documents of one kind."""

    def __init__(self, kind: type[T], error: type[Undecodable]) -> None:
        """`kind` is a `msgspec.Struct`; `error` is what `decode` raises."""
        #: The value as JSON.
        self.encode: Callable[[T], bytes] = msgspec.json.encode
        self._decoder = msgspec.json.Decoder(kind)
        self._error = error

    def decode(self, data: bytes) -> T:
        """The value in `data`. Unknown keys are ignored, unless the kind forbids them. Raises the codec's error."""
        try:
            return self._decoder.decode(data)
        except (ValueError, RecursionError) as error:  # msgspec recurses into what it skips
            raise self._error(str(error)) from error
