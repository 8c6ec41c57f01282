"""Boxes that models write, as boxes of the page image."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from libs.page.block import Block, Rect
from services.worker.engines.profiles.profile import View


def from_shown(corners: Any, view: View) -> Rect | None:
    """Left, top, right and bottom in pixels of the image that the model saw; None where they are no box on the page."""
    return _scaled(corners, view.width / view.shown_width, view.height / view.shown_height, view)


def from_share(corners: Any, view: View, whole: float) -> Rect | None:
    """The same in shares of both sides, of which `whole` is all."""
    return _scaled(corners, view.width / whole, view.height / whole, view)


def placed(blocks: Sequence[Block], box: Rect | None) -> Iterator[Block]:
    """The blocks with their place, where the model gives one box for all of them.

    Several share its height in proportion to their text, which is an estimate.
    """
    if box is None:
        yield from blocks
        return
    left, top, right, bottom = box
    lengths = [1 + len(block.text) + sum(len(cell.text) for cell in block.cells) for block in blocks]
    written = 0
    for block, length in zip(blocks, lengths, strict=True):
        upper, lower = (top + (bottom - top) * part / sum(lengths) for part in (written, written + length))
        written += length
        yield msgspec.structs.replace(block, box=(left, round(upper, 1), right, round(lower, 1)))


def _scaled(corners: Any, across: float, down: float, view: View) -> Rect | None:
    """The box, cut off at the page's edges; None where nothing of it is on the page."""
    if not isinstance(corners, Sequence) or isinstance(corners, str) or len(corners) != 4:
        return None
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in corners):
        return None
    try:
        left, top, right, bottom = (float(value) for value in corners)
    except OverflowError:
        return None
    if not all(math.isfinite(value) for value in (left, top, right, bottom)):
        return None
    left, right = (min(max(value * across, 0.0), view.width) for value in (left, right))
    top, bottom = (min(max(value * down, 0.0), view.height) for value in (top, bottom))
    if left >= right or top >= bottom:
        return None
    return round(left, 1), round(top, 1), round(right, 1), round(bottom, 1)
