"""A scanned document for the benches: real scans where the corpus is at hand, drawn ones elsewhere."""

import io
import os
import random
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pymupdf
from PIL import Image, ImageDraw, ImageFilter, ImageFont

_WORDS = """account page river window letter morning council engine paper winter market silver garden question
answer history number village captain report evening station harbour season office mountain soldier journey"""


def scan_pdf(path: Path, pages: int) -> Path:
    """A PDF of `pages` scanned pages: those of `$GNOSIS_CORPUS/groundtruth/en_oldbooks`, else drawn ones."""
    with pymupdf.open() as document:
        for image in islice(cycle(_images()), pages):
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            # 6 x 9 inches, an ordinary book.
            page = document.new_page(width=432, height=648)
            page.insert_image(page.rect, stream=buffer.getvalue())
        document.save(path)
    return path


def _images() -> Iterator[Image.Image]:
    corpus = os.environ.get("GNOSIS_CORPUS")
    scans = sorted((Path(corpus) / "groundtruth" / "en_oldbooks").glob("*.tiff")) if corpus else []
    if scans:
        for scan in scans:
            with Image.open(scan) as image:
                yield image.convert("L")
        return
    for seed in range(10):
        yield _drawn(random.Random(seed))


def _drawn(chance: random.Random) -> Image.Image:
    """A page of words as a scanner would see it: a little blurred, a little noisy."""
    image = Image.new("L", (900, 1350), 245)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(22)
    words = _WORDS.split()
    for line in range(36):
        draw.text((80, 80 + line * 33), " ".join(chance.choices(words, k=9)), fill=30, font=font)
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(0.6)), dtype=np.int16)
    noise = np.random.default_rng(chance.randrange(2**32)).normal(0, 6, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))
