"""Text detection: the boxes of the lines on a page, by RapidOCR's detection model (PP-OCRv6) on ONNX Runtime.

The network gives each pixel the probability that it belongs to the shrunken core of a text line. Each connected core
becomes the smallest rotated rectangle around it, grown back to the height of the line (Differentiable Binarization,
Liao et al. 2020).
"""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime

from services.worker.engines.picture import Pixels

#: Boxes (n, 4, 2): corners x, y in pixels, clockwise from the top left one.
Quads = npt.NDArray[np.float64]
Lengths = npt.NDArray[np.float64]

# The model is published with these six values: `config.yaml` and the detection module of the rapidocr wheel.

# Probability from which a pixel belongs to a core (`thresh`), and the mean probability that a box needs (`box_thresh`).
_PIXEL_THRESHOLD = 0.3
_BOX_THRESHOLD = 0.5
# By how much a core grows on each side, in units of its area over its perimeter (`unclip_ratio`).
_UNCLIP_RATIO = 1.6
# Pixels: the least side of a core (`min_size`), the shorter side to which a small picture is enlarged
# (`limit_side_len`), and the multiple that both sides must have.
_MIN_CORE_SIDE = 3
_MIN_SHORT_SIDE = 736
_STRIDE = 32

# A picture at least so many times as long as wide (a receipt) is not enlarged: its longer side would become too long.
_MAX_ENLARGED_ASPECT = 4
# A core of several lines is split at a higher pixel threshold: the step by which it rises, and its maximum. Chosen: two
# steps (0.5, 0.7) separate a line from a large initial before it; above, lines would fall apart into letters.
_THRESHOLD_STEP = 0.2
_MAX_THRESHOLD = 0.75
# Cores, the largest first. RapidOCR allows 1,000; a halftone or noise can look like many thousands of lines, and no
# page of text has so many.
_MAX_CORES = 3000
# Boxes that show the page's tilt: at least so many times as long as high (shorter ones have no exact angle), and at
# least so many of them.
_MIN_TILT_ASPECT = 5
_MIN_TILT_BOXES = 3
# Height over width from which a box is upright, and the reverse from which it is level; how much more length of upright
# boxes than of level ones makes a page sideways. Chosen above 1: nearly square boxes say nothing, and pages are upright
# far more often.
_CLEAR_ASPECT = 1.5
_SIDEWAYS_MARGIN = 1.2


class Detector:
    """Finds the lines of a page. `threads` is the number of cores that one detection uses."""

    def __init__(self, model: Path, threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4
        # Pages differ in shape: an arena would keep the memory of every layer's largest page.
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def detect(self, pixels: Pixels, side: int) -> Quads:
        """The boxes of the lines, in pixels of the page.

        The network sees the page shrunk to `side` pixels on its longer side. A page of less than 736 pixels on its
        shorter side is enlarged to that, unless its longer side would exceed `side`.
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
    if short * scale < _MIN_SHORT_SIDE and max(width, height) / short < _MAX_ENLARGED_ASPECT:
        scale = min(_MIN_SHORT_SIDE / short, side / max(width, height))
    return scale


def _stride(length: float) -> int:
    return max(_STRIDE, round(length / _STRIDE) * _STRIDE)


def _boxes(probability: npt.NDArray[np.float32]) -> Quads:
    # Dilated by 2 x 2 pixels, as RapidOCR does (`use_dilation`).
    core = cv2.dilate((probability > _PIXEL_THRESHOLD).astype(np.uint8), np.ones((2, 2), np.uint8))
    contours = _contours(core.astype(np.uint8, copy=False))
    contours = sorted(contours, key=cv2.contourArea, reverse=True)[:_MAX_CORES]
    quads = [quad for contour in contours for quad in _unclip(probability, contour, _PIXEL_THRESHOLD)]
    return np.array(quads, dtype=np.float64).reshape(-1, 4, 2)


def _contours(core: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.int32]]:
    contours, _ = cv2.findContours(core, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return [contour.astype(np.int32, copy=False) for contour in contours]


def _unclip(probability: npt.NDArray[np.float32], contour: npt.NDArray[np.int32], threshold: float) -> list[Quads]:
    """The boxes of a core that was found at this pixel threshold: usually one, several where lines touch."""
    centre, (width, height), angle = cv2.minAreaRect(contour)
    if min(width, height) < _MIN_CORE_SIDE:
        return []
    box = cv2.boxPoints((centre, (width, height), angle)).astype(np.float32)
    if _score(probability, box) >= _BOX_THRESHOLD:
        grown = 2 * _UNCLIP_RATIO * width * height / (2 * (width + height))
        size = (width + grown, height + grown)
        return [_clockwise(cv2.boxPoints((centre, size, angle)).astype(np.float64))]
    # A box that is mostly paper, around a core that is certainly text, holds lines that touch, such as a line and the
    # large initial before it. They separate at a higher threshold.
    threshold += _THRESHOLD_STEP
    if threshold > _MAX_THRESHOLD or _score(probability, contour.reshape(-1, 2)) < _BOX_THRESHOLD:
        return []
    left, top, across, down = cv2.boundingRect(contour)
    inside = np.zeros((down, across), np.uint8)
    cv2.drawContours(inside, [contour], -1, 1, cv2.FILLED, offset=(-left, -top))
    inside &= (probability[top : top + down, left : left + across] > threshold).astype(np.uint8)
    offset = np.array([left, top], np.int32)
    return [quad for part in _contours(inside) for quad in _unclip(probability, part + offset, threshold)]


def _score(probability: npt.NDArray[np.float32], quad: npt.NDArray[np.float32 | np.int32]) -> float:
    """Mean probability inside a polygon."""
    height, width = probability.shape
    left, top = np.floor(quad.min(axis=0)).astype(int).clip(0, [width - 1, height - 1])
    right, bottom = np.ceil(quad.max(axis=0)).astype(int).clip(0, [width - 1, height - 1])
    mask = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    cv2.fillPoly(mask, [(quad - [left, top]).astype(np.int32)], 1)
    return float(cv2.mean(probability[top : bottom + 1, left : right + 1], mask)[0])


def _clockwise(quad: Quads) -> Quads:
    """The corners (4, 2) in the order of `Quads`."""
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


def part_of(quad: npt.NDArray[np.float64], start: float, end: float) -> npt.NDArray[np.float64]:
    """The part of a box (4, 2) between two shares of its length."""
    a, b, c, d = quad
    return np.array([a + start * (b - a), a + end * (b - a), d + end * (c - d), d + start * (c - d)])


def tilt_of(quads: Quads) -> float:
    """Clockwise tilt of the page's lines in degrees: the median weighted by length; 0.0 where few lines are long."""
    widths, heights = width_of(quads), height_of(quads)
    long = widths > _MIN_TILT_ASPECT * heights
    if long.sum() < _MIN_TILT_BOXES:
        return 0.0
    rise = quads[long, 1] - quads[long, 0]
    angles = np.degrees(np.arctan2(rise[:, 1], rise[:, 0]))
    order = np.argsort(angles)
    weights = np.cumsum(widths[long][order])
    return float(angles[order][np.searchsorted(weights, weights[-1] / 2)])


def is_sideways(quads: Quads) -> bool:
    """True where the text runs up or down the page, by the lengths of upright and level boxes."""
    widths, heights = width_of(quads), height_of(quads)
    tall, wide = heights > _CLEAR_ASPECT * widths, widths > _CLEAR_ASPECT * heights
    return float(heights[tall].sum()) > _SIDEWAYS_MARGIN * float(widths[wide].sum())
