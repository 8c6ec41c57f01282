"""Searchable PDFs of real scans: whether words are found, where they are printed, and how much the files grow.

    python -m bench.searchable [--corpus PATH] [--folders NAME ...] [--limit N] [--pages N] [--turned N] [--threads N]

Reads at most N pages (default 30, `--limit` of each folder) of the corpus of `bench.accuracy` with the default engine,
puts the text into a PDF of the page (a JPEG of quality 75 at 200 DPI) as the service does, and takes the words out
again: with `pdftotext -bbox` where it is installed (Debian: poppler-utils), else with MuPDF. Where qpdf is installed,
`qpdf --check` says of each PDF whether it is clean.

Where a word is printed says Tesseract, an independent reader: its words of at least 3 letters of which it is at least
90 % sure. `found` is the share of them that the PDF has on that page; `placed` is the share of the found ones whose
middle is at most half a line's height from that place; `longest` is the largest distance in lines, without the worst
1 %; `size` is the size of the PDF, of the scan's. Pages in languages that this Tesseract does not know are left out.

The first `--turned` of them (default 3) are also laid on their sides, upside down and askew, and read so.

Other scripts: first pages of `normal` with text of their own from right to left, or in scripts that are not written in
Latin, Greek or Cyrillic letters, and pages of Chinese, Japanese and Korean made here. Each becomes a scan, and gets the
lines of its own text as though an engine without places of words had read them; where words are printed says the same
program that takes them out, of the original. `found` then has what the program finds in both.
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
import unicodedata
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pymupdf
from PIL import Image

from bench.accuracy import DPI, Page, pages
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.page.block import Line, Source
from services.web.outputs.placed import page_text
from services.web.render.child.pdf import PdfSource
from services.web.render.filetype import FileType
from services.web.render.png import encode_png
from services.web.render.protocol import PageText, RenderError, RenderLimits
from services.web.render.searchable import searchable_pdf
from services.worker.engines.context import EngineContext
from services.worker.engines.engine import OcrEngine, PageFailure, PageImage
from services.worker.engines.engine import PageText as ReadPage
from services.worker.engines.layer.reader import LayerReader
from services.worker.engines.picture import decode
from services.worker.engines.select import create_engine
from services.worker.engines.settings import EngineSettings

# Only a part of it is typed.
mupdf: Any = pymupdf

LETTERS, SURE = 3, 90.0
WORD_LEVEL, LINE_LEVEL = "5", "4"
# By `pdftotext -bbox`.
BBOX = re.compile(r'<word xMin="([\d.]+)" yMin="([\d.]+)" xMax="([\d.]+)" yMax="([\d.]+)">(.*?)</word>')

# By how many degrees scans are laid askew, clockwise.
TURNS = (90, 180, 270, 3)
# Scripts whose pages the corpus of scans has.
COMMON = {"", "Latin", "Greek", "Cyrillic"}
# By MuPDF's own fonts.
MADE_HERE = {
    "Chinese": (
        "china-s",
        ("中华人民共和国的一切权力属于人民", "会议于2026年3月3日上午10时 在北京举行", "第二条 本法自公布之日起施行"),
    ),
    "Japanese": (
        "japan",
        ("会議は午前十時に東京で開かれた", "議事録は承認され 予算は1,204円であった", "カタカナとひらがなの文"),
    ),
    "Korean": (
        "korea",
        (
            "위원회는 삼월 삼일 오전에 열렸다",
            "회의록은 승인되었고 예산은 1,204원이었다",
            "모든 권력은 국민으로부터 나온다",
        ),
    ),
}
#: A place on the scan in pixels.
Point = tuple[float, float]


class PlacedWord(msgspec.Struct, frozen=True, kw_only=True):
    """A word: its letters, its middle, and the height of its line, in pixels."""

    letters: str
    middle: Point
    height: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One page: the words printed, the distances of those found in lines, both files' bytes, and what qpdf says."""

    words: int
    distances: tuple[float, ...]
    before: int
    after: int
    #: None where qpdf is not installed.
    clean: bool | None


def bare(word: str) -> str:
    """The letters of a word, whatever forms of them a font has."""
    return "".join(character for character in unicodedata.normalize("NFKC", word).casefold() if character.isalnum())


