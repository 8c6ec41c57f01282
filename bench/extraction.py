"""Pages per second from a document to PNGs in the parent process, compared with MuPDF's own time for rendering.

    python -m bench.extraction [FILE...]
    python -m bench.extraction --jail 15 [FILE...]

Without files it makes a document of 50 mixed pages: text, coloured drawings, grey and colour scans.

`--jail N` measures what the jail costs: each document is extracted N times with the walls that the machine supports and
N times without, in turn and each time in the other order. The ratios are medians of the pairs: above 1 the jail costs
something. That of processor time says more on a machine that does other work too.
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pymupdf

from services.serving import jail
from services.web.render.document import FailedPage, open_document
from services.web.render.filetype import HEAD_BYTES, FileType, file_type
from services.web.render.png import encode_png

# Only a part of it is typed.
mupdf: Any = pymupdf

_PAGES = 50
_WORDS = ("page", "result", "lease", "batch", "engine", "pixel", "column", "invoice", "number", "total")


def main() -> None:
    """Print one table: a line for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--dpi", type=int, default=150)
    parser.add_argument("--jail", type=int, metavar="N", help="compare N extractions in the jail with N outside it")
    arguments = parser.parse_args()
    if arguments.jail:
        _compare(arguments.files, arguments.dpi, arguments.jail)
        return
    header = ("file", "pages", "failed", "KiB/page", "open s", "MuPDF p/s", "render p/s", "of MuPDF")
    print(f"{header[0]:<32}" + "".join(f"{name:>11}" for name in header[1:]))
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.files or [mixed_document(Path(folder) / f"{_PAGES} mixed pages")]:
            print(asyncio.run(measure(path, arguments.dpi)))


def _compare(files: Sequence[Path], dpi: int, rounds: int) -> None:
    """Print one line for each document: pages per second with and without the jail, and what one costs of the other."""
    walls = frozenset(jail.supported())
    print(f"walls: {', '.join(sorted(walls)) or 'none'}; {rounds} rounds")
    header = ("file", "pages", "jailed p/s", "bare p/s", "time ratio", "quartiles", "CPU ratio", "quartiles")
    print(f"{header[0]:<32}" + "".join(f"{name:>14}" for name in header[1:]))
    with tempfile.TemporaryDirectory() as folder:
        for path in files or [mixed_document(Path(folder) / f"{_PAGES} mixed pages")]:
            pages = _cost(path, dpi, walls)[0]  # brings files into the page cache
            jailed: list[tuple[float, float]] = []
            bare: list[tuple[float, float]] = []
            for number in range(rounds):
                for chosen in (True, False) if number % 2 else (False, True):
                    cost = _cost(path, dpi, walls if chosen else frozenset())[1:]
                    (jailed if chosen else bare).append(cost)
            columns = [
                f"{pages}",
                *(f"{pages / statistics.median(way[0] for way in ways):.1f}" for ways in (jailed, bare)),
            ]
            for kind in (0, 1):
                ratios = [inside[kind] / outside[kind] for inside, outside in zip(jailed, bare, strict=True)]
                low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive") if rounds > 1 else ratios * 3
                columns += [f"{middle:.3f}", f"{low:.3f}-{high:.3f}"]
            print(f"{path.name[:31]:<32}" + "".join(f"{column:>14}" for column in columns))


def _cost(path: Path, dpi: int, walls: frozenset[jail.Wall]) -> tuple[int, float, float]:
    """Pages, seconds and seconds of processor time of an extraction with these walls, from the start of the child."""

    async def extract() -> int:
        async with open_document(path, _kind(path), dpi=dpi) as document:
            return len([page async for page in document.render(range(1, document.total_pages + 1))])

    # Patched, since no caller of the service's own code may have a way to leave walls out.
    with mock.patch.object(jail, "supported", return_value=walls):
        started, used = time.perf_counter(), _processor_seconds()
        pages = asyncio.run(extract())
        return pages, time.perf_counter() - started, _processor_seconds() - used


def _processor_seconds() -> float:
    """Of this process and of the children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _kind(path: Path) -> FileType:
    with path.open("rb") as stream:
        kind = file_type(stream.read(HEAD_BYTES))
    if kind is None:
        raise SystemExit(f"{path} is not a PDF or an image")
    return kind


async def measure(path: Path, dpi: int) -> str:
    """Render one document both ways, in turn, in one run."""
    kind = _kind(path)
    bare = await asyncio.to_thread(bare_seconds, path, dpi) if kind is FileType.PDF else None
    failed = size = 0
    started = time.perf_counter()
    async with open_document(path, kind, dpi=dpi) as document:
        opened = time.perf_counter() - started
        async for page in document.render(range(1, document.total_pages + 1)):
            if isinstance(page, FailedPage):
                failed += 1
            else:
                size += len(page.png)
        seconds = time.perf_counter() - started
        pages = document.total_pages
    columns = (
        f"{pages}",
        f"{failed}",
        f"{size / 1024 / max(1, pages - failed):.0f}",
        f"{opened:.2f}",
        f"{pages / bare:.1f}" if bare else "-",
        f"{pages / seconds:.1f}",
        f"{bare / seconds:.0%}" if bare else "-",
    )
    return f"{path.name[:31]:<32}" + "".join(f"{column:>11}" for column in columns)


def bare_seconds(path: Path, dpi: int) -> float:
    """Opening the document and drawing every page in RGB, with nothing encoded, stored or sent."""
    started = time.perf_counter()
    with mupdf.open(path, filetype="pdf") as document:
        for page in document:
            page.get_pixmap(dpi=dpi, alpha=False)
    return time.perf_counter() - started


def mixed_document(path: Path) -> Path:
    """A PDF whose pages take turns: text, text with coloured drawings, a grey scan, a colour scan."""
    random = np.random.default_rng(7)
    document = mupdf.open()
    for number in range(_PAGES):
        page = document.new_page()
        if number % 4 < 2:
            for line in range(60):
                page.insert_text((50, 60 + 12 * line), " ".join(random.choice(_WORDS, 14)), fontsize=9)
        if number % 4 == 1:
            for _ in range(40):
                x, y = random.uniform(50, 400, 2)
                page.draw_circle((x, y), random.uniform(5, 60), color=random.uniform(0, 1, 3).tolist(), width=2)
        if number % 4 > 1:
            paper = scan(random, page.rect.width, page.rect.height)
            if number % 4 == 3:
                paper = np.stack([paper, paper - 9, paper - 25], axis=-1)
            page.insert_image(page.rect, stream=encode_png(paper))
    document.save(path)
    return path


def scan(random: np.random.Generator, width: float, height: float) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Lines of dark blots on paper with the noise of a scanner, at 200 DPI."""
    rows, columns = int(height * 200 / 72), int(width * 200 / 72)
    paper = random.integers(225, 250, (rows, columns), np.uint8)
    ink = random.random((rows, columns // 8)).repeat(8, axis=1)[:, :columns] < 0.45
    ink = np.pad(ink, ((0, 0), (0, columns - ink.shape[1])))
    ink &= (np.arange(rows) % 36 < 20)[:, None]
    paper[ink] = random.integers(30, 60, int(ink.sum()), np.uint8)
    return paper


if __name__ == "__main__":
    main()
