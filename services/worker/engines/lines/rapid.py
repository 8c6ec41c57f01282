"""RapidOCR's PP-OCRv6 models as a reader of pages: no download, no GPU.

The models come inside the `rapidocr` wheel and run on ONNX Runtime directly, since the package's own pipeline costs
accuracy here: its text-line classifier turns upright lines into garbage, and it reads lines from a shrunken page.
"""

import importlib.util
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.worker.engines.engine import EngineInfo, EngineUnavailable, Line
from services.worker.engines.lines import detector, marks
from services.worker.engines.lines.detector import Detector, Quads
from services.worker.engines.lines.marks import Marks
from services.worker.engines.lines.recogniser import Reading, Recogniser, mean_confidence
from services.worker.engines.lines.sheet import Sheet
from services.worker.engines.picture import Pixels, Pose

DETECTION_MODEL = "PP-OCRv6_det_small.onnx"
RECOGNITION_MODEL = "PP-OCRv6_rec_small.onnx"

_SIDE = 1600
_SAMPLE = 6
_SURE = 0.9
_SURE_WORD = 0.95
_DOUBTFUL = 0.6
_UPRIGHT_BONUS = 0.1
_SMALL = 11.0
_LEGIBLE = 16.0
_MAX_SIDE = 3200
_MANY = 20
_MIN_CONFIDENCE = 0.5
_SKEW_TOLERANCE = 1.0
_SKEW_LIMIT = 15.0
_TALL = 2.0
_NUMBER = re.compile(r"[$€£(+-]?\d[\d.,:/-]*[)%]?")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3001: ",", 0x3002: "."}


