"""Defects of real pages, drawn by code: boxes side by side, light letters on dark panels, programs, amounts."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest
from PIL import Image, ImageDraw, ImageFont

from libs.page.block import BlockKind
from services.web.render.png import encode_png
from services.worker.engines.context import EngineContext
from services.worker.engines.engine import OcrEngine, PageImage, PageText
from services.worker.engines.lines.recogniser import Recogniser
from services.worker.engines.lines.wheel import RECOGNITION_MODEL, model_directory
from services.worker.engines.select import create_engine
from services.worker.engines.settings import EngineSettings
from tests.printed import PROGRAM
from tests.required import missing

pytest.importorskip("rapidocr")

# Only a part of it is typed.
mupdf: Any = pymupdf

SERIF = Path("/usr/share/fonts/truetype/dejavu/DejaVuSerif.ttf")
TYPEWRITER = Path("/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf")

TERMS = """Where the rate is dependent on value,
shippers are required to state
specifically in writing the agreed or
declared value of the property. The
value of the property is stated by the
shipper not to exceed the amount that
was agreed upon before the goods left.""".splitlines()
RECEIVED = """RECEIVED, subject to individually
determined rates or contracts that
have been agreed upon in writing
between the carrier and the shipper,
if applicable, otherwise to the rules
that have been established by the
carrier and are known to the shipper.""".splitlines()
FORM = [
    "NAME: K. L. Johnson   DATE: 12/4/91",
    "COMPANY: Lorillard   TELEPHONE: 555-1234",
    "ADDRESS: 75 Market Street, Greensboro",
    "PRODUCT: Newport Lights   QUANTITY: 1,250",
    "BUDGET: $4,500   ACCOUNT: 27420",
    "MANAGER: Maverick   REGION: Dallas",
    "COMMENTS: Approved by the Division",
    "REPORT: Initiated January 15, 1992",
]
PROSE = [
    "The harbour lay quiet under the morning fog, and nobody on the long pier",
    "noticed the small boat with the green sail coming in from the islands.",
    "Its only passenger carried a leather suitcase, two letters and a map.",
]


class Paper:
    """A page of print."""

    def __init__(self, width: float = 560, height: float = 300) -> None:
        self._document = mupdf.open()
        self._page = self._document.new_page(width=width, height=height)

    def write(self, left: float, top: float, *lines: str, size: float = 9, font: str = "helv", grey: float = 0) -> None:
        for at, line in enumerate(lines):
            place = (left, top + 1.25 * size * at)
            self._page.insert_text(place, line, fontsize=size, fontname=font, color=(grey, grey, grey))

    def fill(self, left: float, top: float, right: float, bottom: float, colour: tuple[float, float, float]) -> None:
        self._page.draw_rect(mupdf.Rect(left, top, right, bottom), color=None, fill=colour)

    def scan(self, dpi: int = 150) -> PageImage:
        drawn = self._page.get_pixmap(dpi=dpi, alpha=False, colorspace=mupdf.csRGB)
        pixels = np.frombuffer(drawn.samples, np.uint8).reshape(drawn.height, drawn.width, 3)
        return PageImage(page_no=1, data=encode_png(pixels))


@pytest.fixture(scope="module")
def engine() -> OcrEngine:
    return create_engine("rapidocr", EngineContext(settings=EngineSettings(ocr_threads=2)))


async def read(engine: OcrEngine, page: PageImage) -> PageText:
    await engine.load()

    async def pages() -> AsyncIterator[PageImage]:
        yield page

    (result,) = [result async for result in engine.recognise(pages())]
    assert isinstance(result, PageText)
    return result


async def test_boxes_side_by_side_without_a_rule_are_read_one_after_the_other(engine: OcrEngine) -> None:
    paper = Paper()
    paper.write(40, 40, *TERMS)
    width = max(mupdf.get_text_length(line, fontsize=9) for line in TERMS)
    paper.write(40 + width + 7, 40, *RECEIVED)
    lines = [line.text for line in (await read(engine, paper.scan())).lines]
    assert [line.split()[0] for line in lines] == [line.split()[0] for line in TERMS + RECEIVED]


@pytest.mark.parametrize(
    "colour", [(0.1, 0.3, 0.5), *(pytest.param(other, marks=pytest.mark.slow) for other in ((0, 0, 0), (0.75, 0, 0)))]
)
async def test_light_letters_on_a_dark_panel_are_read(engine: OcrEngine, colour: tuple[float, float, float]) -> None:
    paper = Paper()
    for at, (head, other) in enumerate((("SHIP FROM", "Bill Number"), ("SHIP TO", "Carrier"), ("CHARGES", "7"))):
        top = 30 + 85 * at
        paper.fill(30, top, 270, top + 8, colour)
        paper.fill(290, top, 520, top + 8, colour)
        paper.write(120, top + 6.4, head, size=7, grey=1)
        paper.write(380, top + 6.4, other, size=7, grey=1)
        paper.write(34, top + 22, *PROSE, size=6)
    written = (await read(engine, paper.scan())).markdown.split()
    assert {"SHIP", "FROM", "TO", "CHARGES", "Bill", "Number", "Carrier", "7"} <= set(written)


async def test_program_on_a_scan_is_a_block_of_code_with_its_indents(engine: OcrEngine) -> None:
    paper = Paper()
    paper.write(40, 40, *PROSE, size=10)
    paper.write(60, 110, *PROGRAM.split("\n"), size=9, font="cour")
    paper.write(40, 220, *PROSE, size=10)
    result = await read(engine, paper.scan(200))
    (code,) = [block for block in result.blocks if block.kind is BlockKind.CODE]
    assert code.text == PROGRAM
    assert f"```\n{PROGRAM}\n```" in result.markdown
    assert "&lt;" not in result.markdown


def test_stroke_of_a_small_date_is_no_one() -> None:
    if not SERIF.is_file():
        missing("DejaVu Serif is not installed (Debian: apt-get install fonts-dejavu-core)")
    large = Image.new("L", (264, 66), 255)
    font = ImageFont.truetype(str(SERIF), 30)
    width = round(font.getlength("7/7/2017")) + 24
    ImageDraw.Draw(large).text((10, 6), "7/7/2017", 0, font=font)
    small = large.crop((0, 0, width, 48)).resize((width // 3, 16), Image.Resampling.BOX)
    pixels = np.repeat(np.where(np.asarray(small) < 150, 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    right, bottom = float(pixels.shape[1]), float(pixels.shape[0])
    quad = np.array([[[0.0, 0.0], [right, 0.0], [right, bottom], [0.0, bottom]]])
    recogniser = Recogniser(model_directory() / RECOGNITION_MODEL, threads=1)
    assert recogniser.recognise(pixels, quad)[0].text == "7/7/2017"


@pytest.mark.slow
async def test_typewriting_on_a_noisy_scan_of_90_dpi_is_read_word_for_word(engine: OcrEngine) -> None:
    if not TYPEWRITER.is_file():
        missing("DejaVu Sans Mono is not installed (Debian: apt-get install fonts-dejavu-core)")
    image = Image.new("L", (2286, 1200), 255)
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(str(TYPEWRITER), 36)
    for at, line in enumerate(FORM):
        draw.text((150, 60 + 135 * at), line, 0, font=font)
    clean = np.asarray(image.resize((762, 400), Image.Resampling.BOX)).astype(np.float64)
    noisy = np.clip(clean + np.random.default_rng(1).normal(0, 24, clean.shape), 0, 255).astype(np.uint8)
    result = await read(engine, PageImage(page_no=1, data=encode_png(np.repeat(noisy[:, :, None], 3, axis=2))))
    assert sorted(" ".join(line.text for line in result.lines).split()) == sorted(" ".join(FORM).split())
