"""An engine of your own, plugged in without a change to the project:

    OCR_ENGINE=examples.engine:create make run

This one reads nothing; it says how large each page image is.
"""

import time
from collections.abc import AsyncIterator

from services.worker.engines.engine import EngineInfo, Finish, PageFailure, PageImage, PageText


def create(*, threads: int) -> "SizeEngine":
    """What `OCR_ENGINE` names: called once, with the number of cores that the engine may use."""
    return SizeEngine()


class SizeEngine:
    """Follows `services.worker.engines.engine.OcrEngine`."""

    async def load(self) -> None:
        """Nothing to load."""

    async def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """One result for each image."""
        async for page in pages:
            began = time.monotonic()
            text = f"This page's image has {len(page.data)} bytes."
            seconds = time.monotonic() - began
            yield PageText(page_no=page.page_no, markdown=text, finish=Finish.STOP, seconds=seconds)

    def info(self) -> EngineInfo:
        """Recorded on every page."""
        return EngineInfo(name="size", revision="1", device="cpu")
