"""What was read of a page before its layout, kept in files: a change of the layout is measured without reading again.

Pages are drawn at the service's resolution and read as the worker reads them: by their text layer where that is trusted
(`auto`), else by the default engine.
"""

from pathlib import Path

import msgspec

from libs import textlayer
from libs.jobstate.intake import OcrMode
from libs.page.block import Block
from libs.textlayer import PageLayer
from services.web.render.child.pdf import PdfSource
from services.web.render.protocol import RenderLimits
from services.worker.engines.engine import PageImage, PageText
from services.worker.engines.layer.ink import ink
from services.worker.engines.layer.lines import page_lines
from services.worker.engines.layer.reader import LayerReader
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.rapid import RapidReader
from services.worker.engines.picture import decode, is_blank

#: Of the page images, as the service draws them.
DPI = 150


class Reading(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was read of one page, before its layout; neither for a blank page."""

    #: The text layer that was taken.
    layer: PageLayer | None = None
    #: The lines of the engine.
    lines: PageLines | None = None

    def page_lines(self) -> PageLines | None:
        """The lines that the layout gets; None for a blank page."""
        return page_lines(self.layer) if self.layer is not None else self.lines

    def blocks(self) -> tuple[Block, ...]:
        """Laid out as the worker does it."""
        lines = self.page_lines()
        return lay_out(lines) if lines is not None else ()


class Readings:
    """Reads pages, or returns what is kept of them in the folder `cache`; models are loaded when first needed."""

    def __init__(self, threads: int, cache: Path | None = None) -> None:
        self._cache = cache
        self._layers = LayerReader(threads)
        self._engine = RapidReader(threads)
        self._loaded = False

    def of(self, path: Path, page_no: int, mode: OcrMode) -> Reading:
        """What the worker would read of page `page_no`, from 1, of this PDF."""
        kept = self._cache / f"{path.stem}-{page_no}.{mode.value}.json" if self._cache else None
        if kept is not None and kept.is_file():
            return msgspec.json.decode(kept.read_bytes(), type=Reading)
        reading = self._read(page_png(path, page_no), mode)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(msgspec.json.encode(reading))
        return reading

    def _read(self, png: bytes, mode: OcrMode) -> Reading:
        pixels = decode(png)
        layer = textlayer.read(png) if mode is OcrMode.AUTO else None
        if layer is not None and isinstance(self._layers.read(PageImage(page_no=1, data=png, ocr=mode)), PageText):
            return Reading(layer=ink(layer, pixels).seen)
        if is_blank(pixels):
            return Reading()
        if not self._loaded:
            self._engine.load()
            self._loaded = True
        return Reading(lines=self._engine.read(pixels))


def page_png(path: Path, page_no: int) -> bytes:
    """Page `page_no`, from 1, of a PDF as the service draws it, its text layer in the image."""
    with path.open("rb") as file:
        return PdfSource(file.fileno(), DPI, RenderLimits()).page_png(page_no)
