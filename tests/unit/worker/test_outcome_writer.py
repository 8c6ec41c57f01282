"""Engines may return values of any type: a wrong one fails its page, and no outcome is written that cannot be read."""

import math
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from libs.jobstate import outcome
from libs.jobstate.commit import create, load
from libs.jobstate.evidence import require_readable_outcome
from libs.jobstate.outcome import OutcomeStatus, PageOutcome, TornOutcome
from libs.jobstate.page import Page
from libs.jobstate.provenance import Try
from libs.page.block import Block, BlockKind, Line
from libs.page.trust import Trust
from libs.storage.memory import MemoryStore
from libs.storage.session import SessionFiles
from libs.taskqueue.task import OcrTask
from services.worker.batch import BatchWorker
from services.worker.call import Limits, WorkerContext
from services.worker.engines.engine import EngineInfo, EngineUnavailable, Finish, PageFailure, PageImage, PageText
from services.worker.engines.registry import EngineRegistry
from services.worker.engines.select import BARE
from services.worker.metrics import WorkerMetrics
from tests.jobs import extracted
from tests.tasks import KeptTasks

LINE = Line(text="x", box=((0, 0), (1, 0), (1, 1), (0, 1)), confidence=1.0)
BLOCK = Block(kind=BlockKind.PARAGRAPH, text="x", lines=(LINE,))


def with_line(**change: Any) -> dict[str, Any]:
    """A change of the only block: one line in it that is wrong."""
    line = msgspec.structs.replace(LINE, **change)
    return {"blocks": (msgspec.structs.replace(BLOCK, lines=(line,)),)}


CHANGES: dict[str, dict[str, Any]] = {
    "no confidence": with_line(confidence="high"),
    "endless box": with_line(box=((0, 0), (1, 0), (1, math.inf), (0, 1))),
    "box of three": with_line(box=((0, 0), (1, 0), (1, 1))),
    "no line": {"blocks": (msgspec.structs.replace(BLOCK, lines=("a line",)),)},
    "no blocks": {"blocks": None},
    "no kind of block": {"blocks": (msgspec.structs.replace(BLOCK, kind="poem"),)},
    "no text": {"markdown": None},
    "bytes": {"markdown": b"text"},
    "half a character": {"markdown": "\ud800"},
    "too long": {"markdown": "x" * (outcome.MAX_BYTES + 1)},
    "no seconds": {"seconds": None},
    "endless": {"seconds": math.inf},
    "skew": {"skew": math.nan},
    "rotation": {"rotation": 1.5},
    "tries": {"tries": ("a try",)},
    "tokens": {"tokens": None},
    "trust": {"trust": "high"},
}
GOOD = PageText(page_no=1, markdown="x", finish=Finish.STOP, seconds=1.0, blocks=(BLOCK,))
answers: list[PageText | PageFailure] = []


class Engine:
    """Returns for each page what the test has put into `answers`."""

    def __init__(self, info: EngineInfo) -> None:
        self._info = info

    async def load(self) -> None:
        """Nothing to load."""

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """One answer for each page."""
        async for page in pages:
            yield answers[page.page_no - 1]

    def info(self) -> EngineInfo:
        """As given."""
        return self._info


def create_engine(*, threads: int) -> Engine:
    """For `EngineRegistry`."""
    return Engine(EngineInfo(name="made up", revision="1", device="none"))


def nameless(*, threads: int) -> Engine:
    """For `EngineRegistry`."""
    return Engine(EngineInfo(name=None, revision="1", device="none"))  # type: ignore[arg-type]


async def read(first: PageText | PageFailure) -> list[PageOutcome]:
    """The outcomes of a job of two pages; for the first the engine returns `first`."""
    answers[:] = [first, msgspec.structs.replace(GOOD, page_no=2)]
    files = SessionFiles(store=MemoryStore(), user_hash="a" * 12, session_id="0" * 32)
    await create(files, extracted(2))
    for page_no in (1, 2):
        await files.save_page_image(page_no, b"image")
    worker = BatchWorker(
        WorkerContext(
            store=files.store,
            queue=KeptTasks(),
            engines=EngineRegistry("tests.unit.worker.test_outcome_writer:create_engine", BARE),
            fallback=None,
            limits=Limits(lease_seconds=60, page_seconds=60, batch_seconds=60),
            metrics=WorkerMetrics(CollectorRegistry()),
        )
    )
    await worker.process(OcrTask(session_id=files.session_id, user_email="", user_hash=files.user_hash), "a task")
    assert (await load(files)).ended
    found = [await require_readable_outcome(files, page_no) for page_no in (1, 2)]
    assert found[0] is not None
    assert found[1] is not None
    return [found[0], found[1]]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_answer_that_makes_no_sense_fails_its_page_alone(change: dict[str, Any]) -> None:
    first, second = await read(msgspec.structs.replace(GOOD, **change))
    assert first.status is OutcomeStatus.FAILED
    assert first.error is not None
    assert "makes no sense" in first.error
    assert first.engine == "made up"
    assert (second.status, second.text) == (OutcomeStatus.COMPLETED, "x")


async def test_tries_tokens_and_trust_of_an_engine_are_recorded() -> None:
    tries = (Try(engine="made up", ending="loop", temperature=0.2, scale=0.9, tokens=300, seconds=1.5),)
    first, second = await read(msgspec.structs.replace(GOOD, tries=tries, tokens=300, trust=Trust(figure=0.62)))
    assert (first.tries, first.tokens, first.assessment) == (tries, 300, Trust(figure=0.62))
    assert (second.tries, second.tokens, second.assessment) == ((), 0, None)
    page = Page().settled(first.brief(), "text")
    assert (page.trust, page.doubts, page.engine) == (0.62, ("words_differ",), "made up")
    failed, _ = await read(PageFailure(page_no=1, reason="Told to fail.", seconds=1.0, tries=tries, tokens=300))
    assert (failed.status, failed.tries, failed.tokens) == (OutcomeStatus.FAILED, tries, 300)


@pytest.mark.parametrize(
    ("seconds", "reason"), [(math.nan, "Told to fail."), (None, "Told to fail."), (1.0, None), (1.0, "\ud800")]
)
async def test_failure_that_makes_no_sense_is_a_failure_with_a_reason(seconds: Any, reason: Any) -> None:
    first, second = await read(PageFailure(page_no=1, reason=reason, seconds=seconds))
    assert first.status is OutcomeStatus.FAILED
    assert first.error
    assert second.status is OutcomeStatus.COMPLETED


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_outcome_that_could_not_be_decoded_again_is_not_encoded(value: float) -> None:
    with pytest.raises(TornOutcome):
        outcome.encode(PageOutcome(page_no=1, run=1, status=OutcomeStatus.COMPLETED, seconds=value))


async def test_engine_without_a_valid_info_cannot_be_used() -> None:
    registry = EngineRegistry("tests.unit.worker.test_outcome_writer:nameless", BARE)
    with pytest.raises(EngineUnavailable, match="does not say who it is"):
        await registry.engine(None)
