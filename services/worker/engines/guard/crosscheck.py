"""Trust in the text of a generative model: how far it agrees with independent readings of the same page.

The text layer of a PDF costs nothing to compare with. A second engine costs seconds of processor time, while a GPU
reads several pages a second: by default it reads only suspicious pages, one at a time, and pages do not queue for it.
"""

import asyncio
from enum import StrEnum

from libs import textlayer
from libs.jobstate.outcome import LOW_TRUST
from services.worker.engines.engine import PageImage, PageText
from services.worker.engines.guard.agreement import MIN_WORDS, agreement, is_evidence, share_a_script, words
from services.worker.engines.guard.fallback_queue import FallbackQueue
from services.worker.engines.guard.permits import Permit

# Share of a page's area covered by pictures, past which its text layer is no evidence. Chosen: such a page is a scan,
# or shows words that the layer lacks.
_PICTURE_SHARE = 0.4


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

    async def trust(self, page: PageImage, permit: Permit, text: str, *, engine: str, troubled: bool) -> float | None:
        """Trust from 0 to 1, or None where there is nothing to compare with.

        `troubled`: `engine` needed several attempts for this text. Releases `permit`, the page's own, when the second
        engine reads the page.
        """
        if self._check is TrustCheck.OFF:
            return None
        trust = await asyncio.to_thread(trust_by_layer, text, page.data)
        if trust is not None and trust >= LOW_TRUST:
            return trust
        return await self._by_second_engine(page, permit, text, engine, trust, troubled or trust is not None)

    async def _by_second_engine(
        self, page: PageImage, permit: Permit, text: str, engine: str, layer_trust: float | None, suspicious: bool
    ) -> float | None:
        """The higher of both figures: a text layer may lack what is in pictures, so a low one alone proves little."""
        if self._fallback is None or self._check is TrustCheck.LAYER:
            return layer_trust
        if self._check is TrustCheck.AUTO and (self._second_engine_busy or not suspicious):
            return layer_trust
        self._second_engine_busy = True
        try:
            other = await self._fallback.recognise(page, permit, engine)
        finally:
            self._second_engine_busy = False
        engine_trust = None
        if isinstance(other, PageText):
            engine_trust = await asyncio.to_thread(_trust_by_engine, text, other.markdown)
        return max((known for known in (layer_trust, engine_trust) if known is not None), default=None)


def _trust_by_engine(text: str, other: str) -> float | None:
    """Agreement with another engine's text; None where that engine read too little or cannot read the script."""
    if sum(words(other).values()) < MIN_WORDS or not share_a_script(text, other):
        return None
    return round(agreement(text, other), 3)


def trust_by_layer(text: str, image: bytes) -> float | None:
    """Agreement with the text layer stored in the page image; None where there is none worth comparing with."""
    layer = textlayer.read(image)
    if layer is None or layer.picture_share > _PICTURE_SHARE:
        return None
    visible = textlayer.visible_text(layer)
    return round(agreement(text, visible), 3) if is_evidence(visible) else None
