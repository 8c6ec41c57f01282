"""The thread that owns the model: which page is admitted when, and what a fault costs."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from services.worker.engines.engine import EngineLost
from services.worker.engines.execution import Execution
from services.worker.engines.picture import Pixels
from services.worker.engines.qwen.decoder import Generation
from services.worker.engines.qwen.thread import PREFILLS, DecoderThread
from services.worker.engines.transcriber import Ending, Sampling, Untranscribable

PAGE = np.zeros((28, 28, 3), dtype=np.uint8)
SAMPLING = Sampling(max_tokens=9)


class ScriptedDecoder:
    """A decoder that raises the given exceptions, one in each `admit`, or one in `advance`; a page ends in one step.

    It notes in `work` what it is asked, and waits in the first `advance` until `go_on` is set.
    """

    execution = Execution(kernel="none")

    def __init__(
        self, *, admitting: Sequence[Exception] = (), advancing: Exception | None = None, slots: int = 2
    ) -> None:
        self.slots = slots
        self._admitting = list(admitting)
        self._advancing = advancing
        self._generations: list[Generation] = []
        self.work: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    @property
    def free_slots(self) -> int:
        return self.slots - len(self._generations)

    def prepare(self, pixels: Pixels, sampling: Sampling) -> Pixels:
        return pixels

    def admit(self, page: Pixels, sampling: Sampling) -> Generation:
        self.work.append("admit")
        if self._admitting:
            raise self._admitting.pop(0)
        self._generations.append(Generation(sampling))
        return self._generations[-1]

    def advance(self) -> list[Generation]:
        self.go_on.wait()
        self.work.append("advance")
        if self._advancing is not None:
            raise self._advancing
        ended, self._generations = self._generations, []
        for generation in ended:
            generation.ending = Ending.STOP
        return ended


@pytest.mark.parametrize("where", ["admitting", "advancing"])
async def test_a_model_that_broke_down_loses_the_process_and_hangs_no_page(where: str) -> None:
    fault = RuntimeError("an illegal memory access was encountered")
    decoder = ScriptedDecoder(admitting=[fault]) if where == "admitting" else ScriptedDecoder(advancing=fault)
    thread = DecoderThread(decoder)
    pages = [asyncio.create_task(thread.write(PAGE, SAMPLING)) for _ in range(5)]
    for outcome in await asyncio.gather(*pages, return_exceptions=True):
        assert isinstance(outcome, EngineLost)
        assert outcome.__cause__ is fault
    with pytest.raises(EngineLost):
        await thread.write(PAGE, SAMPLING)


def no_memory() -> Exception:
    return torch.OutOfMemoryError("CUDA out of memory")


async def test_a_page_that_finds_no_memory_is_tried_once_more() -> None:
    decoder = ScriptedDecoder(admitting=[no_memory()])
    assert (await DecoderThread(decoder).write(PAGE, SAMPLING)).ending is Ending.STOP
    assert decoder.work == ["admit", "admit", "advance"]


async def test_a_page_too_large_for_the_memory_is_refused_alone() -> None:
    thread = DecoderThread(ScriptedDecoder(admitting=[no_memory(), no_memory()]))
    with pytest.raises(Untranscribable, match="MODEL_MAX_PIXELS"):
        await thread.write(PAGE, SAMPLING)
    assert (await thread.write(PAGE, SAMPLING)).ending is Ending.STOP


async def test_pages_being_written_wait_for_few_prompts_at_a_time() -> None:
    decoder = ScriptedDecoder(slots=3 * PREFILLS)
    decoder.go_on.clear()
    thread = DecoderThread(decoder)
    pages = [asyncio.create_task(thread.write(PAGE, SAMPLING)) for _ in range(3 * PREFILLS)]
    await asyncio.sleep(0)
    decoder.go_on.set()
    await asyncio.gather(*pages)
    rounds = " ".join(decoder.work).split("advance")
    assert max(part.split().count("admit") for part in rounds) <= PREFILLS
    assert decoder.work.count("admit") == 3 * PREFILLS
