"""The structure of tables against true ones, written by hand, with `ocr=auto` and `ocr=force`, and of other tools.

    python -m bench.tables [NAME ...] [--corpus PATH] [--modes auto force] [--libraries find_tables pymupdf4llm]
                           [--markdown FOLDER ...] [--cache FOLDER] [--save FOLDER]

The true tables are the files of `bench/table_truths`, named by document, page and number; `NAME` selects those that
begin so. The corpus is a folder with the documents in `normal` (default: `$GNOSIS_CORPUS`). Pages are drawn at the
service's resolution and read as the worker reads them; the tables of the result are compared with each true one, and
the most alike counts. Prints a line for each true table with TEDS, TEDS of the structure alone, and F1 of the texts of
header cells, each in percent (`bench/table_score.py` defines them; "-" where there is no header), then the means, how
many tables have 90 % or more, and how many tables the tool found on these pages that are none of the true ones' best.
Some of those are true tables that nobody wrote down.

`--libraries` adds a column for each bare library, on the PDF itself without OCR: `find_tables` of PyMuPDF, and
`pymupdf4llm` with `pymupdf-layout`. `--markdown` adds a column for each folder of Markdown or HTML files, one for each
page and named like it (`DOCUMENT-PAGE.md`): so another tool or an older version is scored. `--cache` keeps what was
read of each page in a folder outside of the repository: a second run does the layout alone. `--save` writes our tables.

Packages that are no dependencies of ours (the second line for `--libraries pymupdf4llm`):

    pip install table-recognition-metric==0.0.6 apted==1.0.3 Levenshtein==0.27.5 lxml==6.1.3
    pip install pymupdf4llm==1.28.2 pymupdf-layout==1.28.2 tabulate==0.10.0
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
import pymupdf

from bench.readings import Readings
from bench.table_score import Score, Scorer, Table, tables
from libs.jobstate.intake import OcrMode
from libs.page.block import BlockKind
from libs.page.table import to_html

TRUTHS = Path(__file__).parent / "table_truths"
DOCUMENTS = "normal"
MODES = (OcrMode.AUTO, OcrMode.FORCE)
# From which a table is as good as right.
GOOD = 0.9

#: The tables of a page, given its number from 1.
Source: TypeAlias = Callable[[Path, int], list[Table]]


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """A true table and where it stands."""

    name: str
    document: str
    page_no: int
    cells: Table


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """What one tool got for all true tables, in their order."""

    name: str
    scores: tuple[Score, ...]
    #: Tables on the pages that are the best for none of the true ones.
    others: int


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.tables", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="true tables whose names begin so (default: all)")
    parser.add_argument("--corpus", type=Path, help="default: $GNOSIS_CORPUS")
    parser.add_argument("--modes", nargs="*", type=OcrMode, default=list(MODES), choices=MODES, metavar="MODE")
    parser.add_argument("--libraries", nargs="*", default=[], choices=LIBRARIES, metavar="LIBRARY")
    parser.add_argument("--markdown", nargs="*", type=Path, default=[], metavar="FOLDER", help="results of other tools")
    parser.add_argument("--cache", type=Path, help="keep what was read of each page here")
    parser.add_argument("--save", type=Path, help="write our tables here")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="cores (default: all)")
    options = parser.parse_args()
    corpus = (options.corpus or Path(os.environ.get("GNOSIS_CORPUS", "."))) / DOCUMENTS
    truths = _truths(tuple(options.names))
    if not truths:
        parser.error(f"no true table begins with {' or '.join(options.names)}")
    if missing := {one.document for one in truths if not (corpus / f"{one.document}.pdf").is_file()}:
        parser.error(f"{corpus} lacks {', '.join(sorted(missing))}: name the folder above it with --corpus")
    pymupdf.TOOLS.mupdf_display_errors(False)
    readings = Readings(options.threads, options.cache)
    sources: dict[str, Source] = {mode.value: _ours(readings, mode, options.save) for mode in options.modes}
    sources |= {folder.name: _written(folder) for folder in options.markdown}
    try:
        scorer = Scorer()
        # After our own: importing the layout library changes how PyMuPDF finds tables.
        columns = [_column(name, source, truths, corpus, scorer) for name, source in sources.items()]
        columns += [_column(name, LIBRARIES[name](), truths, corpus, scorer) for name in sorted(options.libraries)]
    except ImportError as error:
        parser.error(f"{error}: install the packages that the docstring of bench/tables.py names")
    _print(truths, columns)
    return 0


def _truths(names: tuple[str, ...]) -> list[Truth]:
    found = []
    for path in sorted(TRUTHS.glob("*.html")):
        if not names or path.stem.startswith(names):
            document, page_no, _ = path.stem.rsplit("-", 2)
            (cells,) = tables(path.read_text(encoding="utf-8"))
            found.append(Truth(name=path.stem, document=document, page_no=int(page_no), cells=cells))
    return found


def _column(name: str, source: Source, truths: Sequence[Truth], corpus: Path, scorer: Scorer) -> Column:
    scores: list[Score] = []
    pages: dict[tuple[str, int], list[Table]] = {}
    best: set[tuple[str, int, int]] = set()
    for truth in truths:
        page = (truth.document, truth.page_no)
        if page not in pages:
            pages[page] = source(corpus / f"{truth.document}.pdf", truth.page_no)
        score, place = scorer.best(truth.cells, pages[page])
        scores.append(score)
        if place is not None:
            best.add((*page, place))
    return Column(name=name, scores=tuple(scores), others=sum(map(len, pages.values())) - len(best))


def _ours(readings: Readings, mode: OcrMode, save: Path | None) -> Source:
    def source(pdf: Path, page_no: int) -> list[Table]:
        blocks = readings.of(pdf, page_no, mode).blocks()
        found = [block.cells for block in blocks if block.kind is BlockKind.TABLE]
        if save is not None:
            (save / mode.value).mkdir(parents=True, exist_ok=True)
            path = save / mode.value / f"{pdf.stem}-{page_no}.html"
            path.write_text("\n\n".join(map(to_html, found)), encoding="utf-8")
        return found

    return source


def _written(folder: Path) -> Source:
    def source(pdf: Path, page_no: int) -> list[Table]:
        paths = [folder / f"{pdf.stem}-{page_no}{suffix}" for suffix in (".md", ".html")]
        return [one for path in paths if path.is_file() for one in tables(path.read_text(encoding="utf-8"))]

    return source


def _find_tables() -> Source:
    def source(pdf: Path, page_no: int) -> list[Table]:
        with pymupdf.open(pdf) as document:
            found = document[page_no - 1].find_tables(refine=True).tables
            return [cells for one in found for cells in tables(one.to_html())]

    return source


def _pymupdf4llm() -> Source:
    library = importlib.import_module("pymupdf4llm")

    def source(pdf: Path, page_no: int) -> list[Table]:
        with pymupdf.open(pdf) as document:
            text = library.to_markdown(document, pages=[page_no - 1], use_ocr=False, table_output="html")
        return tables(text)

    return source


#: Bare libraries by name; in the order of their names, see `main`.
LIBRARIES: dict[str, Callable[[], Source]] = {"find_tables": _find_tables, "pymupdf4llm": _pymupdf4llm}


def _print(truths: Sequence[Truth], columns: Sequence[Column]) -> None:
    print(f"load {os.getloadavg()[0]:.1f}; TEDS, of the structure alone, header cells (F1), in percent")
    print(f"{'':<42}" + "".join(f"{column.name[:20]:>21}" for column in columns))
    for at, truth in enumerate(truths):
        print(f"{truth.name[:42]:<42}" + "".join(_three(column.scores[at]) for column in columns))
    print(f"{f'mean of {len(truths)}':<42}" + "".join(_three(_mean(column.scores)) for column in columns))
    good = [sum(score.teds >= GOOD for score in column.scores) for column in columns]
    print(f"{f'{100 * GOOD:.0f} or more':<42}" + "".join(f"{count:>21}" for count in good))
    print(f"{'other tables on these pages':<42}" + "".join(f"{column.others:>21}" for column in columns))


def _three(score: Score) -> str:
    header = "-" if score.header is None else f"{100 * score.header:.0f}"
    return f"{100 * score.teds:>10.1f}{100 * score.structure:>6.1f}{header:>5}"


def _mean(scores: Sequence[Score]) -> Score:
    headers = [score.header for score in scores if score.header is not None]
    return Score(
        teds=sum(score.teds for score in scores) / len(scores),
        structure=sum(score.structure for score in scores) / len(scores),
        header=sum(headers) / len(headers) if headers else None,
    )


if __name__ == "__main__":
    sys.exit(main())
