"""An upload in one request that fails leaves no job behind of which its client knows nothing."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from libs.storage import layout
from libs.storage.errors import OutOfSpace
from libs.storage.memory import MemoryStore
from libs.storage.store import ObjectStore
from tests.tusclient import BODY_TYPE, PDF, Answer, Client

FORM = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n',
    PDF,
    b"\r\n--b--\r\n",
)


async def in_one_form(client: Client) -> Answer:
    return await client.send("POST", "/upload", *FORM, Content_Type="multipart/form-data; boundary=b")


async def created_with_its_bytes(client: Client) -> Answer:
    headers = {"Upload_Length": str(len(PDF)), "Content_Type": BODY_TYPE}
    return await client.send("POST", "/api/uploads", PDF, headers=headers)


both_ways = pytest.mark.parametrize("upload", [in_one_form, created_with_its_bytes])


class Full:
    """A store that has no more room once it is to take an intake."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._full = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, path: str, *arguments: Any, **options: Any) -> int:
        self._full |= path.endswith(layout.INTAKE)
        if self._full:
            raise OutOfSpace(path)
        return await self._store.write(path, *arguments, **options)


class Slow:
    """A store in which the write of an intake lasts until `go`, and goes on when its caller has left."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.begun, self.go = asyncio.Event(), asyncio.Event()
        self.writes: set[asyncio.Task[int]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, path: str, *arguments: Any, **options: Any) -> int:
        if not path.endswith(layout.INTAKE):
            return await self._store.write(path, *arguments, **options)
        task = asyncio.create_task(self._late(path, *arguments, **options))
        self.writes.add(task)
        return await asyncio.shield(task)

    async def _late(self, path: str, *arguments: Any, **options: Any) -> int:
        self.begun.set()
        await self.go.wait()
        return await self._store.write(path, *arguments, **options)


async def paths(store: MemoryStore) -> list[str]:
    return [stat.path async for stat in store.list("")]


@both_ways
async def test_an_upload_whose_job_finds_no_room_makes_room_again(upload: Callable[[Client], Any]) -> None:
    store = MemoryStore()
    assert (await upload(Client(cast(ObjectStore, Full(store))))).status == 507
    assert await paths(store) == []


@both_ways
async def test_a_client_that_leaves_while_its_job_is_made_gets_no_job_of_which_it_knows_nothing(
    upload: Callable[[Client], Any],
) -> None:
    store = MemoryStore()
    slow = Slow(store)
    client = Client(cast(ObjectStore, slow))
    request = asyncio.create_task(upload(client))
    await slow.begun.wait()
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    slow.go.set()
    await asyncio.gather(*slow.writes)
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
    assert any(path.startswith("users/") for path in await paths(store)), "the late write has come"
    await client.web.sweeper.sweep()
    assert [path for path in await paths(store) if not path.startswith(layout.TOMBSTONES)] == []
