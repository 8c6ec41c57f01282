"""What a reader found on one page before it is put in order."""

from typing import Protocol

import msgspec

from services.worker.engines.engine import EngineInfo, Line
from services.worker.engines.picture import Pixels, Pose


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """Lines in no promised order, their boxes in pixels of the upright picture that `pose` describes."""

    pose: Pose
    lines: tuple[Line, ...] = ()


class PageReader(Protocol):
    """Reads the pixels of one page at a time, in one thread; knows nothing of files, order or Markdown.

    `load` raises `EngineUnavailable`; `read` raises `PictureError` where this page cannot be read.
    """

    def load(self) -> None: ...

    def read(self, pixels: Pixels) -> Sheet: ...

    def info(self) -> EngineInfo: ...
