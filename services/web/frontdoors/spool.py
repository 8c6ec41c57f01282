"""The members of an answer that grow side by side with its pages, kept on disk where they are large.

A protocol whose answer is one JSON object with several lists, such as all pages and then all tables, could else be
answered only from memory, or by reading every page once for each list.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any, Self

import msgspec

#: Bytes of a member that are held in memory at most. Chosen: those of about ten pages, so that small documents touch
#: no disk.
_MAX_HELD_BYTES = 512 * 1024
_CHUNK_BYTES = 256 * 1024


class Spool:
    """Members by their names. A context manager, at whose end they are deleted; its methods block."""

    def __init__(self, *names: str) -> None:
        self._open = ExitStack()
        self._files = {
            name: self._open.enter_context(tempfile.SpooledTemporaryFile(_MAX_HELD_BYTES))  # noqa: SIM115  # by the stack
            for name in names
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def item(self, name: str, item: Any) -> None:
        """Append an item to a JSON list."""
        self._append(name, msgspec.json.encode(item))

    def entry(self, name: str, key: str, value: Any) -> None:
        """Append a member to a JSON object."""
        self._append(name, msgspec.json.encode(key) + b":" + msgspec.json.encode(value))

    def text(self, name: str, text: str) -> None:
        """Append to a JSON string."""
        self._files[name].write(msgspec.json.encode(text)[1:-1])

    def is_empty(self, name: str) -> bool:
        """Whether nothing was added."""
        return not self._files[name].tell()

    async def list(self, name: str) -> AsyncIterator[bytes]:
        """The list of all items."""
        async for chunk in self._between(name, b"[", b"]"):
            yield chunk

    async def object(self, name: str) -> AsyncIterator[bytes]:
        """The object of all members."""
        async for chunk in self._between(name, b"{", b"}"):
            yield chunk

    async def string(self, name: str, *, before: str = "", after: str = "") -> AsyncIterator[bytes]:
        """The whole string, between two others that need no escape."""
        async for chunk in self._between(name, f'"{before}'.encode(), f'{after}"'.encode()):
            yield chunk

    def _append(self, name: str, data: bytes) -> None:
        self._files[name].write(data if self.is_empty(name) else b"," + data)

    async def _between(self, name: str, before: bytes, after: bytes) -> AsyncIterator[bytes]:
        file = self._files[name]
        yield before
        file.seek(0)
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield chunk
        yield after
