"""Where the lines of text are: the detection model of RapidOCR (PP-OCRv6), run on ONNX Runtime.

The network gives each pixel a probability of being the core of a text line; each connected core becomes the smallest
rotated rectangle around it, grown back to the height of the line (Differentiable Binarization, Liao et al. 2020).
"""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from services.worker.engines.picture import Pixels

Quads = npt.NDArray[np.float64]
Lengths = npt.NDArray[np.float64]

_CORE = 0.3
_BOX_SCORE = 0.5
_GROWTH = 1.6
_MIN_CORE = 3
_LEVEL_STEP = 0.2
_LAST_LEVEL = 0.75
_MAX_LINES = 3000
_STRIDE = 32


class Detector:
    """Finds text lines. `threads` is the number of cores one detection may use."""

    def __init__(self, model: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        # Pages differ in shape: an arena would keep the largest of every layer for good.
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def detect(self, pixels: Pixels, side: int) -> Quads:
        """Boxes (n, 4, 2) of the lines in pixels of the page, clockwise from the top left corner.

        The page is shrunk (never enlarged beyond 736 pixels on its shorter side) so that its longer side has
        `side` pixels.
        """
        height, width = pixels.shape[:2]
        scale = _scale(width, height, side)
        shape = (_stride(width * scale), _stride(height * scale))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        small = cv2.resize(pixels, shape, interpolation=method)
        # The model was trained on BGR.
        feed = small[:, :, ::-1].astype(np.float32)
        feed *= 2 / 255
        feed -= 1
        (output,) = self._session.run(None, {self._input: np.ascontiguousarray(feed.transpose(2, 0, 1)[None])})
        quads = _boxes(output[0, 0])
        quads *= np.array([width / shape[0], height / shape[1]])
        quads[..., 0] = quads[..., 0].clip(0, width)
        quads[..., 1] = quads[..., 1].clip(0, height)
        return quads


def _scale(width: int, height: int, side: int) -> float:
    scale = min(1.0, side / max(width, height))
    short = min(width, height)
    if short * scale < 736 and max(width, height) / short < 4:
        scale = min(736 / short, side / max(width, height))
    return scale


def _stride(length: float) -> int:
    return max(_STRIDE, round(length / _STRIDE) * _STRIDE)


def _boxes(probability: npt.NDArray[np.float32]) -> Quads:
    core = cv2.dilate((probability > _CORE).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours = _contours(core.astype(np.uint8, copy=False))
    # A halftone or a carpet of noise can look like many thousands of lines; no page of text has so many.
    contours = sorted(contours, key=cv2.contourArea, reverse=True)[:_MAX_LINES]
    quads = [quad for contour in contours for quad in _grow(probability, contour, _CORE)]
    return np.array(quads, dtype=np.float64).reshape(-1, 4, 2)


def _contours(core: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.int32]]:
    contours, _ = cv2.findContours(core, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return [contour.astype(np.int32, copy=False) for contour in contours]


def _grow(probability: npt.NDArray[np.float32], contour: npt.NDArray[np.int32], level: float) -> list[Quads]:
    centre, (width, height), angle = cv2.minAreaRect(contour)
    if min(width, height) < _MIN_CORE:
        return []
    box = cv2.boxPoints((centre, (width, height), angle)).astype(np.float32)
    if _score(probability, box) >= _BOX_SCORE:
        grown = 2 * _GROWTH * width * height / (2 * (width + height))
        size = (width + grown, height + grown)
        return [_clockwise(cv2.boxPoints((centre, size, angle)).astype(np.float64))]
    # A box that is mostly paper around a core that is surely text holds lines that touch, such as a line and the
    # large initial before it: they come apart at a higher level.
    level += _LEVEL_STEP
    if level > _LAST_LEVEL or _score(probability, contour.reshape(-1, 2)) < _BOX_SCORE:
        return []
    left, top, across, down = cv2.boundingRect(contour)
    inside = np.zeros((down, across), np.uint8)
    cv2.drawContours(inside, [contour], -1, 1, cv2.FILLED, offset=(-left, -top))
    inside &= (probability[top : top + down, left : left + across] > level).astype(np.uint8)
    offset = np.array([left, top], np.int32)
    return [quad for part in _contours(inside) for quad in _grow(probability, part + offset, level)]


def _score(probability: npt.NDArray[np.float32], quad: npt.NDArray[np.float32 | np.int32]) -> float:
    """Mean probability inside a polygon."""
    height, width = probability.shape
    left, top = np.floor(quad.min(axis=0)).astype(int).clip(0, [width - 1, height - 1])
    right, bottom = np.ceil(quad.max(axis=0)).astype(int).clip(0, [width - 1, height - 1])
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(mask, [(quad - [left, top]).astype(np.int32)], 1)
    return float(cv2.mean(probability[top : bottom + 1, left : right + 1], mask)[0])


def _clockwise(quad: Quads) -> Quads:
    """The corners from the top left on, where "top" is the side nearest to level."""
    by_x = quad[np.argsort(quad[:, 0], kind="stable")]
    left, right = by_x[:2], by_x[2:]
    top_left, bottom_left = left[np.argsort(left[:, 1], kind="stable")]
    top_right, bottom_right = right[np.argsort(right[:, 1], kind="stable")]
    return np.array([top_left, top_right, bottom_right, bottom_left])


def width_of(quads: Quads) -> Lengths:
    """Length of the upper side of each box, in pixels."""
    lengths: Lengths = np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1)
    return lengths


def height_of(quads: Quads) -> Lengths:
    """Length of the left side of each box, in pixels."""
    lengths: Lengths = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1)
    return lengths


def tilt_of(quads: Quads) -> float:
    """Clockwise tilt of the page's lines in degrees, 0.0 where no line is long enough to tell."""
    widths, heights = width_of(quads), height_of(quads)
    long = widths > 5 * heights
    if long.sum() < 3:
        return 0.0
    rise = quads[long, 1] - quads[long, 0]
    angles = np.degrees(np.arctan2(rise[:, 1], rise[:, 0]))
    order = np.argsort(angles)
    weights = np.cumsum(widths[long][order])
    return float(angles[order][np.searchsorted(weights, weights[-1] / 2)])


def is_sideways(quads: Quads) -> bool:
    """True where the text runs up or down the page: most of the length of the boxes is vertical."""
    widths, heights = width_of(quads), height_of(quads)
    tall, wide = heights > 1.5 * widths, widths > 1.5 * heights
    return float(heights[tall].sum()) > 1.2 * float(widths[wide].sum())
