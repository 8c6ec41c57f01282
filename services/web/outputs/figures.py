"""The figures of a page, cut out of its image."""

from collections.abc import Sequence

import numpy as np

from libs.page.block import Rect
from libs.png.pixels import decode_png
from services.web.render.png import encode_png


def cut(image: bytes, boxes: Sequence[Rect], *, max_pixels: int, max_side: int) -> list[tuple[int, bytes]]:
    """The boxes of the page image as PNGs, numbered from 1; those without a pixel are left out.

    Raises `BadPng`, also for an image of more than `max_pixels` pixels or a side of more than `max_side`.
    """
    pixels = decode_png(image, max_pixels=max_pixels, max_side=max_side)
    height, width = pixels.shape[:2]
    found = []
    for number, (left, top, right, bottom) in enumerate(boxes, 1):
        rows = slice(max(0, round(top)), min(height, round(bottom)))
        columns = slice(max(0, round(left)), min(width, round(right)))
        if rows.start < rows.stop and columns.start < columns.stop:
            found.append((number, encode_png(np.ascontiguousarray(pixels[rows, columns]))))
    return found
