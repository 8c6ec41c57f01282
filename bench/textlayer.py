"""Text layers of real documents: which pages are taken, why the others are not, and where a layer and OCR disagree.

    python -m bench.textlayer [FOLDER] [--pages N] [--spread] [--threads N] [--save FOLDER] [--rival]

Reads the first N pages (default 2; with `--spread` N pages from its whole length) of every PDF in the folder (default:
`normal` in `$GNOSIS_CORPUS`) twice: by the text layer, and by OCR with the default engine. Prints a line per page: the
verdict, the agreement of the spot check, the agreement of the layer's whole text with that of OCR (F1 of words, as
trust is computed; "-" where OCR reads another script), and seconds of both. Then totals: pages by verdict, pages a
second with `ocr=auto` and with `ocr=force`, and the pages on which layer and OCR disagree by more than 10 %, which
`--save` writes as images with both texts beside them: a person has to look who is right. One process, so that both
ways have the same cores; the rendering is not counted.

`--rival` also reads the pages that are taken with plain `pymupdf4llm`, which neither draws a page nor checks its text
(`pip install pymupdf4llm==1.28.2 tabulate==0.10.0`), and prints pages a second of both; there ours has the rendering.
"""

import argparse
import importlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from libs import textlayer
from libs.jobstate.intake import OcrMode
from libs.jobstate.provenance import LayerVerdict
from libs.page.markdown import to_markdown
from services.web.render.child.pdf import PdfSource
from services.web.render.protocol import RenderError, RenderLimits
from services.worker.engines.engine import PageImage, PageText
from services.worker.engines.guard.agreement import agreement, share_a_script, words
from services.worker.engines.layer.reader import LayerReader
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.lines.rapid import RapidReader
from services.worker.engines.picture import decode, is_blank

DPI = 150
# Share by which two texts may differ without being listed.
DIFFERS = 0.1


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one page."""

    name: str
    page_no: int
    png: bytes
    #: None for a page without a layer.
    verdict: LayerVerdict | None
    #: Of the spot check.
    checked: float | None
    #: Of the layer's text with that of OCR.
    agreed: float | None
    layer_text: str
    ocr_text: str
    #: By the layer: judgement, spot check and layout. 0 without a layer.
    layer_seconds: float
    ocr_seconds: float
    #: Rendering, and taking the layer out of the document.
    draw_seconds: float
    #: Of `pymupdf4llm`, where it was asked for and the layer is taken.
    rival_seconds: float = 0.0

    @property
    def trusted(self) -> bool:
        """Whether `ocr=auto` takes the layer."""
        return self.verdict is LayerVerdict.TRUSTED

    @property
    def auto_seconds(self) -> float:
        """With `ocr=auto`."""
        return self.layer_seconds if self.trusted else self.layer_seconds + self.ocr_seconds


def main() -> int:
    """Read, print, and return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, nargs="?", help="PDFs (default: normal in $GNOSIS_CORPUS)")
    parser.add_argument("--pages", type=int, default=2, help="the first N of each document (default 2)")
    parser.add_argument("--spread", action="store_true", help="N from a document's whole length, its ends included")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="cores of both ways")
    parser.add_argument("--save", type=Path, help="write images and texts of pages that disagree here")
    parser.add_argument("--rival", action="store_true", help="also read the pages that are taken with pymupdf4llm")
    options = parser.parse_args()
    rival = _rival() if options.rival else None
    folder = options.folder or Path(os.environ.get("GNOSIS_CORPUS", "."), "normal")
    layers, engine = LayerReader(options.threads), RapidReader(options.threads)
    engine.load()
    rows = []
    print(f"{'document':<44} page  verdict       checked  agreed  layer s    OCR s")
    for path in sorted(folder.glob("*.pdf")):
        for page_no, png, draw_seconds in _pages(path, options.pages, spread=options.spread):
            row = _read(path.stem, page_no, png, draw_seconds, layers, engine)
            if rival is not None and row.trusted:
                row = msgspec.structs.replace(row, rival_seconds=rival(path, page_no))
            rows.append(row)
            print(
                f"{row.name[:44]:<44} {row.page_no:>4}  {row.verdict or 'no layer':<12} {_share(row.checked):>8}"
                f" {_share(row.agreed):>7} {row.layer_seconds:>8.2f} {row.ocr_seconds:>8.2f}",
                flush=True,
            )
    _totals(rows)
    if options.save:
        _save(rows, options.save)
    return 0


