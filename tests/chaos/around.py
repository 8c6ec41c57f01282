"""A store around a store."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from libs.storage.store import ObjectStore, OpenObject, Stat, Stored


class AroundStore:
    """An `ObjectStore` that passes everything on: for those that come between at one place."""

    def __init__(self, inner: ObjectStore) -> None:
        self.inner = inner

    async def read(self, path: str) -> Stored:
        return await self.inner.read(path)

    def open_read(
        self, path: str, *, start: int = 0, end: int | None = None
    ) -> AbstractAsyncContextManager[OpenObject]:
        return self.inner.open_read(path, start=start, end=end)

    async def write(self, path: str, data: bytes | AsyncIterator[bytes], *, if_generation: int | None = None) -> int:
        return await self.inner.write(path, data, if_generation=if_generation)

    async def delete(self, path: str, *, if_generation: int | None = None) -> None:
        await self.inner.delete(path, if_generation=if_generation)

    async def stat(self, path: str) -> Stat:
        return await self.inner.stat(path)

    def list(self, prefix: str) -> AsyncIterator[Stat]:
        return self.inner.list(prefix)

    def children(self, prefix: str) -> AsyncIterator[str]:
        return self.inner.children(prefix)

    async def now(self) -> datetime:
        return await self.inner.now()
