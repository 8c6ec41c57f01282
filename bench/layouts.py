"""Our layout beside two layout libraries: what kinds of blocks each finds, and what each does to the Markdown.

    python -m bench.layouts [--corpus PATH] [--modes auto force] [--runs RUN ...] [--cache FOLDER] [--faults RUN ...]

Every run gets the same words and lines of the same pages (`bench/readings.py`):

- `ours`: our layout, by rules.
- `pymupdf`: `pymupdf-layout` with the Markdown of `pymupdf4llm`; of the PDF's own page where its text is taken, else of
  a page that is made of the recognised lines and the drawn rules.
- `rapid`: `rapid-layout` over the picture; its regions say what our lines are, in our order. Our tables in the
  Markdown; tables are scored by its regions.
- `ours+pymupdf` and `ours+rapid`: our blocks, but for text that the library takes for a heading, a list item, a
  caption, a footnote or a running head or foot.

Prints for each mode the assertions of olmOCR-bench that hold (see `bench/olmocr.py`, whose packages are needed), and
how well each run finds each kind of block on the pages of `bench/block_truths.toml`: precision and recall in percent.
`--corpus` is the folder with `normal` and `groundtruth` (default: `$GNOSIS_CORPUS`). `--cache` keeps what was read and
what the libraries found, with their seconds. `--faults` lists what these runs miss and what they find wrongly.

The libraries are no dependencies of ours. In an environment of their own:

    pip install --no-deps pymupdf-layout==1.28.2 pymupdf4llm==1.28.2 rapid-layout==1.2.1
    pip install networkx tabulate colorlog omegaconf
"""

import argparse
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import msgspec

from bench import olmocr
from bench.block_truths import Kind, Scores, truths
from bench.layout_libraries import Analysis, PyMuPdfLayout, RapidLayout, Region
from bench.readings import Reading, Readings, page_png
from libs.jobstate.intake import OcrMode
from libs.page.block import Block, BlockKind, Line, enclosing
from libs.page.markdown import to_markdown
from services.worker.engines.lines.pose import Pose
from services.worker.engines.picture import decode

RUNS = ("ours", "pymupdf", "rapid", "ours+pymupdf", "ours+rapid")

