"""Engines are loaded once, and one that cannot be loaded now may be later."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.worker.engines.engine import EngineInfo, EngineUnavailable, PageFailure, PageImage, PageText
from services.worker.engines.room import EngineRoom, EngineState
from services.worker.engines.select import BARE

loads: list["Fickle"] = []
release = asyncio.Event()


class Fickle:
    """Cannot be loaded at first; the slow kind takes until `release`."""

    slots = 3

    def __init__(self, *, waits: bool = False) -> None:
        self._waits = waits

    async def load(self) -> None:
        """The second time it goes well."""
        if self._waits:
            await release.wait()
            return
        loads.append(self)
        if len(loads) == 1:
            raise EngineUnavailable("The server is away.")

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """Nobody asks."""
        async for page in pages:
            yield PageFailure(page_no=page.page_no, reason="", seconds=0.0)

    def info(self) -> EngineInfo:
        """A made-up engine."""
        return EngineInfo(name="fickle", revision="1", device="none")


def fickle(*, threads: int) -> Fickle:
    """For `EngineRoom`."""
    return Fickle()


def slow(*, threads: int) -> Fickle:
    """For `EngineRoom`."""
    return Fickle(waits=True)


def slotless(*, threads: int) -> Fickle:
    """For `EngineRoom`."""
    made = Fickle(waits=True)
    made.slots = 0
    return made


async def test_engine_that_was_away_at_the_start_is_ready_once_a_call_finds_it_there() -> None:
    loads.clear()
    room = EngineRoom("tests.unit.test_room:fickle", BARE)
    await room.open()
    assert (room.state, room.reason) == (EngineState.FAILED, "The server is away.")
    assert (await room.engine(None)).slots == 3
    assert (room.state, room.reason) == (EngineState.READY, None)
    await room.engine(None)
    assert len(loads) == 2


async def test_call_for_an_engine_that_is_there_does_not_wait_for_one_that_loads() -> None:
    loads[:] = [Fickle()]
    release.clear()
    room = EngineRoom("tests.unit.test_room:fickle", BARE)
    await room.open()
    loading = asyncio.create_task(room.engine("tests.unit.test_room:slow"))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await room.engine(None)
    assert not loading.done()
    release.set()
    await loading


async def test_engine_without_a_slot_cannot_be_used() -> None:
    release.set()
    with pytest.raises(EngineUnavailable, match="0 slots"):
        await EngineRoom("tests.unit.test_room:slotless", BARE).engine(None)
