"""What a page image costs: writing it, its size, and reading it with our own reader and with Pillow.

    python -m bench.page_png [--pages 12] [--dpi 150]

The pages are those of `bench.extraction`. For each of the two row filters that our reader knows; times are the median
of the pages, in milliseconds, and of each page the least of three, taken in turn.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
from numpy.typing import NDArray
from PIL import Image

from bench.extraction import mixed_document
from services.web.render import png as writer
from services.web.render.png import encode_png, without_colour
from services.worker.engines.picture import decode

# Only a part of it is typed.
mupdf: Any = pymupdf


def main() -> None:
    """Print one table: a line for each filter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=12)
    parser.add_argument("--dpi", type=int, default=150)
    arguments = parser.parse_args()
    print(f"{'filter':<8}{'KiB/page':>10}{'write ms':>10}{'read ms':>10}{'Pillow ms':>11}{'of Pillow':>11}")
    chosen = writer._filtered
    for name, filtered in (("Up", chosen), ("None", _unfiltered)):
        writer._filtered = filtered
        rows = [_measured(page) for page in _pages(arguments.pages, arguments.dpi)]
        size, written, ours, pillow = (statistics.median(column) for column in zip(*rows, strict=True))
        print(
            f"{name:<8}{size / 1024:>10.0f}{written:>10.1f}{ours:>10.1f}{pillow:>11.1f}"
            f"{statistics.median(row[2] / row[3] for row in rows):>11.2f}"
        )


def _pages(count: int, dpi: int) -> Iterator[NDArray[np.uint8]]:
    with tempfile.TemporaryDirectory() as folder, mupdf.open(mixed_document(Path(folder) / "mixed.pdf")) as document:
        for number in range(count):
            drawn = document[number].get_pixmap(dpi=dpi, alpha=False)
            yield without_colour(np.frombuffer(drawn.samples, np.uint8).reshape(drawn.height, drawn.width, 3))


def _measured(page: NDArray[np.uint8]) -> tuple[float, float, float, float]:
    """Bytes, and milliseconds to write the page, to read it by our reader, and by Pillow."""
    png = encode_png(page)
    rounds = [
        (
            _milliseconds(lambda: encode_png(page)),
            _milliseconds(lambda: decode(png)),
            _milliseconds(lambda: _pillow(png)),
        )
        for _ in range(3)
    ]
    assert np.array_equal(decode(png), _pillow(png))
    written, ours, pillow = (min(column) for column in zip(*rounds, strict=True))
    return len(png), written, ours, pillow


def _pillow(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        return np.ascontiguousarray(np.asarray(image.convert("RGB")))


def _unfiltered(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.pad(rows, ((0, 0), (1, 0)))


def _milliseconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
