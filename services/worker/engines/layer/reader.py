"""One page by its text layer: judged, spot-checked and laid out, or the report of why it was not taken."""

import time

import msgspec
import structlog

from libs import textlayer
from libs.jobstate.intake import OcrMode
from libs.jobstate.provenance import LayerReport, LayerVerdict
from libs.page.block import Source
from libs.page.markdown import to_markdown
from libs.page.script import main_script
from libs.textlayer import PageLayer
from services.worker.engines.engine import EngineInfo, EngineUnavailable, Finish, PageFailure, PageImage, PageText
from services.worker.engines.guard.comparison import by_spot_check
from services.worker.engines.layer.ink import Ink, ink
from services.worker.engines.layer.judgement import Figures, judge, prejudge
from services.worker.engines.layer.letters import letters
from services.worker.engines.layer.lines import page_lines, pose_of, slanted
from services.worker.engines.layer.spotcheck import SpotCheck, compare, printed_share, readable_share, sample
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.picture import PictureError, Pixels, decode, is_blank

log = structlog.get_logger()

#: As the engine of pages that are read by their text layer.
INFO = EngineInfo(name="text_layer", revision="1", device="cpu")
# Loose marks, as a share of all marks as large as characters, from which a few are recognised. Chosen: below it the
# layer cannot miss as much print as would refuse it.
_LOOK_AT_LOOSE = 0.05

NO_LAYER = "The page has no text of its own, and none is recognised with ocr=text. Retry the page with ocr=auto."


class LayerReader:
    """Reads pages by their text layer. Safe for several threads."""

    def __init__(self, threads: int) -> None:
        """`threads` is the number of crops that are recognised at a time."""
        self._spotcheck = SpotCheck(threads)
        self._warned = False

    def read(self, page: PageImage) -> PageText | PageFailure | LayerReport | None:
        """The page's text where its layer is taken, else why it was not; None for a page without a layer.

        With `OcrMode.TEXT` the layer is taken whatever the judgement is, and a page without one is blank or fails.
        """
        began = time.monotonic()
        layer = textlayer.read(page.data)
        if layer is None and page.ocr is not OcrMode.TEXT:
            return None
        try:
            pixels = decode(page.data)
        except PictureError as error:
            return _failed(page, str(error), began) if page.ocr is OcrMode.TEXT else None
        if layer is None or pixels.shape[:2] != (layer.height, layer.width):
            return self._without(page, pixels, began) if page.ocr is OcrMode.TEXT else None
        shown = ink(layer, pixels)
        report = self._judge(layer, shown, pixels)
        page.alive()
        if report.verdict is LayerVerdict.EMPTY or not shown.seen.lines:
            return self._without(page, pixels, began) if page.ocr is OcrMode.TEXT else report
        if report.verdict is not LayerVerdict.TRUSTED and page.ocr is not OcrMode.TEXT:
            return report
        return _text(page, shown.seen, report, began)

    def _without(self, page: PageImage, pixels: Pixels, began: float) -> PageText | PageFailure:
        if not is_blank(pixels):
            return _failed(page, NO_LAYER, began)
        height, width = pixels.shape[:2]
        return PageText(
            page_no=page.page_no,
            markdown="",
            finish=Finish.BLANK,
            seconds=_since(began),
            source=Source.TEXT_LAYER,
            engine=INFO,
            width=width,
            height=height,
        )

    def _judge(self, layer: PageLayer, shown: Ink, pixels: Pixels) -> LayerReport:
        seen = shown.seen
        invisible = {i for i, style in enumerate(layer.styles) if style.invisible}
        figures = Figures(
            letters=letters(line.text for line in layer.lines),
            invisible=sum(len(s.text.strip()) for line in layer.lines for s in line.spans if s.style in invisible),
            unseen=shown.unseen,
            slanted=slanted(layer),
            picture=layer.picture_share,
            covered=shown.covered,
            loose=shown.loose,
            script=main_script(textlayer.visible_text(layer)),
        )
        if prejudge(figures) is not None:
            return judge(figures)
        try:
            self._spotcheck.load()
        except EngineUnavailable as error:
            if not self._warned:
                self._warned = True
                log.warning("text_layers_unchecked", reason=str(error))
            return judge(msgspec.structs.replace(figures, readable=1.0))
        turn = -pose_of(seen).rotation % 360
        reader, alphabet = self._spotcheck.read, self._spotcheck.alphabet
        readable = readable_share(seen, alphabet)
        printed = 0.0
        if shown.loose > _LOOK_AT_LOOSE * (shown.covered + shown.loose):
            printed = printed_share(reader, pixels, shown.rows, turn=turn)
        checks = compare(reader, pixels, sample(seen, alphabet, turn=turn), turn=turn)
        return judge(msgspec.structs.replace(figures, readable=readable, printed=printed, checks=tuple(checks)))


def _text(page: PageImage, seen: PageLayer, report: LayerReport, began: float) -> PageText:
    lines = page_lines(seen)
    blocks = lay_out(lines)
    return PageText(
        page_no=page.page_no,
        markdown=to_markdown(blocks),
        finish=Finish.STOP,
        seconds=_since(began),
        blocks=blocks,
        source=Source.TEXT_LAYER,
        width=seen.width,
        height=seen.height,
        rotation=lines.pose.rotation,
        engine=INFO,
        trust=by_spot_check(report),
        text_layer=report,
    )


def _failed(page: PageImage, reason: str, began: float) -> PageFailure:
    return PageFailure(page_no=page.page_no, reason=reason, seconds=_since(began))


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
