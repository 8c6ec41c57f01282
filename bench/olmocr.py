"""The assertions of olmOCR-bench over our Markdown of the pages that they name, with `ocr=auto` and `ocr=force`.

    python -m bench.olmocr --corpus PATH [--modes auto force] [--cache FOLDER] [--save FOLDER]

The corpus is a folder with `dataset.jsonl`, the assertions, and the PDFs that they name (default:
`groundtruth/en_olmocr_bench_sample` in `$GNOSIS_CORPUS`). Assertions on equations are left out: they need a browser.
Pages are read as the worker reads them (`bench/readings.py`), then laid out and written as Markdown without running
heads. Prints how many assertions of each kind hold, then those that fail.

`--cache` keeps what was read of each page, words and lines, in a folder outside of the repository: a second run does
the layout alone. `--save` writes the Markdown, a file for each PDF.

The assertions' own code is needed, which has far more dependencies than this uses:

    pip install --no-deps olmocr==0.4.27
    pip install rapidfuzz beautifulsoup4 fuzzysearch lxml numpy tqdm pypdf zstandard playwright
"""

import argparse
import importlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from bench.readings import Readings
from libs.jobstate.intake import OcrMode
from libs.page.markdown import to_markdown

SAMPLE = "groundtruth/en_olmocr_bench_sample"
ASSERTIONS = ("dataset.jsonl", "blanks.jsonl")
MODES = (OcrMode.AUTO, OcrMode.FORCE)


class Assertion(Protocol):
    """One of olmOCR-bench, as its package reads it."""

    pdf: str
    page: int
    id: str
    type: str

    def run(self, markdown: str, /) -> tuple[bool, str]:
        """Whether it holds over the Markdown of its PDF, and why not."""
        ...


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.olmocr", description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, help=f"default: {SAMPLE} in $GNOSIS_CORPUS")
    parser.add_argument("--modes", nargs="*", type=OcrMode, default=list(MODES), choices=MODES, metavar="MODE")
    parser.add_argument("--cache", type=Path, help="keep what was read of each page here")
    parser.add_argument("--save", type=Path, help="write the Markdown here")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="cores (default: all)")
    options = parser.parse_args()
    corpus = options.corpus or Path(os.environ.get("GNOSIS_CORPUS", "."), SAMPLE)
    try:
        assertions = load(corpus)
    except (OSError, ImportError) as error:
        parser.error(f"{error}: name the folder of the assertions, and install what bench/olmocr.py names")
    readings = Readings(options.threads, options.cache)
    for mode in options.modes:
        written = {
            pdf: "\n\n".join(to_markdown(readings.of(file_of(corpus, pdf), page, mode).blocks()) for page in pages)
            for pdf, pages in pages_of(assertions).items()
        }
        if options.save:
            _save(written, options.save / mode.value)
        _report(mode, assertions, written)
    return 0


def load(corpus: Path) -> list[Assertion]:
    """The assertions, but for those on equations; raises ImportError where the package is missing."""
    # By name: the package is no dependency of ours.
    read = importlib.import_module("olmocr.bench.tests").load_single_test
    lines = [
        line
        for number, name in enumerate(ASSERTIONS)
        if number == 0 or (corpus / name).is_file()
        for line in (corpus / name).read_text(encoding="utf-8").splitlines()
    ]
    found = [json.loads(line) for line in lines if line.strip()]
    return [read(one) for one in found if one["type"] != "math"]


def pages_of(assertions: Sequence[Assertion]) -> dict[str, list[int]]:
    """The pages that the assertions name, by PDF."""
    found: dict[str, set[int]] = defaultdict(set)
    for one in assertions:
        found[one.pdf].add(one.page)
    return {pdf: sorted(pages) for pdf, pages in sorted(found.items())}


def file_of(corpus: Path, pdf: str) -> Path:
    """The file of a PDF. Some names have a folder, which a flat copy of the sample writes as a prefix."""
    path = corpus / pdf
    return path if path.is_file() else path.parent.parent / f"{path.parent.name}__{path.name}"


def _save(written: dict[str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for pdf, markdown in written.items():
        (folder / f"{pdf.replace('/', '__')}.md").write_text(markdown, encoding="utf-8")


def _report(mode: OcrMode, assertions: Sequence[Assertion], written: dict[str, str]) -> None:
    held: dict[str, list[bool]] = defaultdict(list)
    failed = []
    for one in assertions:
        holds, why = one.run(written[one.pdf])
        held[one.type].append(holds)
        if not holds:
            failed.append(f"  {one.type:<8} {one.id}: {why}")
    results = [result for kind in held.values() for result in kind]
    print(f"ocr={mode.value}; load {os.getloadavg()[0]:.1f}")
    for kind, of_kind in sorted(held.items()):
        print(f"{kind:<10}{sum(of_kind):>4} of {len(of_kind)}")
    print(f"{'all':<10}{sum(results):>4} of {len(results)}  {100 * sum(results) / max(len(results), 1):.1f} %")
    print("\n".join(failed))


if __name__ == "__main__":
    sys.exit(main())
