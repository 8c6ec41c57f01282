"""The engine protocol: page images in, page texts out, as they end.

All code that knows a model is in this package; nothing above it depends on which engine runs.
"""

from collections.abc import AsyncIterator, Callable
from enum import StrEnum
from typing import Protocol

import msgspec

from libs.jobstate.intake import OcrMode
from libs.jobstate.provenance import LayerReport
from libs.jobstate.provenance import Try as Try
from libs.page.block import Block, Line, Source, lines_of
from libs.page.trust import Trust
from services.worker.engines.execution import Execution


class Finish(StrEnum):
    """How the reading of a page ended."""

    #: The engine read the page to its end.
    STOP = "stop"
    #: Nothing is printed on the page.
    BLANK = "blank"


def unheard() -> None:
    """The default of `alive`: no caller watches the page."""


class PageImage(msgspec.Struct, frozen=True, kw_only=True):
    """One page to read."""

    #: In the document, from 1.
    page_no: int
    #: The encoded image (PNG) as stored.
    data: bytes
    #: An engine calls it whenever it has made progress with the page, so that a slow page is not taken for a hang.
    alive: Callable[[], None] = unheard
    #: Whether the page's own text may be taken instead.
    ocr: OcrMode = OcrMode.FORCE
    #: The languages that the job names, by `libs.languages`; empty: those of the settings. An engine may ignore them.
    languages: tuple[str, ...] = ()


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine reads: recorded on every page that it reads, without `execution`."""

    name: str
    #: Of the model or the program; "none" where there is none.
    revision: str
    #: "cpu", the GPU's name, "remote" for a server, or "none".
    device: str
    #: How a model computes here, for the operator; None for other engines.
    execution: Execution | None = None
    #: The scripts that it reads, such as "Latin"; empty where it does not say.
    scripts: tuple[str, ...] = ()


class PageText(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine read on one page, and its evidence."""

    page_no: int
    #: In natural reading order.
    markdown: str
    finish: Finish
    #: Spent on this page, from decoding its image on.
    seconds: float
    #: What the Markdown is made from, in reading order; empty where the engine gives only Markdown.
    blocks: tuple[Block, ...] = ()
    #: Where the text comes from.
    source: Source = Source.OCR
    #: Of the page image in pixels; 0 where the engine does not say.
    width: int = 0
    height: int = 0
    #: The clockwise turn in degrees (0, 90, 180, 270) by which the engine set the page upright.
    rotation: int = 0
    #: The further small angle in degrees by which it did.
    skew: float = 0.0
    #: The engine that read the page, where it is not the one that the job asked for.
    engine: EngineInfo | None = None
    #: One sentence: why another engine read the page.
    fallback: str | None = None
    #: All tries of an engine that generates text, in order.
    tries: tuple[Try, ...] = ()
    #: Generated in all tries together.
    tokens: int = 0
    #: How far the text can be relied on; `None` where the engine does not say.
    trust: Trust | None = None
    #: The judgement on the page's own text, where it was judged.
    text_layer: LayerReport | None = None

    @property
    def lines(self) -> tuple[Line, ...]:
        """What was recognised line by line; empty where the engine does not work by lines."""
        return lines_of(self.blocks)


class PageFailure(msgspec.Struct, frozen=True, kw_only=True):
    """The engine cannot read this page, now or later."""

    page_no: int
    #: One sentence for the page's owner.
    reason: str
    seconds: float
    #: One sentence: why another engine was tried too.
    fallback: str | None = None
    #: As of a `PageText`.
    tries: tuple[Try, ...] = ()
    #: As of a `PageText`.
    tokens: int = 0


class OcrEngine(Protocol):
    """Reads pages. One instance serves a process.

    `load` prepares the model and may take minutes; it is called once, before `recognise`, and raises
    `EngineUnavailable` with a remedy when the engine cannot run here. `recognise` yields exactly one `PageText` or
    `PageFailure` per image, in any order, each as soon as it exists; it takes images only as it has room for them.
    An exception from `recognise` is a fault of the engine as a whole, not of a page. `EngineUnavailable` means that no
    page caused it, `EngineLost` that the process has to end. Calls of `recognise` may run side by side.

    An engine that reads several pages at once has an attribute `slots`: how many pages, of all calls together, keep
    it busy. Without that attribute it is 1. One that has to see every page, even those whose own text would do, has a
    true attribute `sees_every_page`.
    """

    async def load(self) -> None: ...

    def recognise(self, pages: AsyncIterator[PageImage]) -> AsyncIterator[PageText | PageFailure]: ...

    def info(self) -> EngineInfo: ...


class Fallback(Protocol):
    """Reads one page that the engine named `instead_of` could not read.

    `recognise` always ends: with the text and the engine that read it, or with a failure whose reason names the
    fallback. Cancelled, it stops at once and leaves no process or thread running.
    """

    async def recognise(self, page: PageImage, *, instead_of: str) -> PageText | PageFailure: ...


class Untranscribable(Exception):
    """A model cannot read this page, now or later; the message is one sentence for the page's owner."""


class EngineLost(Exception):
    """The engine cannot read any page in this process any more; in a new process it may."""


class EngineUnavailable(Exception):
    """The engine cannot run here; the message says what to install or set."""
