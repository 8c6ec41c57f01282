"""The protocol of generative models, which write the Markdown of a page token by token.

Such a model may invent text, repeat itself or be cut off. So it is no `OcrEngine` by itself: `guard` wraps it in one
that does not pass such text on.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import msgspec

from services.worker.engines.engine import EngineInfo, unheard
from services.worker.engines.engine import Untranscribable as Untranscribable
from services.worker.engines.picture import Pixels
from services.worker.engines.profiles.profile import Profile


class Ending(StrEnum):
    """Why the model stopped writing."""

    #: It wrote its end marker.
    STOP = "stop"
    #: It was cut off at `Sampling.max_tokens`.
    LENGTH = "length"
    #: It was stopped because it repeated itself.
    LOOP = "loop"


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How one try reads a page."""

    max_tokens: int
    #: 0 is greedy decoding.
    temperature: float = 0.0
    #: Multiplies both sides, in pixels, of the image that the model would usually see.
    scale: float = 1.0
    #: Makes a try at a temperature above 0 repeatable.
    seed: int = 0


class Transcript(msgspec.Struct, frozen=True, kw_only=True):
    """What the model wrote."""

    #: Without the end marker.
    text: str
    ending: Ending
    #: How many tokens the model generated.
    tokens: int
    #: Width and height, in pixels, of the image as the model saw it. None: as the page is.
    shown: tuple[int, int] | None = None


class Transcriber(Protocol):
    """Transcribes pages, several at a time.

    `load` is called once, before the rest, and raises `EngineUnavailable` with a remedy where the model cannot run
    here. `profile` says how the model is asked and how its answers are read; it is known after `load`. `slots` is how
    many pages at once keep the model busy; further calls of `transcribe` wait. `transcribe` takes an upright RGB page
    (height, width, 3) and raises `Untranscribable` where the model can never read this page; any other exception is a
    fault of the model as a whole. It calls `alive` as it makes progress. Cancelled, it frees its slot.
    """

    async def load(self) -> None: ...

    def info(self) -> EngineInfo: ...

    @property
    def profile(self) -> Profile: ...

    @property
    def slots(self) -> int: ...

    async def transcribe(
        self, pixels: Pixels, sampling: Sampling, alive: Callable[[], None] = unheard
    ) -> Transcript: ...
