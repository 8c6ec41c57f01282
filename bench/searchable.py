"""Searchable PDFs of real scans: whether words are found, where they are printed, and how much the files grow.

    python -m bench.searchable [--corpus PATH] [--folders NAME ...] [--limit N] [--pages N] [--threads N]

Reads at most N pages (default 30, `--limit` of each folder) of the corpus of `bench.accuracy` with the default engine,
puts the text into a PDF of the page (a JPEG of quality 75 at 200 DPI) as the service does, and takes the words out
again: with `pdftotext -bbox` where it is installed (Debian: poppler-utils), else with MuPDF.

Where a word is printed says Tesseract, an independent reader: its words of at least 3 letters of which it is at least
90 % sure. `found` is the share of them that the PDF has on that page; `placed` is the share of the found ones whose
middle is at most half a line's height from that place; `longest` is the largest distance in lines, without the worst
1 %; `size` is the size of the PDF, of the scan's. Pages in languages that this Tesseract does not know are left out.
"""

import argparse
import asyncio
import csv
import html
import io
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pymupdf
from PIL import Image

from bench.accuracy import DPI, Page, pages
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.page.block import Source
from services.web.outputs.placed import page_text
from services.web.render.filetype import FileType
from services.web.render.protocol import PageText
from services.web.render.searchable import searchable_pdf
from services.worker.engines.context import EngineContext
from services.worker.engines.engine import OcrEngine, PageFailure, PageImage
from services.worker.engines.picture import decode
from services.worker.engines.select import create_engine
from services.worker.engines.settings import EngineSettings

# Only a part of it is typed.
mupdf: Any = pymupdf

LETTERS, SURE = 3, 90.0
WORD_LEVEL, LINE_LEVEL = "5", "4"
# By `pdftotext -bbox`.
BBOX = re.compile(r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">(.*?)</word>')

Placed = list[tuple[str, float, float]]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One page: Tesseract's words, those found, their distances in lines, and the bytes of both files."""

    words: int
    distances: tuple[float, ...]
    before: int
    after: int


def bare(word: str) -> str:
    """The letters of a word."""
    return "".join(character for character in word.casefold() if character.isalnum())


def printed(page: Page, program: str) -> list[tuple[str, float, float, float]]:
    """Tesseract's words: letters, middle and the line's height in pixels."""
    done = subprocess.run(
        [program, "stdin", "stdout", "-l", page.language, "--dpi", str(DPI), "tsv"],
        input=page.png,
        capture_output=True,
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},
        check=True,
    )
    found, height = [], 0.0
    for row in csv.DictReader(done.stdout.decode().splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE):
        if row["level"] == LINE_LEVEL:
            height = float(row["height"])
        word = bare(row["text"] or "")
        if row["level"] == WORD_LEVEL and len(word) >= LETTERS and float(row["conf"]) >= SURE:
            x = float(row["left"]) + float(row["width"]) / 2
            y = float(row["top"]) + float(row["height"]) / 2
            found.append((word, x, y, height))
    return found


def in_pdf(pdf: bytes, width: int) -> Placed:
    """The words of the first page: letters and middle, in pixels of an image of this width."""
    with mupdf.open(stream=pdf) as document:
        scale = width / document[0].rect.width
        boxes = [(box[4], *box[:4]) for box in document[0].get_text("words")]
    if program := shutil.which("pdftotext"):
        with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
            file.write(pdf)
            file.flush()
            done = subprocess.run([program, "-bbox", file.name, "-"], capture_output=True, text=True, check=True)
        boxes = [(html.unescape(word), *map(float, box)) for *box, word in BBOX.findall(done.stdout)]
    return [(bare(word), scale * (x0 + x1) / 2, scale * (y0 + y1) / 2) for word, x0, y0, x1, y1 in boxes]


