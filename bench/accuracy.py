"""The accuracy of the CPU engines: ours, bare RapidOCR and Tesseract on the same page images in the same run.

    python -m bench.accuracy --corpus PATH [--folders NAME ...] [--limit N] [--engines NAME ...] [--json OUT]
    python -m bench.accuracy --corpus PATH --orientations

The corpus is a folder of folders; in them `X.txt` is the text of page image (or one-page PDF) `X`. Scores:

- CER: Levenshtein distance over the length of the true text, order-aware, after Unicode NFC and with every run of
  white space one space. Lower is better; a page whose columns are read in another order than in the true text scores
  badly here without a wrong character.
- word recall and precision: words (split at white space) as multisets, in any order.

Per folder these are summed over its pages (so a long page counts more than a short one). Our engine joins the
words that a line's end divides; so they are joined in every text, the true one too, by the same rule (`hyphen`), before
texts are compared. Quotation marks and dashes count as they are printed. From our Markdown only markup is removed: tags
of tables, heading and list marks at the start of a line, backslashes before punctuation and character references
(`plain_text`). Bare RapidOCR is its defaults without the line classifier, its boxes in its own order, joined by
newlines. Tesseract is the program with its default page segmentation, English but for de_* (deu) and fr_* (fra).
Seconds are those of one page at a time, warm, decoding of the PNG included.
"""

import argparse
import asyncio
import html
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pymupdf
from PIL import Image
from rapidfuzz.distance import Levenshtein

from libs.page.markdown import MarkdownOptions, to_markdown
from services.web.render.png import encode_png
from services.worker.engines.context import EngineContext
from services.worker.engines.engine import OcrEngine, PageFailure, PageImage
from services.worker.engines.lines import hyphen
from services.worker.engines.picture import decode
from services.worker.engines.select import create_engine
from services.worker.engines.settings import EngineSettings

DPI = 200
TURNS = (0, 90, 180, 270)
IMAGES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".pdf"}
LANGUAGES = {"de": "deu", "fr": "fra"}

Read = Callable[[bytes, str], tuple[str, float]]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page with its true text; `language` is Tesseract's code for it."""

    name: str
    folder: str
    png: bytes
    truth: str
    language: str


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """One engine on one page: edit distance and length in characters, words right, true and read, seconds."""

    edits: int
    characters: int
    right: int
    true: int
    read: int
    seconds: float


def plain_text(markdown: str) -> str:
    """The text that a reader of the Markdown sees, markup taken away and nothing else."""
    lines = []
    in_table = in_code = False
    for line in markdown.split("\n"):
        if line.startswith("```"):
            in_code = not in_code
            continue
        if in_code:
            lines.append(line)
            continue
        if line == "<table>" or line == "</table>":
            in_table = line == "<table>"
            continue
        if in_table:
            lines.append(html.unescape(re.sub(r"</?t[rdh][^<>]*>", " ", line)))
            continue
        line = re.sub(r"^ *(#{1,6}|-) ", "", line)
        line = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", line)
        lines.append(html.unescape(line))
    return "\n".join(lines)


