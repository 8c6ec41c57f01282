"""A page reader with RapidOCR's PP-OCRv6 models: no download, no GPU.

The models are in the `rapidocr` wheel and run on ONNX Runtime directly. The package's own pipeline is less accurate:
its text-line classifier garbles some upright lines, and it recognises lines on a shrunken page.
"""

from functools import partial

import msgspec
import numpy as np
import numpy.typing as npt

from libs.page.block import Line
from libs.page.script import scripts_of
from services.worker.engines.engine import EngineInfo
from services.worker.engines.lines import detector, glyphs, inverted, joined, legibility, rereading, rules, tesseract
from services.worker.engines.lines.detector import Detector, Quads
from services.worker.engines.lines.languages import further_models
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose
from services.worker.engines.lines.recogniser import RecognisedText, Recogniser, mean_confidence
from services.worker.engines.lines.repeats import distinct
from services.worker.engines.lines.rereading import NOTHING
from services.worker.engines.lines.spacing import closed
from services.worker.engines.lines.wheel import DETECTION_MODEL, RECOGNITION_MODEL, model_directory, release
from services.worker.engines.picture import Pixels

# Pixels of the longer side at which lines are found (a Letter page at 145 DPI). Chosen: the time of detection grows
# with the area, and recognition uses the full-size page anyway.
_DETECTION_SIDE = 1600
# Small print: where the median line at that size is lower than `_SMALL` pixels, lines are found again at the size at
# which it has `_LEGIBLE` pixels, at most at `_MAX_DETECTION_SIDE`, which bounds the memory. The median of fewer boxes
# than `_MIN_BOXES` says little about the page.
_SMALL = 11.0
_LEGIBLE = 16.0
_MAX_DETECTION_SIDE = 3200
_MIN_BOXES = 20

# Lines that are read to find the page's orientation: more cost time on every page, fewer fail by a single bad line.
_SAMPLE = 6
# Mean confidence (0 to 1) of the sample. From `_UPRIGHT` on the page is upright as it is, and no other way is tried;
# from `_DOUBTFUL` on the axis of the text is certain, and the other axis is not tried.
_UPRIGHT = 0.9
_DOUBTFUL = 0.6
# Added to the confidence of the page as it is. Pages come upright far more often than not: a narrow win for another way
# is not enough.
_UPRIGHT_BONUS = 0.1

# Degrees of tilt from which the picture is straightened and its lines are found anew, and from which the tilt counts as
# a wrong measurement. A smaller tilt is only taken out of the coordinates (`line_box.level`).
_MIN_SKEW = 1.0
_MAX_SKEW = 15.0

# Confidence from which a line counts at all (RapidOCR's `text_score`).
_MIN_CONFIDENCE = 0.5

# Full-width forms of ASCII, and the ideographic comma and full stop.
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3001: ",", 0x3002: "."}


