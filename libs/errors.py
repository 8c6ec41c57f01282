"""Errors that are raised on purpose. Each states its kind, by which a service chooses its answer."""

from enum import StrEnum
from typing import ClassVar


class ErrorKind(StrEnum):
    """What an error means for the caller."""

    #: What was asked for does not exist.
    NOT_FOUND = "not_found"
    #: It exists or may exist, but not for this caller.
    FORBIDDEN = "forbidden"
    #: It is stored and cannot be read; asking again does not help.
    DAMAGED = "damaged"
    #: There is no room for it; asking again helps once space was freed.
    OUT_OF_SPACE = "out_of_space"
    #: It cannot be done now; asking again may help.
    UNAVAILABLE = "unavailable"


class ExpectedError(Exception):
    """Base of the errors that a service answers by their kind. Any other error is a bug, or a wrong argument."""

    #: Set by each family of errors, and by its members that differ.
    kind: ClassVar[ErrorKind]
