"""The print on a page against the boxes of its text layer: text that is not seen, and print that no text covers."""

import cv2
import msgspec
import numpy as np
import numpy.typing as npt

from libs.textlayer import PageLayer
from services.worker.engines.lines import glyphs
from services.worker.engines.lines.detector import Quads
from services.worker.engines.lines.glyphs import Glyphs
from services.worker.engines.picture import Pixels

# A pixel is ink where it differs by more than this (0 to 255) from the mean of its surroundings, darker or lighter. The
# surroundings are a square with this side in pixels. A span is seen where its box holds so many pixels of ink. Chosen:
# grey text on white differs by 60, specks are smaller than a full stop at 72 DPI.
_CONTRAST = 25
_SURROUNDINGS = 41
_SEEN_PIXELS = 2
# By how much a span's box is grown to cover its glyphs, in heights: accents and descenders reach over it.
_MARGIN = 0.25
# Glyphs without text that are looked at, at most: the rows of a page of print hold fewer. Chosen; it bounds the work.
_MAX_LOOSE = 1400


class Ink(msgspec.Struct, frozen=True, kw_only=True):
    """What the page image shows of a layer."""

    #: The layer with only those spans that the image shows.
    seen: PageLayer
    #: Characters of the spans that it does not show.
    unseen: int
    #: Marks as large as characters that lie in the boxes of text, and those that do not.
    covered: int
    loose: int
    #: Boxes around rows of the loose marks: what may be print that the layer lacks.
    rows: Quads


def ink(layer: PageLayer, pixels: Pixels) -> Ink:
    """Compare the layer with the pixels of its page."""
    seen, unseen = _seen(layer, pixels)
    found = glyphs.find(pixels)
    if found is None:
        return Ink(seen=seen, unseen=unseen, covered=0, loose=0, rows=np.zeros((0, 4, 2)))
    free = ~_covered(found, layer)
    return Ink(
        seen=seen,
        unseen=unseen,
        covered=int((~free).sum()),
        loose=int(free.sum()),
        rows=_rows(found, free),
    )


def _seen(layer: PageLayer, pixels: Pixels) -> tuple[PageLayer, int]:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    mean = cv2.blur(grey, (_SURROUNDINGS, _SURROUNDINGS))
    sums = cv2.integral((cv2.absdiff(grey, mean) > _CONTRAST).astype(np.uint8))
    lines, unseen = [], 0
    for line in layer.lines:
        spans = []
        for span in line.spans:
            left, top, right, bottom = (round(edge) for edge in span.box)
            right, bottom = min(max(right, left + 1), layer.width), min(max(bottom, top + 1), layer.height)
            left, top = min(left, right), min(top, bottom)
            marks = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
            if marks >= _SEEN_PIXELS:
                spans.append(span)
            else:
                unseen += len(span.text.strip())
        if spans:
            lines.append(msgspec.structs.replace(line, spans=tuple(spans)))
    return msgspec.structs.replace(layer, lines=tuple(lines)), unseen


def _covered(found: Glyphs, layer: PageLayer) -> npt.NDArray[np.bool_]:
    """Which glyphs have their middle in the box of a span."""
    mask = np.zeros((layer.height + 1, layer.width + 1), np.uint8)
    for line in layer.lines:
        for span in line.spans:
            left, top, right, bottom = span.box
            margin = _MARGIN * min(right - left, bottom - top)
            corner = max(0, round(left - margin)), max(0, round(top - margin))
            cv2.rectangle(mask, corner, (round(right + margin), round(bottom + margin)), 1, cv2.FILLED)
    x = ((found.rectangles[:, 0] + found.rectangles[:, 2]) / 2).astype(np.intp)
    y = ((found.rectangles[:, 1] + found.rectangles[:, 3]) / 2).astype(np.intp)
    covered: npt.NDArray[np.bool_] = mask[y.clip(0, layer.height), x.clip(0, layer.width)] > 0
    return covered


def _rows(found: Glyphs, free: npt.NDArray[np.bool_]) -> Quads:
    """Boxes around the loose glyphs, neighbours in a row sharing one; of very many only those in the middle."""
    at = [int(i) for i in np.flatnonzero(free)]
    if len(at) > _MAX_LOOSE:
        by_height = sorted(at, key=lambda i: float(found.rectangles[i, 1]))
        skip = (len(at) - _MAX_LOOSE) // 2
        at = by_height[skip : skip + _MAX_LOOSE]
    chosen = np.array(at, dtype=np.intp)
    loose = msgspec.structs.replace(found, rectangles=found.rectangles[chosen], areas=found.areas[chosen])
    return glyphs.uncovered(loose, np.zeros((0, 4, 2)))
