"""An engine with text layers in front: each page is read once, by one of the two, as the job's option says."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from libs.jobstate.intake import OcrMode
from libs.jobstate.provenance import LayerVerdict
from libs.page.block import Source
from services.worker.engines.context import EngineContext
from services.worker.engines.engine import PageFailure, PageImage, PageText
from services.worker.engines.layer.engine import LayeredEngine, NoLayers
from services.worker.engines.layer.reader import LayerReader
from services.worker.engines.registry import EngineRegistry
from services.worker.engines.settings import EngineSettings
from tests import ROOT, layered
from tests.layered import Draw, page_of
from tests.scripted import Script, ScriptedEngine
from tests.transcripts import Source as Pages
from tests.transcripts import everything

pytest.importorskip("rapidocr")


@pytest.fixture(scope="module")
def reader() -> LayerReader:
    """One reader, which loads its model once."""
    return LayerReader(threads=2)


def numbered(draw: Draw, number: int, folder: Path, ocr: OcrMode) -> PageImage:
    return msgspec.structs.replace(page_of(draw, folder, ocr=ocr), page_no=number)


def engine(reader: LayerReader, script: Script | None = None) -> LayeredEngine:
    return LayeredEngine(ScriptedEngine(script or Script()), reader, slots=1)


async def test_each_page_is_read_once_and_by_whom_it_should_be(reader: LayerReader, tmp_path: Path) -> None:
    pages = [
        numbered(layered.plain, 1, tmp_path, OcrMode.AUTO),
        numbered(layered.plain, 2, tmp_path, OcrMode.FORCE),
        numbered(layered.scanned, 3, tmp_path, OcrMode.AUTO),
        numbered(lambda page: page.draw_circle((90, 90), 50), 4, tmp_path, OcrMode.AUTO),
        numbered(layered.plain, 5, tmp_path, OcrMode.AUTO),
    ]
    found = {reading.page_no: reading for reading in await everything(engine(reader), Pages(pages))}
    assert sorted(found) == [1, 2, 3, 4, 5]
    sources = {n: reading.source for n, reading in found.items() if isinstance(reading, PageText)}
    assert sources == {1: Source.TEXT_LAYER, 2: Source.OCR, 3: Source.OCR, 4: Source.OCR, 5: Source.TEXT_LAYER}
    reports = {n: reading.text_layer for n, reading in found.items() if isinstance(reading, PageText)}
    assert {n: report and report.verdict for n, report in reports.items()} == {
        1: LayerVerdict.TRUSTED,
        2: None,
        3: LayerVerdict.INVISIBLE,
        4: None,
        5: LayerVerdict.TRUSTED,
    }


async def test_with_text_the_engine_gets_no_page(reader: LayerReader, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    pages = [
        numbered(layered.plain, 1, tmp_path, OcrMode.TEXT),
        numbered(lambda page: page.draw_circle((90, 90), 50), 2, tmp_path, OcrMode.TEXT),
    ]
    found = await everything(engine(reader, Script(journal=str(journal))), Pages(pages))
    assert [type(reading) for reading in found] == [PageText, PageFailure]
    assert not journal.exists()


async def test_a_fault_of_the_engine_or_of_the_pages_is_raised(reader: LayerReader, tmp_path: Path) -> None:
    pages = [numbered(layered.plain, 1, tmp_path, OcrMode.FORCE)]
    with pytest.raises(RuntimeError):
        await everything(engine(reader, Script(explode=(1,))), Pages(pages))
    with pytest.raises(LookupError):
        await everything(engine(reader), Pages(pages, then=LookupError()))


async def test_closing_early_ends_the_engine(reader: LayerReader, tmp_path: Path) -> None:
    pages = [numbered(layered.plain, n, tmp_path, OcrMode.FORCE) for n in (1, 2, 3)]
    readings = engine(reader).recognise(aiter(Pages(pages)))
    assert (await anext(readings)).page_no == 1
    await readings.aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_the_registry_puts_layers_before_engines_that_do_not_have_to_see_every_page() -> None:
    context = EngineContext(settings=EngineSettings(ocr_threads=1))
    shared = await EngineRegistry("rapidocr", context, layers=True).engine(None)
    assert isinstance(shared.engine, LayeredEngine)
    assert (shared.slots, shared.info().name) == (1, "rapidocr")
    scripted = await EngineRegistry("tests.scripted:create", context, layers=True).engine(None)
    assert isinstance(scripted.engine, ScriptedEngine)


def test_the_worker_starts_without_the_packages_of_layers_and_without_telemetry() -> None:
    code = (
        "import os, sys, services.worker.app\n"
        "assert not {'cv2', 'onnxruntime'} & set(sys.modules)\n"
        "from services.worker.engines import select\n"
        "select.create_layer_reader(select.BARE)\n"
        "assert os.environ['ORT_DISABLE_TELEMETRY'] == '1' and 'onnxruntime' in sys.modules\n"
    )
    environ = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-c", code], check=True, env=environ, cwd=ROOT)


async def test_without_the_packages_pages_are_recognised_and_text_alone_fails(tmp_path: Path) -> None:
    bare = LayeredEngine(ScriptedEngine(Script()), NoLayers("Install the extra."), slots=1)
    pages = [
        numbered(layered.plain, 1, tmp_path, OcrMode.AUTO),
        numbered(layered.plain, 2, tmp_path, OcrMode.TEXT),
    ]
    found = {reading.page_no: reading for reading in await everything(bare, Pages(pages))}
    assert isinstance(found[1], PageText)
    refused = found[2]
    assert isinstance(refused, PageFailure)
    assert refused.reason == "Install the extra."