async def made(page: Page, engine: OcrEngine) -> tuple[bytes, bytes, int]:
    """The PDF of the scan, the searchable one, and the width of the page image in pixels. The page is read now."""

    async def one() -> AsyncIterator[PageImage]:
        yield PageImage(page_no=1, data=page.png)

    (result,) = [result async for result in engine.recognise(one())]
    pixels = decode(page.png)
    height, width = pixels.shape[:2]
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG", quality=75)
    document = mupdf.open()
    document.new_page(width=width * 72 / DPI, height=height * 72 / DPI).insert_image(
        document[0].rect, stream=jpeg.getvalue()
    )
    scan = bytes(document.tobytes())
    blocks = () if isinstance(result, PageFailure) else result.blocks
    outcome = PageOutcome(
        page_no=1, run=1, status=OutcomeStatus.COMPLETED, source=Source.OCR, blocks=blocks, width=width, height=height
    )

    async def texts() -> AsyncIterator[PageText]:
        if text := page_text(outcome):
            yield text

    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(scan)
        file.flush()
        async with searchable_pdf(Path(file.name), FileType.PDF, texts()) as chunks:
            return scan, b"".join([chunk async for chunk in chunks]), width


def measured(page: Page, engine: OcrEngine, runner: asyncio.Runner, tesseract: str) -> Row:
    """One page."""
    scan, pdf, width = runner.run(made(page, engine))
    places: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for word, x, y in in_pdf(pdf, width):
        places[word].append((x, y))
    words = printed(page, tesseract)
    distances = tuple(
        min(math.dist((x, y), place) for place in places[word]) / height
        for word, x, y, height in words
        if word in places
    )
    return Row(words=len(words), distances=distances, before=len(scan), after=len(pdf))


def table(rows: dict[str, list[Row]]) -> str:
    """A line a folder, and all."""
    lines = [f"{'folder':<24}{'pages':>6}{'words':>7}{'found':>8}{'placed':>8}{'longest':>9}{'size':>7}"]
    lines += [_line(name, of_folder) for name, of_folder in rows.items()]
    lines.append(_line("all", [row for of_folder in rows.values() for row in of_folder]))
    return "\n".join(lines)


def _line(name: str, rows: Sequence[Row]) -> str:
    words = sum(row.words for row in rows)
    distances = sorted(distance for row in rows for distance in row.distances)
    placed = sum(distance <= 0.5 for distance in distances)
    longest = distances[int(0.99 * (len(distances) - 1))] if distances else 0.0
    size = sum(row.after for row in rows) / max(1, sum(row.before for row in rows))
    return (
        f"{name:<24}{len(rows):>6}{words:>7}{len(distances) / max(1, words):>8.1%}"
        f"{placed / max(1, len(distances)):>8.1%}{longest:>9.2f}{size:>7.3f}"
    )


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.searchable", description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, default=os.environ.get("GNOSIS_CORPUS"))
    parser.add_argument("--folders", nargs="*", default=[])
    parser.add_argument("--limit", type=int, default=6, help="pages a folder")
    parser.add_argument("--pages", type=int, default=30)
    parser.add_argument("--threads", type=int, default=0, help="cores for the engine (default: all)")
    options = parser.parse_args()
    if options.corpus is None or not options.corpus.is_dir():
        parser.error("name the corpus with --corpus or in GNOSIS_CORPUS")
    tesseract = shutil.which("tesseract")
    if tesseract is None:
        parser.error("Tesseract says where words are printed, and is not installed (Debian: tesseract-ocr)")
    corpus = options.corpus / "groundtruth" if (options.corpus / "groundtruth").is_dir() else options.corpus
    engine = create_engine("rapidocr", EngineContext(settings=EngineSettings(ocr_threads=options.threads)))
    rows: dict[str, list[Row]] = {}
    known = subprocess.run([tesseract, "--list-langs"], capture_output=True, text=True, check=True).stdout.split()
    chosen = [page for page in pages(corpus, options.folders, options.limit) if page.language in known]
    chosen = chosen[: options.pages]
    with asyncio.Runner() as runner:
        runner.run(engine.load())
        for number, page in enumerate(chosen, 1):
            rows.setdefault(page.folder, []).append(measured(page, engine, runner, tesseract))
            print(f"\r{number}/{len(chosen)} pages", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