def normalise(text: str) -> str:
    """NFC, and one space for every run of white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def undivided(text: str) -> str:
    """The text with each word whole that the end of a line divides."""
    lines = [line.strip() for line in text.split("\n")]
    return "\n".join(hyphen.join(lines, hyphen.words_of(lines)))


def score(truth: str, read: str, seconds: float) -> Score:
    """The counts behind CER, recall and precision for one page."""
    truth, read = normalise(undivided(truth)), normalise(undivided(read))
    words, found = Counter(truth.split()), Counter(read.split())
    return Score(
        edits=Levenshtein.distance(truth, read),
        characters=len(truth),
        right=(words & found).total(),
        true=words.total(),
        read=found.total(),
        seconds=seconds,
    )


def pages(corpus: Path, folders: Sequence[str], limit: int | None) -> list[Page]:
    """Every page that has a text beside it, by folder and name."""
    found = []
    for folder in sorted(p for p in corpus.iterdir() if p.is_dir() and (not folders or p.name in folders)):
        texts = sorted(folder.glob("*.txt"))
        for text in texts[:limit]:
            images = [p for p in folder.glob(f"{text.stem}.*") if p.suffix.lower() in IMAGES]
            if not images:
                continue
            prefix = folder.name[:3] if folder.name[:2] in LANGUAGES else text.name[:3]
            found.append(
                Page(
                    name=text.stem,
                    folder=folder.name,
                    png=_png(images[0]),
                    truth=text.read_text(encoding="utf-8", errors="replace"),
                    language=LANGUAGES.get(prefix.rstrip("_"), "eng") if prefix.endswith("_") else "eng",
                )
            )
    return found


def _png(path: Path) -> bytes:
    if path.suffix.lower() == ".pdf":
        with pymupdf.open(path) as document:
            drawn = document[0].get_pixmap(dpi=DPI, alpha=False, colorspace=pymupdf.csRGB)
            return encode_png(np.frombuffer(drawn.samples, np.uint8).reshape(drawn.height, drawn.width, 3))
    with Image.open(path) as image:
        return encode_png(np.asarray(image.convert("RGB")))


def ours(engine: OcrEngine, runner: asyncio.Runner) -> Read:
    """One of our engines through its own protocol, as the worker calls it."""

    async def read(png: bytes) -> tuple[str, float]:
        async def one() -> AsyncIterator[PageImage]:
            yield PageImage(page_no=1, data=png)

        results = [result async for result in engine.recognise(one())]
        result = results[0]
        if isinstance(result, PageFailure):
            return "", result.seconds
        return plain_text(to_markdown(result.blocks, MarkdownOptions(headers=True))), result.seconds

    runner.run(engine.load())
    return lambda png, _: runner.run(read(png))


def bare_rapidocr() -> Read:
    """RapidOCR as its own pipeline reads, without the line classifier."""
    # Here and not above: it takes a second, and the tests of our own text need `plain_text` only.
    from rapidocr import RapidOCR

    engine = RapidOCR(params={"Global.use_cls": False, "Global.log_level": "critical"})

    def read(png: bytes, _: str) -> tuple[str, float]:
        started = time.perf_counter()
        result = engine(np.ascontiguousarray(decode(png)[:, :, ::-1]), use_cls=False)
        return "\n".join(getattr(result, "txts", None) or ()), time.perf_counter() - started

    return read


def bare_tesseract(program: str) -> Read:
    """The program's plain text."""
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1"}

    def read(png: bytes, language: str) -> tuple[str, float]:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(png)
            file.flush()
            started = time.perf_counter()
            done = subprocess.run(
                [program, file.name, "stdout", "-l", language],
                capture_output=True,
                env=environment,
                timeout=300,
                check=False,
            )
            return done.stdout.decode("utf-8", "replace"), time.perf_counter() - started

    return read


