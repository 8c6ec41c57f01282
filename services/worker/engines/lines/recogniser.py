"""Text recognition: the characters of each line, by RapidOCR's recognition model (PP-OCRv6) on ONNX Runtime.

Each line is cut out of the full-size page at the height that the network takes, and recognised alone at its own width:
a batch would pad every line to its longest. Lines run in parallel, one core each, which scales better than several
cores on one short line.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime

from services.worker.engines.engine import EngineUnavailable
from services.worker.engines.lines.detector import Quads, height_of, width_of
from services.worker.engines.lines.mistaken import mended
from services.worker.engines.picture import Pixels

# Pixels of the network's input: its height (`rec_img_shape` in the rapidocr wheel), the least and the greatest width,
# and the multiple that the width is padded to. Chosen: wider lines than 3,200 (67 times their height) are squeezed to
# it, which bounds the memory. The network makes one step of output for each 8 pixels of width.
_HEIGHT = 48
_MIN_WIDTH = 48
_MAX_WIDTH = 3200
_WIDTH_STEP = 8
# Least width of a cut-out before it is padded, in pixels.
_MIN_CUT_WIDTH = 8
# Pixels of the median line height to which a page of large letters is averaged down, a third above the network's
# height; and the scale from which that is not worth it. Cut out directly, large letters are sampled with ragged edges,
# which read as dots and accents.
_SAMPLED_HEIGHT = 64.0
_MAX_SCALE = 0.8
# Class 0 of CTC: no character here.
_BLANK = 0
# Bidirectional classes (Unicode Standard Annex 9) of letters that run to the left, and runs that keep their order.
_TO_THE_LEFT = frozenset({"R", "AL"})
_RUNS = re.compile(r"[a-zA-Z0-9 :*./%+-]+|.", re.DOTALL)


class RecognisedText(msgspec.Struct, frozen=True, kw_only=True):
    """The text of one line."""

    text: str
    #: From 0 to 1: the mean probability of the characters.
    confidence: float


class Recogniser:
    """Recognises the text in boxes. `threads` is the number of lines at a time, one core each."""

    def __init__(self, model: Path, threads: int) -> None:
        """Load the model. Raises `EngineUnavailable` where it, or its list of characters, cannot be read."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        try:
            self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises a type of its own for each fault
            raise EngineUnavailable(
                f"The model {model.name} cannot be loaded ({type(error).__name__}); download it again."
            ) from error
        self._input = self._session.get_inputs()[0].name
        # The model's list of characters leaves out its first class (`_BLANK`) and its last, the space.
        self._characters = ["", *_characters(self._session.get_modelmeta().custom_metadata_map, model), " "]
        classes = self._session.get_outputs()[0].shape[-1]
        if isinstance(classes, int) and classes != len(self._characters):
            raise EngineUnavailable(
                f"The model {model.name} has {classes} classes, and its list of characters {len(self._characters)}; "
                "download both again, from one release."
            )
        self._classes = {character: at for at, character in enumerate(self._characters)}
        self._runs_left = any(unicodedata.bidirectional(c) in _TO_THE_LEFT for c in self.alphabet if len(c) == 1)
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="recognise")

    def recognise(self, pixels: Pixels, quads: Quads, turn: int = 0) -> list[RecognisedText]:
        """The text of each box, in order. `turn`: quarters that each cut-out is turned clockwise before."""
        pixels, quads = _shrink(pixels, quads)
        order = np.argsort(
            [-_aspect(quad) for quad in quads], kind="stable"
        )  # longest first: no core waits for a late one
        texts: dict[int, RecognisedText] = {}
        jobs = [(int(i), self._pool.submit(self._recognise, pixels, np.roll(quads[i], turn, axis=0))) for i in order]
        for i, job in jobs:
            texts[i] = job.result()
        return [texts[i] for i in range(len(quads))]

    def _recognise(self, pixels: Pixels, quad: Quads) -> RecognisedText:
        (output,) = self._session.run(None, {self._input: _cut(pixels, quad)})
        return self._decode(output[0])

    def _decode(self, output: npt.NDArray[np.float32]) -> RecognisedText:
        best = output.argmax(axis=1)
        keep = best != _BLANK
        keep[1:] &= best[1:] != best[:-1]
        at = np.flatnonzero(keep)
        if not at.size:
            return RecognisedText(text="", confidence=0.0)
        text = self._mended("".join(self._characters[i] for i in best[at]), output[at])
        if self._runs_left:
            text = _logical(text)
        confidence = float(output[at, best[at]].mean())
        return RecognisedText(text=text, confidence=min(confidence, 1.0))

    def _mended(self, text: str, steps: npt.NDArray[np.float32]) -> str:
        """The text, of whose characters each step has the probabilities, without those that are mistaken for others."""
        if len(text) != len(steps):
            return text  # a class of several characters: the model of another script

        def likelihood(at: int, character: str) -> float:
            known = self._classes.get(character)
            return 0.0 if known is None else float(steps[at, known])

        return mended(text, likelihood)

    @property
    def alphabet(self) -> frozenset[str]:
        """The characters that the model can read."""
        return frozenset(self._characters)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _characters(metadata: Mapping[str, str], model: Path) -> list[str]:
    """The model's characters: from its metadata, else from the file of its name with the ending `.txt`, a line each.

    Raises `EngineUnavailable` where neither has them.
    """
    if found := metadata.get("character"):
        return found.splitlines()
    dictionary = model.with_suffix(".txt")
    try:
        return dictionary.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EngineUnavailable(
            f"The model {model.name} does not name its characters; put its dictionary beside it, as {dictionary.name}, "
            "with one character on each line."
        ) from error


