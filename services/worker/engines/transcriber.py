"""What generative engines have in common: a model that writes the Markdown of a page, token by token.

Such a model may invent, repeat itself or be cut off. So it is no `OcrEngine` by itself: `guard` makes one of it, which
never passes such text on.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import msgspec

from services.worker.engines.engine import EngineInfo, unheard
from services.worker.engines.picture import Pixels


class Ending(StrEnum):
    """Why the model wrote no further."""

    STOP = "stop"  # it ended by itself
    LENGTH = "length"  # it was cut off at the most tokens it may write
    LOOP = "loop"  # it was stopped, since it repeated itself


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How a page is to be read this time.

    `temperature` 0 is greedy; `scale` multiplies the sides that the model would usually see the page at; `seed` makes
    a reading at a temperature above 0 one that can be repeated.
    """

    max_tokens: int
    temperature: float = 0.0
    scale: float = 1.0
    seed: int = 0


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """What the model wrote, without its end marker, and how many tokens it was."""

    text: str
    ending: Ending
    tokens: int


class Transcriber(Protocol):
    """Writes down pages, several at a time.

    `load` is called once, before the rest, and raises `EngineUnavailable` with a remedy where the model cannot run
    here. `slots` is how many pages at once keep the model busy; further calls of `transcribe` wait. `transcribe` takes
    an upright RGB page (height, width, 3) and raises `Untranscribable` where this page never will be read; any other
    exception is a fault of the model as a whole. It calls `alive` as it gets on. Cancelled, it frees its slot.
    """

    async def load(self) -> None: ...

    def info(self) -> EngineInfo: ...

    @property
    def slots(self) -> int: ...

    async def transcribe(
        self, pixels: Pixels, sampling: Sampling, alive: Callable[[], None] = unheard
    ) -> Transcript: ...


class Untranscribable(Exception):
    """The model refuses this page for good; the message is one sentence for the page's owner."""