def printed(page: Page, program: str) -> list[PlacedWord]:
    """Tesseract's words."""
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
            found.append(PlacedWord(letters=word, middle=(x, y), height=height))
    return found


def in_pdf(pdf: bytes, width: int) -> list[PlacedWord]:
    """The words of the first page, placed in pixels of an image of this width."""
    with mupdf.open(stream=pdf) as document:
        scale = width / document[0].rect.width
        boxes = [(box[4], *box[:4]) for box in document[0].get_text("words")]
    if program := shutil.which("pdftotext"):
        with _stored(pdf) as path:
            done = subprocess.run([program, "-bbox", "-l", "1", path, "-"], capture_output=True, text=True, check=True)
        boxes = [(html.unescape(word), *map(float, box)) for *box, word in BBOX.findall(done.stdout)]
    return [
        PlacedWord(letters=bare(word), middle=(scale * (x0 + x1) / 2, scale * (y0 + y1) / 2), height=scale * (y1 - y0))
        for word, x0, y0, x1, y1 in boxes
        if bare(word)
    ]


async def recognised(png: bytes, engine: OcrEngine) -> tuple[Line, ...]:
    """The lines that the page's PDF gets, of what the engine reads now."""

    async def one() -> AsyncIterator[PageImage]:
        yield PageImage(page_no=1, data=png)

    (result,) = [result async for result in engine.recognise(one())]
    if isinstance(result, PageFailure):
        return ()
    outcome = PageOutcome(
        page_no=1,
        run=1,
        status=OutcomeStatus.COMPLETED,
        source=Source.OCR,
        blocks=result.blocks,
        width=result.width,
        height=result.height,
    )
    text = page_text(outcome)
    return text.lines if text else ()


async def searchable(png: bytes, lines: tuple[Line, ...]) -> tuple[bytes, bytes]:
    """The PDF of the scan, and the searchable one."""
    pixels = decode(png)
    height, width = pixels.shape[:2]
    jpeg = io.BytesIO()
    Image.fromarray(pixels).save(jpeg, "JPEG", quality=75)
    document = mupdf.open()
    document.new_page(width=width * 72 / DPI, height=height * 72 / DPI).insert_image(
        document[0].rect, stream=jpeg.getvalue()
    )
    scan = bytes(document.tobytes())

    async def texts() -> AsyncIterator[PageText]:
        yield PageText(page_no=1, width=width, height=height, lines=lines)

    with _stored(scan) as path:
        async with searchable_pdf(path, FileType.PDF, texts()) as chunks:
            return scan, b"".join([chunk async for chunk in chunks])


async def measured(png: bytes, lines: tuple[Line, ...], words: Sequence[PlacedWord]) -> Row:
    """One page, on which these words are printed."""
    scan, pdf = await searchable(png, lines)
    places: dict[str, list[Point]] = defaultdict(list)
    for word in in_pdf(pdf, decode(png).shape[1]):
        places[word.letters].append(word.middle)
    distances = tuple(
        min(math.dist(word.middle, place) for place in places[word.letters]) / word.height
        for word in words
        if word.letters in places
    )
    return Row(words=len(words), distances=distances, before=len(scan), after=len(pdf), clean=is_clean(pdf))


def is_clean(pdf: bytes) -> bool | None:
    """Whether qpdf finds no fault; None where it is not installed."""
    program = shutil.which("qpdf")
    if program is None:
        return None
    with _stored(pdf) as path:
        return subprocess.run([program, "--check", path], capture_output=True, check=False).returncode == 0


def turned(png: bytes, degrees: float) -> tuple[bytes, Callable[[Point], Point]]:
    """The scan laid askew by this much, and where its places have come to."""
    upright = Image.fromarray(decode(png)).convert("RGB")
    image = upright.rotate(-degrees, expand=True, fillcolor="white", resample=Image.Resampling.BICUBIC)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))

    def place(point: Point) -> Point:
        x, y = point[0] - upright.width / 2, point[1] - upright.height / 2
        return x * cosine - y * sine + image.width / 2, x * sine + y * cosine + image.height / 2

    return encode_png(np.asarray(image)), place


