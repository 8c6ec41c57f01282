"""The storage contract. Every backend passes `tests/contract/test_store.py` unchanged."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, runtime_checkable

import msgspec


class Stat(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows of an object without reading it.

    `generation` changes with every write and is never reused for the same path; `updated_at` is told by the
    storage's own clock; `size` is in bytes.
    """

    path: str
    size: int
    generation: int
    updated_at: datetime


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A whole small object: its bytes and the generation they belong to."""

    data: bytes
    generation: int
    updated_at: datetime


class OpenObject(msgspec.Struct, frozen=True, kw_only=True):
    """An object opened for streaming: `stat` of the very generation that `chunks` yields."""

    stat: Stat
    chunks: AsyncIterator[bytes]


class ObjectStore(Protocol):
    """Named bytes with generations.

    Paths are relative, `/`-separated, as `libs.storage.layout` makes them; one that leads outside the tree raises
    `Forbidden`. A write is atomic: a reader sees the old object or the new one, whole; a stream that raises leaves
    nothing behind. Any call may raise `Unavailable`.
    """

    async def read(self, path: str) -> Stored:
        """The whole object. Raises `NotFound`. For documents and page images, not for uploads."""
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
        """The storage's own clock (UTC): the only clock that judges whether a lease has expired."""
        ...


@runtime_checkable
class DirectStore(Protocol):
    """What a store can do besides when its clients can reach it by themselves: a bucket can, a folder cannot."""

    @property
    def upload_origin(self) -> str:
        """Scheme and host of the addresses that are given out: a browser page must be allowed to connect there."""
        ...

    async def create_resumable_upload_session(self, path: str, *, origin: str | None, size: int) -> str:
        """An address to which a client may send the `size` bytes of one object, which must not exist yet.

        `origin` names the web page that may do so from a browser. Whoever has the address may write the object, so it
        is a secret. Raises `PreconditionFailed` where the object is there already.
        """
        ...

    async def end_upload_session(self, path: str, address: str) -> None:
        """Take no more bytes at `address`. One that is over, whichever way, is no fault."""
        ...
