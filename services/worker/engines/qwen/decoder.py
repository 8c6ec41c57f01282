"""What writes pages down: the fast way (`slots`) and the reference (`reference`) promise the same."""

from collections.abc import Callable
from typing import Protocol

from services.worker.engines.engine import unheard
from services.worker.engines.execution import Execution
from services.worker.engines.picture import Pixels
from services.worker.engines.transcriber import Ending, Sampling

LOOP_EVERY = 16
"""Tokens between two looks for a loop."""

IsLoop = Callable[[list[int]], bool]
"""Whether the tokens so far end in a loop."""


class Writing:
    """A page being written. `tokens` are the answer's so far, without the one that ends it.

    `ending` is None until it has ended. Whoever no longer wants it sets `given_up`, from any thread. The decoder calls
    `beat` whenever some of it has been written.
    """

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        self.tokens: list[int] = []
        self.ending: Ending | None = None
        self.given_up = False
        self.beat: Callable[[], None] = unheard


class Decoder(Protocol):
    """Writes up to `slots` pages at once. Everything but `prepare` is for one thread.

    `prepare` makes a page as the model takes it, and raises `Untranscribable`. `admit` takes it in; there must be a
    `free` slot. `advance` writes on and returns the pages that have ended since, given up ones without an ending.
    """

    @property
    def slots(self) -> int: ...

    @property
    def free(self) -> int: ...

    @property
    def execution(self) -> Execution: ...

    def prepare(self, pixels: Pixels, sampling: Sampling) -> Pixels: ...

    def admit(self, page: Pixels, sampling: Sampling) -> Writing: ...

    def advance(self) -> list[Writing]: ...
