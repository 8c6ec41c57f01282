"""A store in memory to which clients can send objects by themselves, as a bucket lets them."""

import secrets
from collections.abc import Callable
from datetime import datetime

from libs.storage.errors import PreconditionFailed
from libs.storage.memory import MemoryStore
from libs.storage.session import exists


class ReachableStore(MemoryStore):
    """`arrive` is what a client does with an address."""

    upload_origin = "https://bucket.example"

    def __init__(self, *clock: Callable[[], datetime]) -> None:
        """`clock` is the storage's own, as `MemoryStore` takes it."""
        super().__init__(*clock)
        self._sessions: dict[str, str] = {}

    async def create_resumable_upload_session(self, path: str, *, origin: str | None, size: int) -> str:
        if await exists(self, path):
            raise PreconditionFailed(path, "is there")
        address = f"{self.upload_origin}/upload/{secrets.token_urlsafe(16)}"
        self._sessions[address] = path
        return address

    async def end_upload_session(self, path: str, address: str) -> None:
        self._sessions.pop(address, None)

    async def arrive(self, address: str, data: bytes) -> None:
        """All the bytes come. Raises `KeyError` where none are taken any more."""
        await self.write(self._sessions.pop(address), data, if_generation=0)
