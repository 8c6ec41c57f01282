"""Loads are shared, outlive the calls that began them, and are tried again when they failed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.worker.engines import registry as registry_module
from services.worker.engines.context import EngineContext, ModelFiles
from services.worker.engines.engine import EngineInfo, EngineUnavailable, PageFailure, PageImage, PageText
from services.worker.engines.registry import EngineRegistry, EngineState
from services.worker.engines.settings import EngineSettings

NAME = "tests.unit.worker.engines.test_registry:create"
OTHER = "tests.scripted:create"
FILES = ModelFiles(folder=Path("/nowhere"), name="made/up", revision="1")


class Model:
    """Arrives when `let` is set; each request for it is counted."""

    def __init__(self) -> None:
        self.let = asyncio.Event()
        self.asked = 0
        self.fault: Exception | None = None

    async def __call__(self) -> ModelFiles:
        """See `EngineContext.model`."""
        self.asked += 1
        await self.let.wait()
        if self.fault:
            raise self.fault
        return FILES


class Engine:
    """Needs the model."""

    def __init__(self, context: EngineContext) -> None:
        self._context = context

    async def load(self) -> None:
        """Wait for the model."""
        assert self._context.model is not None
        await self._context.model()

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """Fails every page; no test reads one."""
        async for page in pages:
            yield PageFailure(page_no=page.page_no, reason="", seconds=0.0)

    def info(self) -> EngineInfo:
        """A made-up engine."""
        return EngineInfo(name="made up", revision="1", device="none")


def create(*, threads: int, context: EngineContext) -> Engine:
    """For `EngineRegistry`."""
    return Engine(context)


class Slotless(Engine):
    """Has no slot, so that it could never read a page."""

    slots = 0


def slotless(*, threads: int, context: EngineContext) -> Slotless:
    """For `EngineRegistry`."""
    return Slotless(context)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def registry(model: Model) -> EngineRegistry:
    return EngineRegistry(NAME, EngineContext(settings=EngineSettings(), model=model))


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_calls_that_come_while_an_engine_loads_wait_for_the_one_load(
    model: Model, registry: EngineRegistry
) -> None:
    loaded: list[str] = []
    registry.on_loaded = lambda engine, seconds: loaded.append(engine.name)
    opening = asyncio.create_task(registry.open())
    calls = [asyncio.create_task(registry.engine(name)) for name in (None, None, NAME)]
    await settled()
    assert registry.state is EngineState.LOADING
    assert not any(call.done() for call in calls)

    model.let.set()
    engines = await asyncio.gather(*calls)
    await opening

    assert len({id(engine) for engine in engines}) == 1
    assert (model.asked, registry.state, loaded) == (1, EngineState.READY, ["made up"])


async def test_cancelled_caller_does_not_cancel_the_load_of_the_others(model: Model, registry: EngineRegistry) -> None:
    first, second = (asyncio.create_task(registry.engine(None)) for _ in range(2))
    await settled()
    first.cancel()
    await settled()

    model.let.set()

    assert (await second).info().name == "made up"
    assert (first.cancelled(), model.asked) == (True, 1)


async def test_load_goes_on_when_all_its_callers_were_cancelled(model: Model, registry: EngineRegistry) -> None:
    call = asyncio.create_task(registry.engine(None))
    await settled()
    call.cancel()
    model.let.set()
    await settled()

    assert registry.state is EngineState.READY


async def test_failed_load_is_tried_again_at_once_when_asked_to_and_by_calls_after_a_while(
    model: Model, registry: EngineRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.fault = EngineUnavailable("No way to the hub.")
    model.let.set()
    await registry.open()
    assert (registry.state, registry.reason) == (EngineState.FAILED, "No way to the hub.")

    with pytest.raises(EngineUnavailable, match="No way"):
        await registry.engine(None)
    assert model.asked == 1, "a queue that delivers again at once does not ask the hub each time"
    await registry.open()
    assert model.asked == 2
    monkeypatch.setattr(registry_module, "RETRY_SECONDS", 0.0)
    model.fault = None
    await registry.engine(None)

    assert (model.asked, registry.state, registry.reason) == (3, EngineState.READY, None)


async def test_load_that_raises_is_a_failure_with_a_reason(model: Model, registry: EngineRegistry) -> None:
    model.fault = RuntimeError("out of memory")
    model.let.set()

    await registry.open()

    assert registry.state is EngineState.FAILED
    assert registry.reason is not None
    assert "RuntimeError" in registry.reason


async def test_another_engine_does_not_wait_for_one_that_loads(registry: EngineRegistry) -> None:
    opening = asyncio.create_task(registry.open())
    await settled()

    engine = await asyncio.wait_for(registry.engine(OTHER), 60)

    assert engine.info().name == "scripted"
    assert registry.state is EngineState.LOADING
    await registry.close()
    await asyncio.gather(opening, return_exceptions=True)
    assert opening.cancelled()


async def test_engine_without_a_slot_cannot_be_used(model: Model) -> None:
    model.let.set()
    registry = EngineRegistry(
        "tests.unit.worker.engines.test_registry:slotless", EngineContext(settings=EngineSettings(), model=model)
    )
    with pytest.raises(EngineUnavailable, match="0 slots"):
        await registry.engine(None)
