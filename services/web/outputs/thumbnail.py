"""A page's image made smaller. Imports numpy and Pillow, which web loads when the first thumbnail is asked for.

Pillow gets the pixels and no file: those of the page image are decoded by `libs.png.pixels`, which reads nothing else
than what the render child writes. So no jail is needed.
"""

import io

from PIL import Image

from libs.png.pixels import decode_png

# Of WebP's 0 to 100, and of its 0 to 6 (fast to small). Chosen: a page of 1,275 x 1,650 pixels at a width of 160 takes
# 18 ms of processor time (11 ms decoding, 5 ms resizing, 2 ms WebP) and 2 to 7 KB; at 800, 60 ms and 45 to 150 KB.
# Method 4 takes twice the time of method 2 to encode, for 2 to 7 % less.
_QUALITY, _METHOD = 75, 2
# How much finer than the result the picture is first reduced, by whole factors. Pillow's documentation calls 2.0 fast,
# and nearly the same as without.
_REDUCING_GAP = 2.0


def thumbnail(png: bytes, width: int, *, max_pixels: int, max_side: int) -> bytes:
    """The page image as WebP, `width` pixels wide; at its own size where it is no wider.

    Raises `BadPng`, also for an image of more than `max_pixels` pixels or a side of more than `max_side`.
    """
    image = Image.fromarray(decode_png(png, max_pixels=max_pixels, max_side=max_side))
    if image.width > width:
        height = max(1, round(image.height * width / image.width))
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=_REDUCING_GAP)
    written = io.BytesIO()
    image.save(written, "WEBP", quality=_QUALITY, method=_METHOD)
    return written.getvalue()
