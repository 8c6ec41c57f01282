"""The spot check: a few words of a text layer, recognised from the image and compared with what the layer says."""

import re
import threading
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import TypeVar

import msgspec
import numpy as np

from libs.textlayer import Box, LayerLine, PageLayer, Span
from services.worker.engines.engine import EngineUnavailable
from services.worker.engines.layer.letters import clean
from services.worker.engines.lines.detector import Quads
from services.worker.engines.lines.recogniser import RecognisedText, Recogniser
from services.worker.engines.lines.wheel import RECOGNITION_MODEL, model_directory
from services.worker.engines.picture import Pixels

# Crops of a page. Chosen: at 10 to 20 ms each they cost less than a tenth of recognising the page, and a layer that is
# wrong in a quarter of its lines has a crop of them in 97 of 100 pages.
CROPS = 12
# Of each font that has this share of the page's characters, at least so many: a font alone may have a wrong map.
_FONT_SHARE, _FONT_CROPS = 0.05, 2
# Characters of a crop. Chosen: fewer are read by chance, more cost more time and show nothing else.
_MIN_CHARACTERS, _MAX_CHARACTERS = 6, 26
# Letters and digits of a crop, as a share of its characters: formulas and dot leaders are read badly.
_MIN_ALPHANUMERIC = 0.7
# By how much a crop is grown on each side, in its height, as the boxes of the detection network are.
_MARGIN = 0.15
# Width over height of a row of loose marks that may be a word; and when its reading is one: letters, or digits, that
# are read with so much confidence.
_MIN_ASPECT = 1.5
_WORD = re.compile(r"[^\W\d_]{3,}|\d[\d.,]+\d")
_MIN_CONFIDENCE = 0.9


class Crop(msgspec.Struct, frozen=True, kw_only=True):
    """A few words of one line, in one font."""

    text: str
    #: On the stored page.
    box: Box
    font: int


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one crop."""

    crop: Crop
    read: str

    @property
    def similarity(self) -> float:
        """From 0 to 1: the share of letters and digits that are the same, in order."""
        return similarity(self.crop.text, self.read)


_T = TypeVar("_T")

#: As `SpotCheck.read`.
Reader = Callable[[Pixels, Quads, int], Sequence[RecognisedText]]


class SpotCheck:
    """Reads crops with RapidOCR's recognition model, which it loads when first needed. Safe for several threads."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._recogniser: Recogniser | None = None

    def load(self) -> None:
        """Load the model. Raises `EngineUnavailable` where it is not installed."""
        with self._lock:
            if self._recogniser is None:
                self._recogniser = Recogniser(model_directory() / RECOGNITION_MODEL, self._threads)

    @property
    def alphabet(self) -> frozenset[str]:
        """The characters that the model can read. After `load`."""
        return self._loaded.alphabet

    def read(self, pixels: Pixels, quads: Quads, turn: int) -> Sequence[RecognisedText]:
        """The texts in these boxes of the page, which is upright after `turn` quarters clockwise. After `load`."""
        return self._loaded.recognise(pixels, quads, turn) if len(quads) else []

    @property
    def _loaded(self) -> Recogniser:
        if self._recogniser is None:
            raise EngineUnavailable("load() comes before the first check")
        return self._recogniser


def readable_share(layer: PageLayer, alphabet: frozenset[str]) -> float:
    """The share of the layer's letters and digits that the recogniser knows; 0 where there are none."""
    known = total = 0
    for line in layer.lines:
        if line.vertical:  # which it takes for lines of single characters
            total += len(line.text)
            continue
        for character in clean(line.text):
            if character.isalnum():
                total += 1
                known += character in alphabet
    return known / total if total else 0.0


def sample(layer: PageLayer, alphabet: frozenset[str], *, turn: int) -> list[Crop]:
    """The crops to check, spread over the page and its fonts; none in a script that the recogniser cannot read.

    `turn` is the direction of most text, in degrees; only lines in it are sampled.
    """
    level = [line for line in layer.lines if line.turn == turn and not line.vertical]
    crops = [crop for line in level for crop in _crops(layer, line) if _is_fit(crop, alphabet, _MIN_CHARACTERS)]
    if not crops:  # a page of a few short words
        crops = [crop for line in level for crop in _crops(layer, line) if _is_fit(crop, alphabet, 1)]
    fonts: dict[int, list[Crop]] = defaultdict(list)
    for crop in crops:
        fonts[crop.font].append(crop)
    total = sum(len(crop.text) for crop in crops)
    chosen: list[Crop] = []
    for found in fonts.values():
        share = sum(len(crop.text) for crop in found) / total
        count = max(round(CROPS * share), _FONT_CROPS if share >= _FONT_SHARE else 0)
        chosen.extend(spread(found, count))
    return chosen


