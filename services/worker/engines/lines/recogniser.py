"""What a line of text says: the recognition model of RapidOCR (PP-OCRv6), run on ONNX Runtime.

Every line is cut out of the page straight at the height the network wants, and read alone at its own width: a batch
would pad every line to its longest. Lines run side by side, one core each, which scales better than many cores on
one small line.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime

from services.worker.engines.lines.detector import Quads, height_of, width_of
from services.worker.engines.picture import Pixels

_HEIGHT = 48
_MIN_WIDTH = 48
_MAX_WIDTH = 3200
_STEP = 8
_SAMPLED = 64.0
_BLANK = 0


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The text of one line and its confidence from 0 to 1."""

    text: str
    confidence: float


class Recogniser:
    """Reads cut-out lines. `threads` is how many lines are read at a time."""

    def __init__(self, model: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        characters = self._session.get_modelmeta().custom_metadata_map["character"].splitlines()
        # CTC: class 0 is "nothing here"; the model's last class is the space, which its list leaves out.
        self._characters = ["", *characters, " "]
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="recognise")

    def read(self, pixels: Pixels, quads: Quads, turn: int = 0) -> list[Reading]:
        """The text of each box (n, 4, 2), in order. `turn` quarters the cut-out clockwise before it is read."""
        pixels, quads = _shrink(pixels, quads)
        order = np.argsort([-_aspect(quad) for quad in quads], kind="stable")  # the longest first: no straggler
        readings: dict[int, Reading] = {}
        jobs = [(int(i), self._pool.submit(self._read_one, pixels, np.roll(quads[i], turn, axis=0))) for i in order]
        for i, job in jobs:
            readings[i] = job.result()
        return [readings[i] for i in range(len(quads))]

    def _read_one(self, pixels: Pixels, quad: Quads) -> Reading:
        (output,) = self._session.run(None, {self._input: _cut(pixels, quad)})
        return self._decode(output[0])

    def _decode(self, output: npt.NDArray[np.float32]) -> Reading:
        best = output.argmax(axis=1)
        keep = best != _BLANK
        keep[1:] &= best[1:] != best[:-1]
        at = np.flatnonzero(keep)
        if not at.size:
            return Reading(text="", confidence=0.0)
        text = "".join(self._characters[i] for i in best[at])
        confidence = float(output[at, best[at]].mean())
        return Reading(text=text, confidence=min(confidence, 1.0))

    def close(self) -> None:
        """Lets the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _aspect(quad: Quads) -> float:
    return float(np.linalg.norm(quad[1] - quad[0])) / max(float(np.linalg.norm(quad[3] - quad[0])), 1.0)


def _shrink(pixels: Pixels, quads: Quads) -> tuple[Pixels, Quads]:
    """A page of large letters made smaller by averaging: cut out directly, their edges would be sampled ragged."""
    heights = np.minimum(height_of(quads), width_of(quads))
    scale = _SAMPLED / float(np.median(heights)) if len(quads) else 1.0
    if scale >= 0.8:
        return pixels, quads
    shape = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    small = cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    return small, quads * np.array([shape[0] / pixels.shape[1], shape[1] / pixels.shape[0]])


def _cut(pixels: Pixels, quad: Quads) -> npt.NDArray[np.float32]:
    """The line as the network's input (1, 3, 48, width), padded on the right to a multiple of 8 pixels."""
    width = int(np.clip(round(_HEIGHT * _aspect(quad)), 8, _MAX_WIDTH))
    source = quad[[0, 1, 3]].astype(np.float32)
    target = np.array([[0, 0], [width, 0], [0, _HEIGHT]], np.float32)
    line = cv2.warpAffine(
        pixels,
        cv2.getAffineTransform(source, target),
        (width, _HEIGHT),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    padded = max(_MIN_WIDTH, -(-width // _STEP) * _STEP)
    feed = np.zeros((1, 3, _HEIGHT, padded), np.float32)
    feed[0, :, :, :width] = line[:, :, ::-1].transpose(2, 0, 1)
    feed[0, :, :, :width] *= 2 / 255
    feed[0, :, :, :width] -= 1
    return feed


def mean_confidence(readings: Sequence[Reading]) -> float:
    """Mean confidence over characters, 0.0 where nothing was read."""
    length = sum(len(reading.text) for reading in readings)
    if not length:
        return 0.0
    return sum(reading.confidence * len(reading.text) for reading in readings) / length