def other_scripts(normal: Path) -> Iterator[tuple[str, bytes, tuple[Line, ...], bytes]]:
    """Pages with text of their own: script, page image, the lines of the text, and the PDF."""
    reader = LayerReader(1)
    for name, (font, lines) in MADE_HERE.items():
        document = mupdf.open()
        page = document.new_page()
        for number, line in enumerate(lines * 5):
            page.insert_text((72, 72 + 40 * number), line, fontsize=12, fontname=font)
        pdf = bytes(document.tobytes())
        if found := _own_text(pdf, reader):
            yield name, *found[1:], pdf
    for path in sorted(normal.glob("*.pdf")):
        pdf = path.read_bytes()
        if (found := _own_text(pdf, reader)) and found[0] not in COMMON:
            yield found[0], *found[1:], pdf


def _own_text(pdf: bytes, reader: LayerReader) -> tuple[str, bytes, tuple[Line, ...]] | None:
    """The script, the page image and the lines of the first page, where its own text is trusted."""
    with _stored(pdf) as path, path.open("rb") as file:
        try:
            png = PdfSource(file.fileno(), DPI, RenderLimits()).page_png(1)
        except RenderError:
            return None
    found = reader.read(PageImage(page_no=1, data=png))
    if not isinstance(found, ReadPage) or found.text_layer is None:
        return None
    return found.text_layer.script or "", png, tuple(msgspec.structs.replace(line, words=()) for line in found.lines)


@contextmanager
def _stored(pdf: bytes) -> Iterator[Path]:
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        file.write(pdf)
        file.flush()
        yield Path(file.name)


def table(title: str, rows: dict[str, list[Row]]) -> str:
    """A line for each kind of page, and all."""
    lines = [f"{title:<24}{'pages':>6}{'words':>7}{'found':>8}{'placed':>8}{'longest':>9}{'size':>7}"]
    lines += [_line(name, of_folder) for name, of_folder in rows.items()]
    every = [row for of_folder in rows.values() for row in of_folder]
    lines.append(_line("all", every))
    if all(row.clean is not None for row in every):
        lines.append(f"qpdf --check: {sum(row.clean is True for row in every)} of {len(every)} clean")
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
    parser.add_argument("--turned", type=int, default=3, help="of these pages, those that are also laid askew")
    parser.add_argument("--threads", type=int, default=0, help="cores for the engine (default: all)")
    options = parser.parse_args()
    if options.corpus is None or not options.corpus.is_dir():
        parser.error("name the corpus with --corpus or in GNOSIS_CORPUS")
    tesseract = shutil.which("tesseract")
    if tesseract is None:
        parser.error("Tesseract says where words are printed, and is not installed (Debian: tesseract-ocr)")
    corpus = options.corpus / "groundtruth" if (options.corpus / "groundtruth").is_dir() else options.corpus
    engine = create_engine("rapidocr", EngineContext(settings=EngineSettings(ocr_threads=options.threads)))
    straight: dict[str, list[Row]] = defaultdict(list)
    askew: dict[str, list[Row]] = defaultdict(list)
    scripts: dict[str, list[Row]] = defaultdict(list)
    known = subprocess.run([tesseract, "--list-langs"], capture_output=True, text=True, check=True).stdout.split()
    chosen = [page for page in pages(corpus, options.folders, options.limit) if page.language in known]
    chosen = chosen[: options.pages]
    with asyncio.Runner() as runner:
        runner.run(engine.load())
        for number, page in enumerate(chosen):
            print(f"\r{number}/{len(chosen)} pages", end="", file=sys.stderr, flush=True)
            words = printed(page, tesseract)
            lines = runner.run(recognised(page.png, engine))
            straight[page.folder].append(runner.run(measured(page.png, lines, words)))
            for degrees in TURNS if number < options.turned else ():
                png, place = turned(page.png, degrees)
                moved = [msgspec.structs.replace(word, middle=place(word.middle)) for word in words]
                lines = runner.run(recognised(png, engine))
                askew[f"{degrees} degrees"].append(runner.run(measured(png, lines, moved)))
        print(file=sys.stderr)
        for script, png, lines, pdf in other_scripts(options.corpus / "normal"):
            words = in_pdf(pdf, decode(png).shape[1])
            scripts[script].append(runner.run(measured(png, lines, words)))
    for title, rows in (("scans", straight), ("laid askew", askew), ("other scripts", scripts)):
        if rows:
            print(table(title, rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