def compare(reader: Reader, pixels: Pixels, crops: Sequence[Crop], *, turn: int) -> list[Check]:
    """Recognise the crops. `turn` is the direction of their text, in degrees."""
    texts = reader(pixels, _quads([crop.box for crop in crops], turn), -(turn // 90) % 4)
    return [Check(crop=crop, read=text.text) for crop, text in zip(crops, texts, strict=True)]


def printed_share(reader: Reader, pixels: Pixels, rows: Quads, *, turn: int) -> float:
    """The share of these rows of marks, by their length, that read as words or numbers."""
    lengths = np.ptp(rows[..., 0], axis=1), np.ptp(rows[..., 1], axis=1)
    along, across = lengths if turn in (0, 180) else lengths[::-1]
    wordlike = np.flatnonzero(along >= _MIN_ASPECT * across)
    chosen = spread([int(i) for i in wordlike], CROPS)
    if not chosen:
        return 0.0
    texts = reader(pixels, rows[chosen], -(turn // 90) % 4)
    certain = [bool(_WORD.search(text.text)) and text.confidence >= _MIN_CONFIDENCE for text in texts]
    share = float(along[chosen][np.array(certain)].sum() / along[chosen].sum())
    return share * float(along[wordlike].sum() / along.sum())


def similarity(expected: str, read: str) -> float:
    """From 0 to 1: how alike the letters and digits of two texts are, without case and accents."""
    ours, theirs = _folded(expected), _folded(read)
    return SequenceMatcher(None, ours, theirs, autojunk=False).ratio() if ours or theirs else 1.0


def spread(items: Sequence[_T], count: int) -> list[_T]:
    """`count` of the items, evenly spaced; all where there are no more."""
    if len(items) <= count:
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text)
    return "".join(character for character in plain if character.isalnum()).casefold()


def _crops(layer: PageLayer, line: LayerLine) -> list[Crop]:
    """The line in pieces of at most `_MAX_CHARACTERS`, each in one font."""
    found: list[list[Span]] = []
    for span in line.spans:
        font = layer.styles[span.style].font
        group = found[-1] if found else []
        length = sum(len(other.text) for other in group) + len(span.text)
        if group and layer.styles[group[0].style].font == font and length <= _MAX_CHARACTERS:
            group.append(span)
        else:
            found.append([span])
    return [_crop(layer, line.turn, group) for group in found]


def _crop(layer: PageLayer, turn: int, spans: Sequence[Span]) -> Crop:
    text = clean("".join(span.text for span in spans)).strip()
    lefts, tops, rights, bottoms = zip(*(span.box for span in spans), strict=True)
    left, top, right, bottom = min(lefts), min(tops), max(rights), max(bottoms)
    if len(text) > _MAX_CHARACTERS:
        # A script without spaces, whose characters are about equally wide.
        share = _MAX_CHARACTERS / len(text)
        text = text[:_MAX_CHARACTERS]
        match turn:
            case 0:
                right = left + share * (right - left)
            case 90:
                bottom = top + share * (bottom - top)
            case 180:
                left = right - share * (right - left)
            case _:
                top = bottom - share * (bottom - top)
    return Crop(text=text, box=(left, top, right, bottom), font=layer.styles[spans[0].style].font)


def _is_fit(crop: Crop, alphabet: frozenset[str], least: int) -> bool:
    known = [character for character in crop.text if character.isalnum()]
    return len(known) >= max(least, _MIN_ALPHANUMERIC * len(crop.text.replace(" ", ""))) and all(
        character in alphabet for character in known
    )


def _quads(boxes: Sequence[Box], turn: int) -> Quads:
    quads = []
    for left, top, right, bottom in boxes:
        margin = _MARGIN * (bottom - top if turn in (0, 180) else right - left)
        x0, y0, x1, y1 = left - margin, top - margin, right + margin, bottom + margin
        quads.append([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    return np.array(quads, dtype=np.float64).reshape(-1, 4, 2)