class RapidReader:
    """Reads one page at a time on `threads` cores. Not safe for several threads."""

    def __init__(self, threads: int, *, languages: str = "eng", models: str = "") -> None:
        """`languages` are Tesseract's codes joined by "+"; `models` is a folder of models for further scripts."""
        self._threads = threads
        self._languages = languages
        self._models = models
        self._detector: Detector | None = None
        self._recogniser: Recogniser | None = None
        self._others: tuple[Recogniser, ...] = ()
        self._info = EngineInfo(name="rapidocr", revision=f"{release()}/PP-OCRv6-small", device="cpu")

    def load(self) -> None:
        """Load the models (half a second). Raises `EngineUnavailable` where the wheel or a model is missing."""
        models = model_directory()
        self._detector = Detector(models / DETECTION_MODEL, self._threads)
        self._recogniser = Recogniser(models / RECOGNITION_MODEL, self._threads)
        further = further_models(self._languages, self._models, known=scripts_of(self._recogniser.alphabet))
        self._others = tuple(Recogniser(model, self._threads) for model in further)
        alphabet = self._recogniser.alphabet.union(*(other.alphabet for other in self._others))
        self._info = msgspec.structs.replace(
            self._info,
            revision="+".join((self._info.revision, *(model.stem for model in further))),
            scripts=scripts_of(alphabet),
        )

    def info(self, languages: tuple[str, ...] = ()) -> EngineInfo:
        """Name, version of the wheel that holds the models, further models, device, and after `load` the scripts."""
        return self._info

    def read(self, pixels: Pixels, languages: tuple[str, ...] = ()) -> PageLines:
        """The lines of a page, after it is turned upright and straightened. All models read, whatever its languages."""
        if self._detector is None or self._recogniser is None:
            raise RuntimeError("load() comes before read()")
        height, width = pixels.shape[:2]
        pose = Pose(width=width, height=height)
        quads = _detect(self._detector, pixels)
        if not len(quads):
            return PageLines(pose=pose)
        rotation = self._rotation(pixels, quads)
        if rotation:
            pose = Pose(width=width, height=height, rotation=rotation)
            pixels = pose.apply(pixels)
            quads = _detect(self._detector, pixels)
        tilt = detector.tilt_of(quads)
        if _MIN_SKEW < abs(tilt) <= _MAX_SKEW:
            level = Pose(width=pixels.shape[1], height=pixels.shape[0], skew=-tilt)
            pixels = level.apply(pixels)
            pose = Pose(width=width, height=height, rotation=rotation, skew=-tilt)
            quads = _detect(self._detector, pixels)
        drawn = rules.find(pixels)
        quads = rules.cut(quads, drawn)
        panels = inverted.find(pixels)
        dark = pixels if panels is None else panels.pixels
        found = glyphs.find(dark)
        if found is not None:
            quads = joined.cut(pixels, quads, found)
        texts = self._recogniser.recognise(pixels, quads)
        if panels is not None:
            rereading.inverted(self._recogniser, panels, quads, texts)
        rereading.vertical(self._recogniser, pixels, quads, texts)
        rereading.foreign(self._others, pixels, quads, texts)
        if found is not None:
            quads, texts = rereading.by_cells(self._recogniser, dark, found, quads, texts)
            quads, texts = rereading.with_uncovered(self._recogniser, dark, found, quads, texts)
        counted = np.array([text is not NOTHING for text in texts], dtype=bool)
        legible = legibility.judge_page(
            quads,
            texts,
            reads=self._info.scripts,
            script=partial(tesseract.detect_script, pixels),
            counted=counted,
        )
        if not legible.flagged:
            return PageLines(pose=pose, lines=distinct(_lines(quads, texts)), rules=drawn)
        texts = [text if keep else NOTHING for text, keep in zip(texts, legible.readable, strict=True)]
        return PageLines(
            pose=pose,
            lines=distinct(_lines(quads, texts)),
            rules=drawn,
            left_out=legible.unreadable,
            script=legible.script,
        )

    def _rotation(self, pixels: Pixels, quads: Quads) -> int:
        """The clockwise turn that sets the page upright, in degrees.

        The shape of the boxes shows the axis of the text; a few lines, recognised both ways, show its direction.
        Rotating the corners of a box by n recognises it as if the page were turned clockwise by n quarters.
        """
        sideways = detector.is_sideways(quads)
        sample = _sample(quads, sideways)
        scores = {0: 0.0}
        for turns in ((1, 3), (0, 2)) if sideways else ((0, 2), (1, 3)):
            for turn in turns:
                scores[turn] = max(mean_confidence(r.recognise(pixels, sample, turn)) for r in self._recognisers)
                if scores[turn] >= _UPRIGHT and turn == 0:
                    return 0
            if max(scores.values()) >= _DOUBTFUL:
                break
        scores[0] += _UPRIGHT_BONUS
        return 90 * max(scores, key=lambda turn: scores[turn])

    @property
    def _recognisers(self) -> tuple[Recogniser, ...]:
        return (self._recogniser, *self._others) if self._recogniser else self._others


def _detect(lines: Detector, pixels: Pixels) -> Quads:
    """The boxes of the lines; those of small print on large paper are found at a larger size."""
    quads = lines.detect(pixels, _DETECTION_SIDE)
    longer = max(pixels.shape[:2])
    if len(quads) < _MIN_BOXES or longer <= _DETECTION_SIDE:
        return quads
    height = float(np.median(np.minimum(detector.height_of(quads), detector.width_of(quads))))
    height *= _DETECTION_SIDE / longer
    if height >= _SMALL:
        return quads
    return lines.detect(pixels, min(longer, _MAX_DETECTION_SIDE, round(_DETECTION_SIDE * _LEGIBLE / height)))


def _sample(quads: Quads, sideways: bool) -> Quads:
    """Up to `_SAMPLE` long boxes; where there are many, every fourth of the longest, so that few are outliers."""
    lengths: npt.NDArray[np.float64] = detector.height_of(quads) if sideways else detector.width_of(quads)
    order = np.argsort(-lengths, kind="stable")
    return quads[order[: 4 * _SAMPLE : max(1, min(4, len(order) // _SAMPLE))]][:_SAMPLE]


def _lines(quads: Quads, texts: list[RecognisedText]) -> list[Line]:
    lines = []
    for quad, recognised in zip(quads, texts, strict=True):
        text = closed(" ".join(_narrow(recognised.text).split()))
        if not text or recognised.confidence < _MIN_CONFIDENCE:
            continue
        a, b, c, d = ((float(x), float(y)) for x, y in quad)
        lines.append(Line(text=text, box=(a, b, c, d), confidence=recognised.confidence))
    return lines


def _narrow(text: str) -> str:
    """The text with full-width characters as ASCII, which the model mixes into Latin text; Asian text is unchanged."""
    if any("\u3040" <= character <= "\ud7ff" for character in text):
        return text
    return text.translate(_FULL_WIDTH)
