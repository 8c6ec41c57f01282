"""Pages drawn by code, as pixels."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from services.worker.engines.picture import Pixels


def paper(width: int = 1240, height: int = 1754, shade: int = 255) -> Pixels:
    return np.full((height, width, 3), shade, np.uint8)


def printed(tilt: float = 0.0) -> Pixels:
    """A page of text, turned clockwise by `tilt` degrees."""
    image = Image.new("L", (1240, 1754), 255)
    draw = ImageDraw.Draw(image)
    for i in range(30):
        draw.text((150, 200 + 42 * i), "Lines of text stand level on a page " * 2, 0, ImageFont.load_default(24))
    return np.repeat(
        np.asarray(image.rotate(-tilt, fillcolor=255, resample=Image.Resampling.BILINEAR))[:, :, None], 3, axis=2
    )
