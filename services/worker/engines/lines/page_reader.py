"""What reads one page on the CPU, and the lines that it returns before they are put in order."""

from typing import Protocol

import msgspec

from libs.page.block import Line, Rect
from services.worker.engines.engine import EngineInfo
from services.worker.engines.lines.pose import Pose
from services.worker.engines.picture import Pixels


class PageLines(msgspec.Struct, frozen=True, kw_only=True):
    """The lines of a page in any order; their boxes are in pixels of the upright picture that `pose` describes."""

    pose: Pose
    lines: tuple[Line, ...] = ()
    #: The indices of the lines that are set in bold, where the source knows it.
    bold: frozenset[int] = frozenset()
    #: Lines that are level with neither axis, with upright boxes, where the source keeps them apart: column names of a
    #: table, or a watermark, which the layout leaves out.
    slanted: tuple[Line, ...] = ()
    #: Lines that are drawn along the axes of the upright picture, as thin boxes.
    rules: tuple[Rect, ...] = ()
    #: Places of pictures on the upright picture of the page, where the source knows them.
    pictures: tuple[Rect, ...] = ()
    #: The share of the printed lines that are left out because they could not be read; None where none are.
    left_out: float | None = None
    #: The script of the page, where lines are left out and it is known.
    script: str | None = None


class PageReader(Protocol):
    """Reads the pixels of one page at a time, in one thread. It knows nothing of files, reading order or Markdown.

    `load` is called first and raises `EngineUnavailable`. `read` raises `PictureError` where this page cannot be read.
    `languages` are those that the job names, which a reader may ignore; `info` says what reads with them.
    """

    def load(self) -> None: ...

    def read(self, pixels: Pixels, languages: tuple[str, ...] = ()) -> PageLines: ...

    def info(self, languages: tuple[str, ...] = ()) -> EngineInfo: ...
