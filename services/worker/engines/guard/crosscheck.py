"""Trust in the text of a generative model: how far it agrees with independent readings of the same page.

The text layer of a PDF costs nothing to compare with. A second engine costs seconds of processor time, while a GPU
reads several pages a second: by default it reads only suspicious pages, one at a time, and pages do not queue for it.
"""

import asyncio
from enum import StrEnum

from libs.page.markdown import MarkdownOptions, to_markdown
from libs.page.trust import Trust, Uncompared
from services.worker.engines.engine import PageImage, PageText
from services.worker.engines.guard.comparison import by_engine, by_layer
from services.worker.engines.guard.fallback_queue import FallbackQueue
from services.worker.engines.guard.permits import Permit

_ALL = MarkdownOptions(headers=True)


class TrustCheck(StrEnum):
    """What a model's text is compared with."""

    #: The text layer; a second engine where that is missing or disagrees, on suspicious pages only.
    AUTO = "auto"
    #: The text layer.
    LAYER = "layer"
    #: The text layer; a second engine on every page where that is missing or disagrees.
    ENGINE = "engine"
    #: Nothing.
    OFF = "off"


class CrossCheck:
    """Compares texts as `check` allows; the second engine is the fallback, reached through its queue."""

    def __init__(self, check: TrustCheck, fallback: FallbackQueue | None) -> None:
        self._check = check
        self._fallback = fallback
        self._second_engine_busy = False

    async def trust(self, page: PageImage, permit: Permit, text: str, *, engine: str, troubled: bool) -> Trust:
        """The trust in `text`; without a figure where there is nothing to compare with.

        `troubled`: `engine` needed several attempts for this text. Releases `permit`, the page's own, when the second
        engine reads the page.
        """
        if self._check is TrustCheck.OFF:
            return Trust(uncompared=Uncompared.NO_SECOND_READING)
        trust = await asyncio.to_thread(by_layer, text, page.data, invents=True)
        if trust.figure is not None and not trust.doubts:
            return trust
        return await self._by_second_engine(page, permit, text, engine, trust, troubled or trust.figure is not None)

    async def _by_second_engine(
        self, page: PageImage, permit: Permit, text: str, engine: str, first: Trust, suspicious: bool
    ) -> Trust:
        """The better of both: a text layer may lack what is in pictures, so a low figure alone proves little."""
        if self._fallback is None or self._check is TrustCheck.LAYER:
            return first
        if self._check is TrustCheck.AUTO and (self._second_engine_busy or not suspicious):
            return first
        self._second_engine_busy = True
        try:
            other = await self._fallback.recognise(page, permit, engine)
        finally:
            self._second_engine_busy = False
        if not isinstance(other, PageText):
            return first
        if other.trust is not None and other.trust.unreadable is not None:
            return _better(first, Trust(uncompared=Uncompared.OTHER_SCRIPT))
        # With its running heads and page numbers, which a model writes too.
        read = to_markdown(other.blocks, _ALL) if other.blocks else other.markdown
        return _better(first, await asyncio.to_thread(by_engine, text, read))


def _better(first: Trust, second: Trust) -> Trust:
    """The trust with the higher figure of words; one with a figure goes before one without."""
    if second.figure is None:
        return second if first.figure is None else first
    return first if first.figure is not None and first.figure >= second.figure else second
