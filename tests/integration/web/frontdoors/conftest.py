"""The service in this process, for its front doors."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.page.block import Block, BlockKind, Cell, Line
from libs.storage.memory import MemoryStore
from services.web.config import WebConfig
from tests.clock import StorageClock
from tests.inprocess import ClientInProcess, configured, outward_client

Serve = Callable[..., ClientInProcess]

PDF = b"%PDF-1.7 a document"
LINE = Line(text="Minutes of May", box=((10, 20), (90, 20), (90, 34), (10, 34)), confidence=0.9)
READ = PageOutcome(
    page_no=1,
    run=1,
    status=OutcomeStatus.COMPLETED,
    text="# Minutes of May\n\nAll were present.",
    blocks=(
        Block(kind=BlockKind.PAGE_HEADER, text="Council", box=(10, 2, 90, 9)),
        Block(kind=BlockKind.TITLE, text="Minutes of May", box=(10, 20, 90, 34), lines=(LINE,)),
        Block(kind=BlockKind.PARAGRAPH, text="All were present.", box=(10, 40, 90, 50)),
        Block(
            kind=BlockKind.TABLE,
            box=(10, 60, 90, 80),
            cells=(Cell(row=0, column=0, text="Sum", header=True), Cell(row=1, column=0, text="12")),
        ),
        Block(kind=BlockKind.FIGURE, text="A seal", box=(10, 90, 40, 120)),
    ),
    width=100,
    height=140,
    engine="rapidocr",
)
FAILED = PageOutcome(page_no=2, run=1, status=OutcomeStatus.FAILED, error="It is torn.")
BLANK = PageOutcome(page_no=3, run=1, status=OutcomeStatus.COMPLETED, blank=True)


@pytest.fixture
def clock() -> StorageClock:
    return StorageClock()


@pytest.fixture
def store(clock: StorageClock) -> MemoryStore:
    return MemoryStore(clock)


@pytest.fixture
async def serve(store: MemoryStore) -> AsyncIterator[Serve]:
    """Makes the service with settings, over the one store."""
    async with outward_client() as outward:

        def make(**settings: Any) -> ClientInProcess:
            return configured(WebConfig(**settings), store, outward)

        yield make
