"""What writes pages: the interface of the fast decoder (`slots`) and of the reference (`reference`)."""

from collections.abc import Callable
from typing import Protocol

from services.worker.engines.engine import unheard
from services.worker.engines.execution import Execution
from services.worker.engines.picture import Pixels
from services.worker.engines.transcriber import Ending, Sampling

#: Tokens of a page between two searches for a loop. Chosen: a search was measured at 15 to 25 microseconds on a CPU,
#: and 16 tokens more of a loop cost little beside the 200 that make one.
LOOP_CHECK_TOKENS = 16

#: Whether the tokens so far end in a loop.
IsLoop = Callable[[list[int]], bool]


class Generation:
    """A page being written."""

    def __init__(self, sampling: Sampling) -> None:
        self.sampling = sampling
        #: The answer's tokens so far, without the one that ends it.
        self.tokens: list[int] = []
        #: None until it has ended.
        self.ending: Ending | None = None
        #: Set from any thread by a caller that no longer wants the page.
        self.cancelled = False
        #: The decoder calls it whenever it has written some tokens.
        self.on_progress: Callable[[], None] = unheard


class Decoder(Protocol):
    """Writes up to `slots` pages at a time. All of it but `prepare` is for one thread.

    `prepare` makes a page the model's input, and raises `Untranscribable`. `admit` takes it in, where there are
    `free_slots`. `advance` writes some tokens of every page and returns the pages that have ended since; a cancelled
    one has no ending.
    """

    @property
    def slots(self) -> int: ...

    @property
    def free_slots(self) -> int: ...

    @property
    def execution(self) -> Execution: ...

    def prepare(self, pixels: Pixels, sampling: Sampling) -> Pixels: ...

    def admit(self, page: Pixels, sampling: Sampling) -> Generation: ...

    def advance(self) -> list[Generation]: ...
