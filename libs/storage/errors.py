"""The errors of a store: a small closed set, the same for every backend."""

from typing import ClassVar

from libs.errors import ErrorKind, ExpectedError


class StorageError(ExpectedError):
    """Base of every error that a store raises on purpose."""

    kind: ClassVar[ErrorKind] = ErrorKind.UNAVAILABLE

    def __init__(self, path: str, detail: str = "") -> None:
        super().__init__(f"{path}: {detail}" if detail else path)
        #: Of the object.
        self.path = path
        #: What went wrong; empty where the class says it all.
        self.detail = detail


class NotFound(StorageError):
    """No object at this path."""

    kind = ErrorKind.NOT_FOUND


class PreconditionFailed(StorageError):
    """The object is not at the generation that the caller named: another writer was faster."""


class Forbidden(StorageError):
    """The path belongs to another user, or leads outside the tree."""

    kind = ErrorKind.FORBIDDEN


class Unavailable(StorageError):
    """The storage cannot answer now; the same call may work later."""


class TooFast(Unavailable):
    """More than one write a second to one object: wait, then write again. Back-pressure, not a fault."""


class OutOfSpace(StorageError):
    """No room is left: nothing was written, and nothing will be until space is freed."""

    kind = ErrorKind.OUT_OF_SPACE
