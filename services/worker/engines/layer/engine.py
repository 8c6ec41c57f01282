"""An engine that reads pages by their text layer where that is trusted, and by another engine where it is not."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Protocol

import msgspec

from libs.jobstate.intake import OcrMode
from libs.jobstate.provenance import LayerReport
from services.worker.engines.engine import EngineInfo, OcrEngine, PageFailure, PageImage, PageText
from services.worker.engines.guard.comparison import with_report
from services.worker.engines.results import Results, as_they_end


class PageByLayer(Protocol):
    """Reads a page by its text layer. Called in threads.

    Returns None for a page without a layer, and the report where the layer is not taken: then the engine reads the
    page.
    """

    def read(self, page: PageImage) -> PageText | PageFailure | LayerReport | None: ...


class NoLayers:
    """Replaces the reader where its packages are missing: pages are recognised, and with `OcrMode.TEXT` they fail."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def read(self, page: PageImage) -> PageFailure | None:
        """Nothing, or why there is none."""
        if page.ocr is not OcrMode.TEXT:
            return None
        return PageFailure(page_no=page.page_no, reason=self._reason, seconds=0.0)


class LayeredEngine:
    """An `OcrEngine` around another one. `PageImage.ocr` says of each page whether its layer may be used."""

    def __init__(self, engine: OcrEngine, reader: PageByLayer, *, slots: int) -> None:
        """`engine` is loaded; `slots` are its own."""
        self._engine = engine
        self._reader = reader
        #: Pages at a time that keep the other engine busy.
        self.slots = slots
        # A page by its layer takes every core that the spot check may use: a second one at a time gains nothing.
        self._one = asyncio.Lock()

    async def load(self) -> None:
        """Nothing: the other engine is loaded, and the spot check's model is loaded when first needed."""

    def info(self) -> EngineInfo:
        """The other engine's."""
        return self._engine.info()

    def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]:
        """Yield pages as they end. While the other engine reads one, pages with a good layer pass it."""
        return as_they_end(partial(self._read_all, pages))

    async def _read_all(self, pages: AsyncIterator[PageImage], results: Results) -> None:
        reports: dict[int, LayerReport] = {}
        async for result in self._engine.recognise(self._rest(pages, results, reports)):
            report = reports.pop(result.page_no, None)
            if report is not None and isinstance(result, PageText):
                trust = with_report(result.trust, report)
                result = msgspec.structs.replace(result, text_layer=report, trust=trust)
            results.put_nowait(result)

    async def _rest(
        self, pages: AsyncIterator[PageImage], results: Results, reports: dict[int, LayerReport]
    ) -> AsyncIterator[PageImage]:
        """The pages that the other engine has to read; the results of all others, and the reports, on the way."""
        async for page in pages:
            if page.ocr is OcrMode.FORCE:
                yield page
                continue
            async with self._one:
                found = await asyncio.to_thread(self._reader.read, page)
            if isinstance(found, (PageText, PageFailure)):
                results.put_nowait(found)
                continue
            if found is not None:
                reports[page.page_no] = found
            yield page