def _logical(text: str) -> str:
    """A line as it is seen, in the order in which it is read: words of Latin letters and digits keep their order.

    As PaddleOCR does for its Arabic models (`pred_reverse` in `rec_postprocess.py`).
    """
    if not any(unicodedata.bidirectional(character) in _TO_THE_LEFT for character in text):
        return text
    return "".join(reversed(_RUNS.findall(text)))


def _aspect(quad: Quads) -> float:
    return float(np.linalg.norm(quad[1] - quad[0])) / max(float(np.linalg.norm(quad[3] - quad[0])), 1.0)


def _shrink(pixels: Pixels, quads: Quads) -> tuple[Pixels, Quads]:
    """The page and its boxes, averaged down where the letters are large (`_SAMPLED_HEIGHT`)."""
    heights = np.minimum(height_of(quads), width_of(quads))
    scale = _SAMPLED_HEIGHT / float(np.median(heights)) if len(quads) else 1.0
    if scale >= _MAX_SCALE:
        return pixels, quads
    shape = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return small, quads * np.array([shape[0] / pixels.shape[1], shape[1] / pixels.shape[0]])


def _cut(pixels: Pixels, quad: Quads) -> npt.NDArray[np.float32]:
    """The line as the network's input (1, 3, 48, width), padded with zeros on the right to a multiple of 8 pixels.

    Small print is enlarged linearly, as the pictures were that the network was trained with: a cubic filter sharpens
    noise, and cost a tenth of the words of noisy forms at 90 DPI. Large print keeps its edges by the cubic one.
    """
    width = int(np.clip(round(_HEIGHT * _aspect(quad)), _MIN_CUT_WIDTH, _MAX_WIDTH))
    enlarged = float(np.linalg.norm(quad[3] - quad[0])) < _HEIGHT
    source = quad[[0, 1, 3]].astype(np.float32)
    target = np.array([[0, 0], [width, 0], [0, _HEIGHT]], np.float32)
    line = cv2.warpAffine(
        pixels,
        cv2.getAffineTransform(source, target),
        (width, _HEIGHT),
        flags=cv2.INTER_LINEAR if enlarged else cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    padded = max(_MIN_WIDTH, -(-width // _WIDTH_STEP) * _WIDTH_STEP)
    feed = np.zeros((1, 3, _HEIGHT, padded), np.float32)
    feed[0, :, :, :width] = line[:, :, ::-1].transpose(2, 0, 1)
    feed[0, :, :, :width] *= 2 / 255
    feed[0, :, :, :width] -= 1
    return feed


def mean_confidence(texts: Sequence[RecognisedText]) -> float:
    """Mean confidence over all characters; 0.0 where there are none."""
    length = sum(len(text.text) for text in texts)
    if not length:
        return 0.0
    return sum(text.confidence * len(text.text) for text in texts) / length