def measure(chosen: Sequence[Page], readers: dict[str, Read]) -> dict[str, dict[str, dict[str, Score]]]:
    """Scores by folder, page and engine; each page is read by all engines in turn, so that noise is shared."""
    scores: dict[str, dict[str, dict[str, Score]]] = {}
    for i, page in enumerate(chosen, 1):
        row = scores.setdefault(page.folder, {}).setdefault(page.name, {})
        for name, read in readers.items():
            row[name] = score(page.truth, *read(page.png, page.language))
        print(f"\r{i}/{len(chosen)} pages", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return scores


def table(scores: dict[str, dict[str, dict[str, Score]]], engines: Sequence[str]) -> str:
    """The scores by folder and in all, one column of four numbers an engine."""
    head = f"{'folder':<24}{'pages':>6}" + "".join(f" | {name:^31}" for name in engines)
    names = f"{'':<30}" + " | ".join(["", *([f"{'CER':>7}{'recall':>8}{'prec.':>8}{'s/page':>8}"] * len(engines))])
    rows = [head, names, "-" * len(head)]
    every: list[dict[str, Score]] = []
    for folder, by_page in scores.items():
        every.extend(by_page.values())
        rows.append(_table_row(folder, list(by_page.values()), engines))
    rows.append(_table_row("all", every, engines))
    return "\n".join(rows)


def _table_row(name: str, by_page: Sequence[dict[str, Score]], engines: Sequence[str]) -> str:
    row = f"{name:<24}{len(by_page):>6}"
    for engine in engines:
        cells = [page[engine] for page in by_page]
        cer = _percent(sum(c.edits for c in cells), sum(c.characters for c in cells))
        recall = _percent(sum(c.right for c in cells), sum(c.true for c in cells))
        precision = _percent(sum(c.right for c in cells), sum(c.read for c in cells))
        seconds = sum(c.seconds for c in cells) / max(len(cells), 1)
        row += f" | {cer:>7.2f}{recall:>8.2f}{precision:>8.2f}{seconds:>8.2f}"
    return row


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def orientations(chosen: Sequence[Page], read: Read) -> str:
    """Mean word recall (over pages) of upright pages turned clockwise by 0, 90, 180 and 270 degrees."""
    recalls: dict[int, list[float]] = {turn: [] for turn in TURNS}
    for i, page in enumerate(chosen, 1):
        pixels = decode(page.png)
        for turn in TURNS:
            turned = encode_png(np.rot90(pixels, k=-(turn // 90)))
            got = score(page.truth, *read(turned, page.language))
            recalls[turn].append(_percent(got.right, got.true))
        print(f"\r{i}/{len(chosen)} pages", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    rows = [f"word recall, mean of {len(chosen)} pages", f"{'turned':>8}{'mean':>8}{'worst page':>24}"]
    for turn in TURNS:
        losses = [(b - a, page.name) for a, b, page in zip(recalls[0], recalls[turn], chosen, strict=True)]
        worst = min(losses)
        mean = sum(recalls[turn]) / max(len(chosen), 1)
        rows.append(f"{turn:>8}{mean:>8.2f}{f'{worst[0]:+.2f} {worst[1]}':>24}")
    return "\n".join(rows)


def _upright(chosen: Iterable[Page]) -> list[Page]:
    return [page for page in chosen if "rotated" not in page.name]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.accuracy", description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, default=os.environ.get("GNOSIS_CORPUS"))
    parser.add_argument("--folders", nargs="*", default=[])
    parser.add_argument("--limit", type=int, help="pages a folder")
    parser.add_argument("--threads", type=int, default=0, help="cores for our engine (default: all)")
    parser.add_argument("--engines", nargs="*", default=["rapidocr"], help="our engines, besides the two bare ones")
    parser.add_argument("--json", type=Path, help="also write every page's counts here")
    parser.add_argument("--orientations", action="store_true", help="upright pages turned by code instead")
    options = parser.parse_args()
    if options.corpus is None or not options.corpus.is_dir():
        parser.error("name the corpus with --corpus or in GNOSIS_CORPUS")
    corpus = options.corpus / "groundtruth" if (options.corpus / "groundtruth").is_dir() else options.corpus
    chosen = pages(corpus, options.folders, options.limit)
    context = EngineContext(settings=EngineSettings(ocr_threads=options.threads))
    with asyncio.Runner() as runner:
        readers = {f"ours: {name}": ours(create_engine(name, context), runner) for name in options.engines}
        if options.orientations:
            print(orientations(_upright(chosen), next(iter(readers.values()))))
            return 0
        readers["bare RapidOCR"] = bare_rapidocr()
        if program := shutil.which("tesseract"):
            readers["Tesseract"] = bare_tesseract(program)
        scores = measure(chosen, readers)
    print(table(scores, list(readers)))
    if options.json:
        options.json.write_text(json.dumps(msgspec.to_builtins(scores), indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