# What a region makes of the lines in it.
_TEXT_KINDS = frozenset(
    {
        BlockKind.TITLE,
        BlockKind.HEADING,
        BlockKind.LIST_ITEM,
        BlockKind.CAPTION,
        BlockKind.FOOTNOTE,
        BlockKind.PAGE_HEADER,
        BlockKind.PAGE_FOOTER,
    }
)
# The level of a heading by a library that tells none.
_LEVEL = 2


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page as one run lays it out."""

    blocks: tuple[Block, ...]
    markdown: str
    #: Of the layout alone.
    seconds: float


class Layouts:
    """Lays pages out in every way; what libraries found is kept in the folder `cache`."""

    def __init__(self, readings: Readings, cache: Path | None) -> None:
        self._readings = readings
        self._cache = cache
        self._pymupdf, self._rapid = PyMuPdfLayout(), RapidLayout()

    def page(self, run: str, path: Path, page_no: int, mode: OcrMode) -> Page:
        """Page `page_no`, from 1, of a PDF."""
        reading = self._readings.of(path, page_no, mode)
        began = time.perf_counter()
        ours = reading.blocks()
        seconds = time.perf_counter() - began
        if run == "ours" or reading.page_lines() is None:
            return Page(blocks=ours, markdown=to_markdown(ours), seconds=seconds)
        library = run.removeprefix("ours+")
        analysis = self._analysis(library, path, page_no, mode, reading)
        seconds += analysis.seconds
        if run == "pymupdf":
            found = tuple(
                Block(kind=region.kind, text=region.text, level=region.level, box=region.box)
                for region in analysis.regions
            )
            return Page(blocks=found, markdown=analysis.markdown, seconds=analysis.seconds)
        blocks = joined(ours, analysis.regions, alone=run == library)
        markdown = to_markdown(blocks)
        if run == library:
            tables = [region for region in analysis.regions if region.kind is BlockKind.TABLE]
            blocks = (
                *(block for block in blocks if block.kind is not BlockKind.TABLE),
                *(Block(kind=BlockKind.TABLE, box=table.box) for table in tables),
            )
        return Page(blocks=blocks, markdown=markdown, seconds=seconds)

    def size(self, path: Path, page_no: int, mode: OcrMode) -> tuple[int, int]:
        """Width and height of the page image, in pixels."""
        pose = _pose(self._readings.of(path, page_no, mode))
        return pose.width, pose.height

    def _analysis(self, library: str, path: Path, page_no: int, mode: OcrMode, reading: Reading) -> Analysis:
        pose = _pose(reading)
        if library == "rapid":
            # The picture is the same in both modes.
            name = f"{path.stem}-{page_no}.{pose.rotation}.{pose.skew:.2f}.rapid.json"
            return self._kept(name, lambda: self._rapid.of_picture(decode(page_png(path, page_no)), pose))
        name = f"{path.stem}-{page_no}.{mode.value}.pymupdf.json"
        if reading.layer is not None:
            return self._kept(name, lambda: self._pymupdf.of_pdf(path, page_no, pose.width))
        assert reading.lines is not None
        lines = reading.lines
        return self._kept(name, lambda: self._pymupdf.of_lines(lines))

    def _kept(self, name: str, analyse: Callable[[], Analysis]) -> Analysis:
        kept = self._cache / name if self._cache else None
        if kept is not None and kept.is_file():
            return msgspec.json.decode(kept.read_bytes(), type=Analysis)
        analysis = analyse()
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_bytes(msgspec.json.encode(analysis))
        return analysis


def _pose(reading: Reading) -> Pose:
    lines = reading.page_lines()
    return lines.pose if lines is not None else Pose(width=1, height=1)


def joined(blocks: Sequence[Block], regions: Sequence[Region], *, alone: bool) -> tuple[Block, ...]:
    """The blocks with the kinds of the regions that their lines are in, and the regions' figures.

    `alone`: what is in no region of a kind is running text, whatever our layout says; else it stays what it is.
    """
    found: list[tuple[int | None, Block]] = []
    for block in blocks:
        if block.kind is BlockKind.TABLE:
            found.append((None, block))
            continue
        places = [(_region_of(line, regions), line) for line in block.lines]
        runs = [(at, tuple(line for _, line in run)) for at, run in groupby(places, key=lambda place: place[0])]
        for at, lines in runs:
            part = block if len(runs) == 1 else _of_lines(block, lines)
            if at is None and alone:
                part = msgspec.structs.replace(part, kind=BlockKind.PARAGRAPH, level=None)
            elif at is not None:
                part = _as_kind(part, regions[at])
            if found and at is not None and found[-1][0] == at:
                part = _together(found.pop()[1], part)
            found.append((at, part))
    figures = [Block(kind=BlockKind.FIGURE, box=region.box) for region in regions if region.kind is BlockKind.FIGURE]
    return (*(block for _, block in found), *figures)


def _region_of(line: Line, regions: Sequence[Region]) -> int | None:
    """The index of the smallest region of a kind that has the middle of the line."""
    x, y = (sum(point[axis] for point in line.box) / len(line.box) for axis in (0, 1))
    around = [
        ((right - left) * (bottom - top), at)
        for at, (left, top, right, bottom) in enumerate(region.box for region in regions)
        if regions[at].kind in _TEXT_KINDS and left <= x <= right and top <= y <= bottom
    ]
    return min(around)[1] if around else None


def _of_lines(block: Block, lines: Sequence[Line]) -> Block:
    kind = block.kind if lines[0] == block.lines[0] else BlockKind.PARAGRAPH
    text = "\n".join(line.text for line in lines)
    return msgspec.structs.replace(block, kind=kind, text=text, marker="", lines=tuple(lines), box=enclosing(lines))


def _as_kind(block: Block, region: Region) -> Block:
    level = block.level if block.kind in (BlockKind.TITLE, BlockKind.HEADING) else region.level
    kind = region.kind
    if kind in (BlockKind.TITLE, BlockKind.HEADING):
        level = level or (1 if kind is BlockKind.TITLE else _LEVEL)
    text = f"{block.marker} {block.text}".strip() if kind is not BlockKind.LIST_ITEM else block.text
    marker = block.marker if kind is BlockKind.LIST_ITEM else ""
    return msgspec.structs.replace(block, kind=kind, level=level, text=text, marker=marker)


def _together(block: Block, other: Block) -> Block:
    lines = (*block.lines, *other.lines)
    text = f"{block.text}\n{other.marker} {other.text}".replace("\n ", "\n")
    return msgspec.structs.replace(block, text=text, lines=lines, box=enclosing(lines))


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.layouts", description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, help="default: $GNOSIS_CORPUS")
    parser.add_argument(
        "--modes", nargs="*", type=OcrMode, default=list(olmocr.MODES), choices=olmocr.MODES, metavar="MODE"
    )
    parser.add_argument("--runs", nargs="*", default=list(RUNS), choices=RUNS, metavar="RUN")
    parser.add_argument("--cache", type=Path, help="keep what was read and found here")
    parser.add_argument("--faults", nargs="*", default=[], choices=RUNS, metavar="RUN")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="cores (default: all)")
    options = parser.parse_args()
    corpus = options.corpus or Path(os.environ.get("GNOSIS_CORPUS", "."))
    try:
        assertions = olmocr.load(corpus / olmocr.SAMPLE)
    except (OSError, ImportError) as error:
        parser.error(f"{error}: name the corpus, and install what bench/olmocr.py and bench/layouts.py name")
    layouts = Layouts(Readings(options.threads, options.cache), options.cache)
    for mode in options.modes:
        print(f"ocr={mode.value}; load {os.getloadavg()[0]:.1f}")
        held, scores, seconds = {}, {}, {}
        for run in options.runs:
            held[run], took = _assert(layouts, run, corpus / olmocr.SAMPLE, assertions, mode)
            scores[run], took_too = _score(layouts, run, corpus / "normal", mode)
            seconds[run] = sum((*took, *took_too)) / max(1, len(took) + len(took_too))
        _print_table(options.runs, held, scores, seconds)
        for run in options.faults:
            print(
                "\n".join((f"\n{run}, ocr={mode.value}", *scores[run].faults)) if run in scores else f"{run}: not run"
            )
    return 0


def _assert(
    layouts: Layouts, run: str, sample: Path, assertions: Sequence[olmocr.Assertion], mode: OcrMode
) -> tuple[dict[str, list[bool]], list[float]]:
    """Whether the assertions of each type hold, and the seconds of each page."""
    written, seconds = {}, []
    for pdf, numbers in olmocr.pages_of(assertions).items():
        pages = [layouts.page(run, olmocr.file_of(sample, pdf), number, mode) for number in numbers]
        written[pdf] = "\n\n".join(page.markdown for page in pages)
        seconds += [page.seconds for page in pages]
    held: dict[str, list[bool]] = defaultdict(list)
    for one in assertions:
        held[one.type].append(one.run(written[one.pdf])[0])
    return held, seconds


def _score(layouts: Layouts, run: str, folder: Path, mode: OcrMode) -> tuple[Scores, list[float]]:
    scores, seconds = Scores(), []
    for truth in truths():
        path = folder / f"{truth.pdf}.pdf"
        page = layouts.page(run, path, truth.page, mode)
        scores.add(truth, page.blocks, layouts.size(path, truth.page, mode))
        seconds.append(page.seconds)
    return scores, seconds


def _print_table(
    runs: Sequence[str],
    held: dict[str, dict[str, list[bool]]],
    scores: dict[str, Scores],
    seconds: dict[str, float],
) -> None:
    def row(name: str, cells: Iterator[str]) -> None:
        print(f"{name:<24}" + "".join(f"{cell:>15}" for cell in cells))

    row("", iter(runs))
    for kind in sorted({kind for of_run in held.values() for kind in of_run}):
        row(kind, (f"{sum(held[run][kind])} of {len(held[run][kind])}" for run in runs))
    every = [[holds for of_kind in held[run].values() for holds in of_kind] for run in runs]
    row("all assertions", (f"{sum(of_run)} of {len(of_run)}" for of_run in every))
    for scored in Kind:
        tallies = [scores[run].tallies[scored] for run in runs]
        row(f"{scored} ({tallies[0].truths})", (f"{_percent(t.precision)} / {_percent(t.recall)}" for t in tallies))
    row("levels in order", (f"{scores[run].pairs_right} of {scores[run].pairs}" for run in runs))
    row("seconds a page", (f"{seconds[run]:.2f}" for run in runs))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}"


if __name__ == "__main__":
    sys.exit(main())
