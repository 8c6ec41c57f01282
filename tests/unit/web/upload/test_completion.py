"""An upload that takes long is not taken for an abandoned one."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from libs.storage import layout
from libs.storage.memory import MemoryStore
from libs.storage.store import Stat
from services.web.upload import storing
from services.web.upload.completion import ABANDONED
from tests.clock import StorageClock
from tests.tusclient import Client

HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pdf"\r\n\r\n%PDF-1.7\n' + b" " * 4096


@pytest.mark.parametrize(("says_so", "left"), [(0.0, 1), (300.0, 0)], ids=["says so", "silent"])
async def test_upload_that_goes_on_keeps_its_place_and_a_silent_one_loses_it(
    monkeypatch: pytest.MonkeyPatch, says_so: float, left: int
) -> None:
    monkeypatch.setattr(storing, "ANNOUNCE_SECONDS", says_so)
    clock = StorageClock()
    store = MemoryStore(clock)
    client = Client(store)
    found: list[int] = []

    async def active() -> list[Stat]:
        return [stat async for stat in store.list(layout.ACTIVE)]

    async def body() -> AsyncIterator[bytes]:
        yield HEAD
        for _ in range(3):
            clock.now += ABANDONED / 2 + timedelta(seconds=1)
            yield b" " * 4096
        await client.web.sweeper.sweep()
        found.append(len(await active()))
        yield b"\r\n--b--\r\n"

    async with httpx.AsyncClient(transport=httpx.ASGITransport(client.app), base_url="http://127.0.0.1") as http:
        await http.post("/upload", content=body(), headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert found == [left]