def _rival() -> Callable[[Path, int], float]:
    """How long plain `pymupdf4llm` takes for a page, 0 where it fails. Raises ImportError where it is not installed."""
    library: Any = importlib.import_module("pymupdf4llm")
    library.use_layout(False)

    def seconds(path: Path, page_no: int) -> float:
        began = time.perf_counter()
        try:
            library.to_markdown(str(path), pages=[page_no - 1])
        except Exception as error:  # any fault of the library
            print(f"{path.name}, page {page_no}: pymupdf4llm failed: {type(error).__name__}")
            return 0.0
        return time.perf_counter() - began

    return seconds


def _pages(path: Path, count: int, *, spread: bool) -> Iterator[tuple[int, bytes, float]]:
    with path.open("rb") as file:
        try:
            source = PdfSource(file.fileno(), DPI, RenderLimits())
        except RenderError as error:
            print(f"{path.name}: {error.fault.value}")
            return
        last = source.total_pages
        chosen: Sequence[int] = range(1, min(count, last) + 1)
        if spread and 1 < count < last:
            chosen = [1 + (last - 1) * at // (count - 1) for at in range(count)]
        for page_no in chosen:
            began = time.perf_counter()
            try:
                png = source.page_png(page_no)
                yield page_no, png, time.perf_counter() - began
            except RenderError as error:
                print(f"{path.name}, page {page_no}: {error.fault.value}")


def _read(name: str, page_no: int, png: bytes, draw_seconds: float, layers: LayerReader, engine: RapidReader) -> Row:
    layer_seconds, layer_text, report = 0.0, "", None
    if textlayer.read(png) is not None:
        began = time.perf_counter()
        found = layers.read(PageImage(page_no=page_no, data=png, ocr=OcrMode.TEXT))
        layer_seconds = time.perf_counter() - began
        if isinstance(found, PageText):
            layer_text, report = found.markdown, found.text_layer
    began = time.perf_counter()
    pixels = decode(png)
    ocr_text = "" if is_blank(pixels) else to_markdown(lay_out(engine.read(pixels)))
    ocr_seconds = time.perf_counter() - began
    comparable = words(layer_text) and words(ocr_text) and share_a_script(layer_text, ocr_text)
    return Row(
        name=name,
        page_no=page_no,
        png=png,
        verdict=None if report is None else report.verdict,
        checked=None if report is None else report.agreement,
        agreed=agreement(layer_text, ocr_text) if comparable else None,
        layer_text=layer_text,
        ocr_text=ocr_text,
        layer_seconds=layer_seconds,
        ocr_seconds=ocr_seconds,
        draw_seconds=draw_seconds,
    )


def _totals(rows: list[Row]) -> None:
    if not rows:
        print("no pages")
        return
    verdicts = Counter(row.verdict or "no layer" for row in rows)
    print(f"\n{len(rows)} pages; load {os.getloadavg()[0]:.1f}")
    print("verdicts   " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()))
    force, auto = sum(row.ocr_seconds for row in rows), sum(row.auto_seconds for row in rows)
    print(f"pages/s    {len(rows) / force:.2f} with force, {len(rows) / auto:.2f} with auto")
    taken = [row for row in rows if row.trusted]
    if taken:
        by_layer, by_ocr = sum(row.layer_seconds for row in taken), sum(row.ocr_seconds for row in taken)
        print(f"taken      {len(taken) / by_layer:.2f} pages/s by the layer, {len(taken) / by_ocr:.2f} by OCR")
    if both := [row for row in taken if row.rival_seconds]:
        ours, rival = sum(row.draw_seconds + row.layer_seconds for row in both), sum(row.rival_seconds for row in both)
        print(f"both read  {len(both) / ours:.2f} pages/s with their rendering, {len(both) / rival:.2f} by pymupdf4llm")
    for row in _differing(rows):
        print(f"differs    {row.name} page {row.page_no}: {_share(row.agreed)}, {row.verdict}")


def _differing(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.agreed is not None and row.agreed < 1 - DIFFERS]


def _save(rows: list[Row], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for row in _differing(rows):
        stem = folder / f"{row.name}-{row.page_no}"
        stem.with_name(stem.name + ".png").write_bytes(row.png)
        stem.with_name(stem.name + ".layer.md").write_text(row.layer_text)
        stem.with_name(stem.name + ".ocr.md").write_text(row.ocr_text)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


if __name__ == "__main__":
    sys.exit(main())