class RapidReader:
    """Reads one page at a time on `threads` cores. Not for use by several threads at once."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._detector: Detector | None = None
        self._recogniser: Recogniser | None = None

    def load(self) -> None:
        """Loads both models (about half a second). Raises `EngineUnavailable` where the wheel or a model is missing."""
        models = model_directory()
        self._detector = Detector(models / DETECTION_MODEL, self._threads)
        self._recogniser = Recogniser(models / RECOGNITION_MODEL, self._threads)

    def info(self) -> EngineInfo:
        """Name, version of the wheel that holds the models, and device."""
        try:
            release = version("rapidocr")
        except PackageNotFoundError:
            release = "absent"
        return EngineInfo(name="rapidocr", revision=f"{release}/PP-OCRv6-small", device="cpu")

    def read(self, pixels: Pixels) -> Sheet:
        """The lines of a page, in the upright picture, and how the page was set upright."""
        if self._detector is None or self._recogniser is None:
            raise RuntimeError("load() comes before read()")
        height, width = pixels.shape[:2]
        pose = Pose(width=width, height=height)
        quads = _find(self._detector, pixels)
        if not len(quads):
            return Sheet(pose=pose)
        rotation = self._rotation(self._recogniser, pixels, quads)
        if rotation:
            pose = Pose(width=width, height=height, rotation=rotation)
            pixels = pose.apply(pixels)
            quads = _find(self._detector, pixels)
        tilt = detector.tilt_of(quads)
        if _SKEW_TOLERANCE < abs(tilt) <= _SKEW_LIMIT:
            level = Pose(width=pixels.shape[1], height=pixels.shape[0], skew=-tilt)
            pixels = level.apply(pixels)
            pose = Pose(width=width, height=height, rotation=rotation, skew=-tilt)
            quads = _find(self._detector, pixels)
        readings = self._recogniser.read(pixels, quads)
        self._reread_tall(self._recogniser, pixels, quads, readings)
        if (found := marks.find(pixels)) is not None:
            quads, readings = self._cut_tall(self._recogniser, pixels, found, quads, readings)
            quads, readings = self._add_left_out(self._recogniser, pixels, found, quads, readings)
        return Sheet(pose=pose, lines=tuple(_lines(quads, readings)))

    def _rotation(self, recogniser: Recogniser, pixels: Pixels, quads: Quads) -> int:
        """The clockwise turn that sets the page upright, in degrees.

        The shape of the boxes tells the axis of the text; a few lines read both ways tell its direction. Turning
        the outline of a box by n corners reads it as if the page had been turned clockwise by n quarters.
        """
        sideways = detector.is_sideways(quads)
        sample = _sample(quads, sideways)
        scores = {0: 0.0}
        for turns in ((1, 3), (0, 2)) if sideways else ((0, 2), (1, 3)):
            for turn in turns:
                scores[turn] = mean_confidence(recogniser.read(pixels, sample, turn))
                if scores[turn] >= _SURE and turn == 0:
                    return 0
            if max(scores.values()) >= _DOUBTFUL:
                break
        # Pages come upright far more often than not: a narrow win for another way is not enough.
        scores[0] += _UPRIGHT_BONUS
        return 90 * max(scores, key=lambda turn: scores[turn])

    def _reread_tall(self, recogniser: Recogniser, pixels: Pixels, quads: Quads, readings: list[Reading]) -> None:
        """Labels that run up or down an otherwise upright page are read along their own direction."""
        tall = np.flatnonzero(detector.height_of(quads) > _TALL * detector.width_of(quads))
        if not tall.size:
            return
        for turn in (1, 3):
            for i, reading in zip(tall, recogniser.read(pixels, quads[tall], turn), strict=True):
                if reading.confidence * min(len(reading.text), 3) > readings[i].confidence * min(
                    len(readings[i].text), 3
                ):
                    readings[i] = reading

    def _cut_tall(
        self, recogniser: Recogniser, pixels: Pixels, found: Marks, quads: Quads, readings: list[Reading]
    ) -> tuple[Quads, list[Reading]]:
        """Boxes that hold several rows are read row by row, unless they make better sense as they are."""
        for i in marks.tall(found, quads):
            rows = marks.rows_of(found, quads[i])
            if not len(rows):
                continue
            parts = recogniser.read(pixels, rows)
            if (
                mean_confidence(parts) > readings[i].confidence
                or detector.width_of(quads[i : i + 1])[0] > 4 * found.unit
            ):
                readings[i] = Reading(text="", confidence=0.0)
                quads = np.concatenate([quads, rows])
                readings = [*readings, *parts]
        return quads, readings

    def _add_left_out(
        self, recogniser: Recogniser, pixels: Pixels, found: Marks, quads: Quads, readings: list[Reading]
    ) -> tuple[Quads, list[Reading]]:
        """Marks that no box covers are read too; only what is surely text counts, since pictures hold marks as well."""
        extra = marks.left_out(found, quads)
        if not len(extra):
            return quads, readings
        parts = recogniser.read(pixels, extra)
        sure = np.array([_is_surely_text(part) for part in parts])
        # A speck reads as a 1 with confidence; in a table it has others above or below it.
        strokes = np.array([set(part.text.strip()) <= {"1"} for part in parts])
        sure &= ~strokes | marks.in_columns(found, extra, sure & ~strokes, quads)
        nothing = Reading(text="", confidence=0.0)
        parts = [part if keep else nothing for part, keep in zip(parts, sure, strict=True)]
        return np.concatenate([quads, extra]), [*readings, *parts]


def _is_surely_text(reading: Reading) -> bool:
    """A number, or a word of three letters at least: lone letters are as often a part of a drawing."""
    text = reading.text.strip()
    if _NUMBER.fullmatch(text):
        return reading.confidence >= _SURE
    return len(text) >= 3 and text.isalpha() and reading.confidence >= _SURE_WORD


def _find(finder: Detector, pixels: Pixels) -> Quads:
    """The lines of a page; one of small print on large paper is looked at again, less shrunken."""
    quads = finder.detect(pixels, _SIDE)
    longer = max(pixels.shape[:2])
    if len(quads) < _MANY or longer <= _SIDE:
        return quads
    height = float(np.median(np.minimum(detector.height_of(quads), detector.width_of(quads))))
    height *= _SIDE / longer
    if height >= _SMALL:
        return quads
    return finder.detect(pixels, min(longer, _MAX_SIDE, round(_SIDE * _LEGIBLE / height)))


def _sample(quads: Quads, sideways: bool) -> Quads:
    """A handful of boxes that tell most: long, but no outliers."""
    lengths: npt.NDArray[np.float64] = detector.height_of(quads) if sideways else detector.width_of(quads)
    order = np.argsort(-lengths, kind="stable")
    return quads[order[: 4 * _SAMPLE : max(1, min(4, len(order) // _SAMPLE))]][:_SAMPLE]


def _lines(quads: Quads, readings: list[Reading]) -> list[Line]:
    lines = []
    for quad, reading in zip(quads, readings, strict=True):
        text = " ".join(_narrow(reading.text).split())
        if not text or reading.confidence < _MIN_CONFIDENCE:
            continue
        a, b, c, d = ((float(x), float(y)) for x, y in quad)
        lines.append(Line(text=text, box=(a, b, c, d), confidence=reading.confidence))
    return lines


def _narrow(text: str) -> str:
    """Full-width punctuation, which the model mixes into Latin text, as its ordinary form; left in Asian text."""
    if any("\u3040" <= character <= "\ud7ff" for character in text):
        return text
    return text.translate(_FULL_WIDTH)


def model_directory() -> Path:
    """Where the wheel keeps its models. Raises `EngineUnavailable` with a remedy."""
    remedy = "install the extra: pip install 'gnosis-ocr[cpu]'"
    for package in ("rapidocr", "onnxruntime", "cv2"):
        if importlib.util.find_spec(package) is None:
            raise EngineUnavailable(f"The engine rapidocr needs the package {package}; {remedy}.")
    spec = importlib.util.find_spec("rapidocr")
    folders = (spec.submodule_search_locations if spec else None) or []
    for folder in folders:
        models = Path(folder) / "models"
        if (models / DETECTION_MODEL).is_file() and (models / RECOGNITION_MODEL).is_file():
            return models
    raise EngineUnavailable(f"The models of rapidocr 3.10 are missing from its wheel; {remedy} again.")
