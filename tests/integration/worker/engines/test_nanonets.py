"""The model as an engine: pages in, Markdown out, with small models of the family's real classes."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import pytest
from PIL import Image

from services.web.render.png import encode_png
from services.worker.engines.context import EngineContext, ModelFiles
from services.worker.engines.engine import (
    EngineUnavailable,
    Finish,
    OcrEngine,
    PageFailure,
    PageImage,
    PageText,
)
from services.worker.engines.nanonets import ModelTranscriber
from services.worker.engines.picture import decode
from services.worker.engines.qwen import assembly
from services.worker.engines.select import create_engine
from services.worker.engines.settings import EngineSettings, OpenAiSettings
from services.worker.engines.transcriber import Ending, Sampling
from tests import ROOT
from tests.tinymodel import REPOSITORY, make_model

SETTINGS = EngineSettings(
    ocr_threads=1, ocr_slots=3, model_min_pixels=784, model_max_pixels=40 * 784, model_max_tokens=48
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("hub"), stops=12)


def context(folder: Path, settings: EngineSettings = SETTINGS) -> EngineContext:
    async def model() -> ModelFiles:
        return ModelFiles(folder=folder, name=REPOSITORY, revision=folder.name)

    return EngineContext(settings=settings, model=model)


async def engine(folder: Path, settings: EngineSettings = SETTINGS) -> OcrEngine:
    made = create_engine("nanonets", context(folder, settings))
    await made.load()
    return made


async def read(engine: OcrEngine, images: Sequence[PageImage]) -> dict[int, PageText | PageFailure]:
    async def pages() -> AsyncIterator[PageImage]:
        for image in images:
            yield image

    return {reading.page_no: reading async for reading in engine.recognise(pages())}


def page_image(page_no: int) -> PageImage:
    # Blocks of colour: a model of random weights reads no letters.
    blocks = np.random.default_rng(page_no).integers(0, 256, (9 + page_no, 7, 3), dtype=np.uint8)
    picture = Image.fromarray(blocks).resize((280, 360 + 20 * page_no), Image.Resampling.NEAREST)
    return PageImage(page_no=page_no, data=encode_png(np.asarray(picture)))


IMAGES = [page_image(number) for number in range(1, 8)]


async def test_both_decoders_give_every_page_the_same_text(folder: Path) -> None:
    fast = await read(await engine(folder), IMAGES)
    plain = await read(await engine(folder, msgspec.structs.replace(SETTINGS, ocr_decoder="reference")), IMAGES)
    assert fast.keys() == plain.keys() == {image.page_no for image in IMAGES}
    texts = {number: reading.markdown for number, reading in fast.items() if isinstance(reading, PageText)}
    assert len(set(texts.values())) > len(IMAGES) / 2
    assert texts == {number: reading.markdown for number, reading in plain.items() if isinstance(reading, PageText)}


async def test_a_page_says_which_model_and_revision_read_it_on_what(folder: Path) -> None:
    info = (await engine(folder)).info()
    assert (info.name, info.revision, info.device) == ("nanonets", f"{REPOSITORY}@{folder.name}", "cpu")


async def test_settings_of_a_server_do_not_change_how_the_model_sees_a_page(folder: Path) -> None:
    server = OpenAiSettings(openai_max_side=256, openai_fields="no JSON")
    transcriber = ModelTranscriber(context(folder, msgspec.structs.replace(SETTINGS, openai=server)))
    await transcriber.load()
    assert transcriber.profile.limits.max_side is None


async def test_a_blank_page_is_not_shown_to_the_model(folder: Path) -> None:
    paper = np.full((500, 400, 3), 255, np.uint8)
    found = await read(await engine(folder), [PageImage(page_no=1, data=encode_png(paper))])
    reading = found[1]
    assert isinstance(reading, PageText)
    assert (reading.finish, reading.markdown, reading.tries) == (Finish.BLANK, "", ())


async def test_a_page_that_never_ends_is_no_text(tmp_path: Path) -> None:
    found = await read(await engine(make_model(tmp_path, stops=0)), IMAGES[:2])
    assert all(isinstance(reading, PageFailure) for reading in found.values())
    tries = [attempt for reading in found.values() for attempt in reading.tries]
    assert {attempt.tokens for attempt in tries} == {SETTINGS.model_max_tokens}
    assert {attempt.temperature for attempt in tries} == {0.0, 0.2, 0.5}


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that never ends a page."""
    return make_model(tmp_path_factory.mktemp("hub"), stops=0)


@pytest.mark.parametrize("decoder", ["fast", "reference"])
async def test_a_cancelled_page_leaves_its_slot_to_the_next(
    endless: Path, decoder: Literal["fast", "reference"]
) -> None:
    tokens = 100_000
    long = msgspec.structs.replace(SETTINGS, ocr_slots=1, ocr_decoder=decoder, model_max_tokens=tokens)
    transcriber = ModelTranscriber(context(endless, long))
    await transcriber.load()
    pixels = decode(IMAGES[0].data)
    begun = asyncio.Event()
    left = asyncio.create_task(transcriber.transcribe(pixels, Sampling(max_tokens=tokens), begun.set))
    # It reports progress: it is being written, and would be for minutes.
    await begun.wait()
    left.cancel()
    transcript = await transcriber.transcribe(pixels, Sampling(max_tokens=5))
    assert (transcript.tokens, transcript.ending) == (5, Ending.LENGTH)
    assert left.cancelled()


async def test_more_slots_than_the_memory_holds_are_refused_before_anything_is_loaded(folder: Path) -> None:
    greedy = msgspec.structs.replace(SETTINGS, ocr_slots=256, model_max_pixels=64_000_000, model_max_tokens=131072)
    with pytest.raises(EngineUnavailable, match="OCR_SLOTS"):
        await engine(folder, greedy)


async def test_slots_are_counted_again_when_the_weights_are_in_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As a GPU whose memory loading has fragmented.
    monkeypatch.setattr(assembly, "available_beside", lambda weights, device: weights)
    with pytest.raises(EngineUnavailable, match="3 pages at once need"):
        await engine(folder)


OFFLINE = """
import asyncio, sys
def deny(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print(event, arguments, file=sys.stderr)
        raise OSError("no network here")
sys.addaudithook(deny)
from pathlib import Path
from tests.integration.worker.engines.test_nanonets import IMAGES, engine, read
async def main():
    found = await read(await engine(Path(sys.argv[1])), IMAGES)
    print({type(reading).__name__ for reading in found.values() if reading.tokens})
asyncio.run(main())
"""


def test_loading_and_reading_ask_nothing_of_a_network(folder: Path) -> None:
    command = [sys.executable, "-c", OFFLINE, str(folder)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120)
    assert "PageText" in done.stdout.splitlines()[-1]
    assert done.stderr == ""
