"""How far the text of a generative model can be trusted: what else is known of the page, and what asking may cost.

The text layer of a PDF costs nothing. Another engine's reading costs seconds of the processor, so by default it is
asked only about pages that look suspicious, one at a time, and never waited for in a row: a service on a GPU reads
several pages a second.
"""

import asyncio
from enum import StrEnum

from libs import textlayer
from libs.jobstate.outcome import LOW_TRUST
from services.worker.engines.engine import Fallback, PageFailure, PageImage, PageText
from services.worker.engines.guard.agreement import LEAST_WORDS, agreement, is_evidence, share_a_script, words
from services.worker.engines.guard.heartbeat import with_signs
from services.worker.engines.guard.permits import Seat, Seats


class TrustCheck(StrEnum):
    """What a model's text is compared with."""

    AUTO = "auto"  # the text layer; another engine where that is missing or disagrees on a suspicious page
    LAYER = "layer"  # the text layer
    ENGINE = "engine"  # the text layer; another engine on every page where that is missing or disagrees
    OFF = "off"  # nothing


class Witness:
    """Says how far texts can be trusted, as the setting allows."""

    def __init__(self, check: TrustCheck, fallback: Fallback | None, *, spare: Seats) -> None:
        self._check = check
        self._fallback = fallback
        self._spare = spare
        self._asked = False

    async def trust(self, page: PageImage, seat: Seat, text: str, *, engine: str, troubled: bool) -> float | None:
        """From 0 to 1, or None where nothing is known. `troubled`: `engine` needed several tries for this text.

        The page's `seat` is left where another engine is asked.
        """
        if self._check is TrustCheck.OFF:
            return None
        trust = await asyncio.to_thread(by_layer, text, page.data)
        if trust is not None and trust >= LOW_TRUST:
            return trust
        return await self._second(page, seat, text, engine, trust, troubled or trust is not None)

    async def _second(
        self, page: PageImage, seat: Seat, text: str, engine: str, trust: float | None, suspicious: bool
    ) -> float | None:
        """By another engine too, if that may be asked. A layer may be incomplete, so the better figure counts."""
        if self._fallback is None or self._check is TrustCheck.LAYER:
            return trust
        if self._check is TrustCheck.AUTO and (self._asked or not suspicious):
            return trust
        self._asked = True
        try:
            other = await self._ask(self._fallback, page, seat, engine)
        finally:
            self._asked = False
        figure = await asyncio.to_thread(_by_reading, text, other.markdown) if isinstance(other, PageText) else None
        return max((known for known in (trust, figure) if known is not None), default=None)

    async def _ask(self, fallback: Fallback, page: PageImage, seat: Seat, engine: str) -> PageText | PageFailure:
        spare = await self._spare.take()
        seat.leave()
        try:
            return await with_signs(page, fallback, engine)
        finally:
            spare.leave()


def _by_reading(text: str, other: str) -> float | None:
    """How far the text agrees with another engine's; None where that one read too little, or cannot read the script."""
    if sum(words(other).values()) < LEAST_WORDS or not share_a_script(text, other):
        return None
    return round(agreement(text, other), 3)


def by_layer(text: str, image: bytes) -> float | None:
    """How far the text agrees with the text layer in the image; None where there is none worth comparing with."""
    layer = textlayer.read(image)
    return None if layer is None or not is_evidence(layer) else round(agreement(text, layer), 3)
