"""The storage contract. Every backend passes `tests/contract/test_store.py` unchanged."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec


class Stat(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows of an object without reading it."""

    path: str
    #: In bytes.
    size: int
    #: Changes with every write, and is never used again for the same path.
    generation: int
    #: By the storage's own clock.
    updated_at: datetime


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A whole small object."""

    data: bytes
    #: Of the `data`; see `Stat`.
    generation: int
    #: By the storage's own clock.
    updated_at: datetime


class OpenObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object opened for streaming."""

    #: Of the generation that `chunks` yields.
    stat: Stat
    chunks: AsyncIterator[bytes]


class ObjectStore(Protocol):
    """Named bytes with generations.

    Paths are relative, `/`-separated, as `libs.storage.layout` makes them; one that leads outside the tree raises
    `Forbidden`. A write is atomic: a reader sees the old object or the new one, whole; a stream that raises leaves
    nothing behind. Any call may raise `Unavailable`.
    """

    async def read(self, path: str) -> Stored:
        """The whole object. Raises `NotFound`. For records and page images, not for uploads."""
        ...

    def open_read(
        self, path: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[OpenObject]:
        """Stream bytes `start` up to, not including, `end` (default: the end). Raises `NotFound`."""
        ...

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        """Store the object and return its new generation.

        `if_generation=0` creates only; `G` replaces only generation G; `None` always writes. Otherwise raises
        `PreconditionFailed`, and nothing changed. Raises `OutOfSpace`, `TooFast`.
        """
        ...

    async def delete(self, path: str, *, if_generation: int | None = None) -> None:
        """Remove the object. Raises `NotFound`, or `PreconditionFailed` when it is at another generation."""
        ...

    async def stat(self, path: str) -> Stat:
        """Size, generation and time of the object. Raises `NotFound`."""
        ...

    def list(self, prefix: str) -> AsyncIterator[Stat]:
        """Every object whose path starts with `prefix`, in path order; strongly consistent with writes."""
        ...

    def children(self, prefix: str) -> AsyncIterator[str]:
        """The names directly below the folder `prefix` (which ends in `/`) that are folders themselves, in order."""
        ...

    async def now(self) -> datetime:
        """The storage's own clock (UTC): the only clock by which a lease expires."""
        ...


@runtime_checkable
class DirectStore(Protocol):
    """A store that clients can send their uploads to directly: a bucket, but not a folder."""

    @property
    def upload_origin(self) -> str:
        """Scheme and host of the addresses that clients get: a browser page must be allowed to connect there."""
        ...

    async def create_resumable_upload_session(self, path: str, *, origin: str | None, size: int) -> str:
        """An address to which a client may send the `size` bytes of one object, which must not exist yet.

        `origin` names the web page that may do so from a browser. The address is a secret: it alone suffices to write
        the object. Raises `PreconditionFailed` where the object exists.
        """
        ...

    async def end_upload_session(self, path: str, address: str) -> None:
        """Accept no more bytes at `address`. An upload that has ended already is no error."""
        ...


@runtime_checkable
class FiniteStore(Protocol):
    """A store that can be full: a folder, but not a bucket."""

    async def room(self) -> int:
        """Bytes that uploads may still take. Negative where less is free than is kept for jobs and deletions."""
        ...
