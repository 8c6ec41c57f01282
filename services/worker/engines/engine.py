"""The engine protocol: page images in, page texts out, as they end.

Everything model-aware lives beside this module; nothing above it knows which engine runs.
"""

from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import Protocol

import msgspec

from libs.jobstate.outcome import Line as Line
from libs.jobstate.outcome import Try as Try


class Finish(StrEnum):
    """How the reading of a page ended."""

    STOP = "stop"  # the engine read the page to its end
    BLANK = "blank"  # nothing is printed on the page


def unheard() -> None:
    """Nobody waits for a sign of life."""


class PageImage(msgspec.Struct, frozen=True, kw_only=True):
    """One page to read: its 1-based number in the document and the encoded image (PNG) as stored.

    An engine calls `alive` when it has got on with the page, so that one that takes long is not held to be hanging.
    """

    page_no: int
    data: bytes
    alive: Callable[[], None] = unheard


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine reads: recorded on every page it reads."""

    name: str
    revision: str
    device: str


class PageText(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine read on one page: Markdown in natural reading order, and its evidence.

    `rotation` is the clockwise turn in degrees (0, 90, 180, 270) and `skew` the further small angle in degrees
    that the engine applied to set the page upright; `seconds` is the time spent on this page. Where another engine
    than the one asked read the page, `engine` is that one and `fallback` says in one sentence why. Of engines that
    write: `tries` are all of them, in order, `tokens` is what they took together, and `trust` is how far the text
    agrees with what else is known of the page, from 0 to 1; None where nothing is.
    """

    page_no: int
    markdown: str
    finish: Finish
    seconds: float
    lines: tuple[Line, ...] = ()
    rotation: int = 0
    skew: float = 0.0
    engine: EngineInfo | None = None
    fallback: str | None = None
    tries: tuple[Try, ...] = ()
    tokens: int = 0
    trust: float | None = None


class PageFailure(msgspec.Struct, frozen=True, kw_only=True):
    """The engine could not read this page and never will; `reason` is one sentence for its owner.

    `fallback` says why another engine was tried too, where one was; `tries` and `tokens` are as of a `PageText`.
    """

    page_no: int
    reason: str
    seconds: float
    fallback: str | None = None
    tries: tuple[Try, ...] = ()
    tokens: int = 0


class OcrEngine(Protocol):
    """Reads pages. One instance serves a process.

    `load` prepares the model and may take minutes; it is called once, before `recognise`, and raises
    `EngineUnavailable` with a remedy when the engine cannot run here. `recognise` yields exactly one `PageText` or
    `PageFailure` per image, in any order, each as soon as it exists; it pulls images only as it has room for them.
    An exception out of `recognise` is a fault of the engine as a whole, not of a page; `EngineUnavailable` says that no
    page had to do with it, `EngineLost` that the process has to end. Calls of `recognise` may run side by side.

    An engine that reads several pages at once has an attribute `slots`: how many of them, of all calls together, keep
    it busy. Without it, that is one.
    """

    async def load(self) -> None: ...

    def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]: ...

    def info(self) -> EngineInfo: ...


class Fallback(Protocol):
    """Reads one page that the engine `instead_of` could not.

    `recognise` always ends: with the text and who read it, or with a failure whose reason names the fallback.
    Cancelled, it stops at once and leaves nothing running.
    """

    async def recognise(self, page: PageImage, *, instead_of: str) -> PageText | PageFailure: ...


class EngineLost(Exception):
    """The engine cannot read in this process any more, whatever page comes; in a new process it may."""


class EngineUnavailable(Exception):
    """The engine cannot run here; the message says what to install or set."""
