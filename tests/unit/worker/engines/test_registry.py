"""Loads are shared, outlive the calls that began them, and are tried again when they failed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.worker.engines import registry as room_module
from services.worker.engines.context import EngineParts, ModelFiles
from services.worker.engines.engine import EngineInfo, EngineUnavailable, PageFailure, PageImage, PageText
from services.worker.engines.registry import EngineRoom, EngineState
from services.worker.engines.settings import EngineSettings

NAME = "tests.unit.worker.engines.test_registry:create"
OTHER = "tests.scripted:create"
FILES = ModelFiles(folder=Path("/nowhere"), name="made/up", revision="1")


class Model:
    """Comes when it is let; each asking is counted."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.asked = 0
        self.fault: Exception | None = None

    async def __call__(self) -> ModelFiles:
        """Of `EngineParts.model`."""
        self.asked += 1
        await self.let.wait()
        if self.fault:
            raise self.fault
        return FILES


class Engine:
    """Needs the model."""

    def __init__(self, parts: EngineParts) -> None:
        self._parts = parts

    async def load(self) -> None:
        """Wait for it."""
        assert self._parts.model is not None
        await self._parts.model()

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """No page comes here."""
        async for page in pages:
            yield PageFailure(page_no=page.page_no, reason="", seconds=0.0)

    def info(self) -> EngineInfo:
        """Made up."""
        return EngineInfo(name="made up", revision="1", device="none")


def create(*, threads: int, parts: EngineParts) -> Engine:
    """For `EngineRoom`."""
    return Engine(parts)


class Slotless(Engine):
    """Could never read a page."""

    slots = 0


def slotless(*, threads: int, parts: EngineParts) -> Slotless:
    """For `EngineRoom`."""
    return Slotless(parts)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def room(model: Model) -> EngineRoom:
    return EngineRoom(NAME, EngineParts(settings=EngineSettings(), model=model))


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_calls_that_come_while_an_engine_loads_wait_for_the_one_load(model: Model, room: EngineRoom) -> None:
    told: list[str] = []
    room.on_loaded = lambda name, seconds: told.append(name)
    opening = asyncio.create_task(room.open())
    calls = [asyncio.create_task(room.engine(name)) for name in (None, None, NAME)]
    await settled()
    assert room.state is EngineState.LOADING
    assert not any(call.done() for call in calls)

    model.let.set()
    engines = await asyncio.gather(*calls)
    await opening

    assert len({id(engine) for engine in engines}) == 1
    assert (model.asked, room.state, told) == (1, EngineState.READY, ["made up"])


async def test_caller_that_goes_away_takes_the_load_from_nobody(model: Model, room: EngineRoom) -> None:
    first, second = (asyncio.create_task(room.engine(None)) for _ in range(2))
    await settled()
    first.cancel()
    await settled()

    model.let.set()

    assert (await second).info().name == "made up"
    assert (first.cancelled(), model.asked) == (True, 1)


async def test_load_whose_callers_all_went_away_still_ends_well(model: Model, room: EngineRoom) -> None:
    call = asyncio.create_task(room.engine(None))
    await settled()
    call.cancel()
    model.let.set()
    await settled()

    assert room.state is EngineState.READY


async def test_failed_load_is_tried_again_at_once_when_asked_to_and_by_calls_after_a_while(
    model: Model, room: EngineRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.fault = EngineUnavailable("No way to the hub.")
    model.let.set()
    await room.open()
    assert (room.state, room.reason) == (EngineState.FAILED, "No way to the hub.")

    with pytest.raises(EngineUnavailable, match="No way"):
        await room.engine(None)
    assert model.asked == 1, "a queue that delivers again at once does not ask the hub each time"
    await room.open()
    assert model.asked == 2
    monkeypatch.setattr(room_module, "RETRY_SECONDS", 0.0)
    model.fault = None
    await room.engine(None)

    assert (model.asked, room.state, room.reason) == (3, EngineState.READY, None)


async def test_load_that_breaks_is_a_failure_with_a_reason_and_no_silence(model: Model, room: EngineRoom) -> None:
    model.fault = RuntimeError("out of memory")
    model.let.set()

    await room.open()

    assert room.state is EngineState.FAILED
    assert room.reason is not None
    assert "RuntimeError" in room.reason


async def test_another_engine_does_not_wait_for_one_that_loads(room: EngineRoom) -> None:
    opening = asyncio.create_task(room.open())
    await settled()

    engine = await asyncio.wait_for(room.engine(OTHER), 5)

    assert engine.info().name == "scripted"
    assert room.state is EngineState.LOADING
    await room.close()
    await asyncio.gather(opening, return_exceptions=True)
    assert opening.cancelled()


async def test_engine_without_a_slot_cannot_be_used(model: Model) -> None:
    model.let.set()
    room = EngineRoom(
        "tests.unit.worker.engines.test_registry:slotless", EngineParts(settings=EngineSettings(), model=model)
    )
    with pytest.raises(EngineUnavailable, match="0 slots"):
        await room.engine(None)
