"""The real CPU engines on pages drawn by code."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from bench.accuracy import plain_text
from libs.page.block import BlockKind
from services.web.render.png import encode_png
from services.worker.engines.context import EngineContext
from services.worker.engines.engine import (
    EngineUnavailable,
    Finish,
    OcrEngine,
    PageFailure,
    PageImage,
    PageText,
)
from services.worker.engines.select import ENGINE_NAMES, create_engine
from services.worker.engines.settings import EngineSettings
from tests.required import missing

SENTENCES = [
    "The harbour lay quiet under the morning fog,",
    "and nobody on the long wooden pier noticed",
    "the small boat with the green sail coming in.",
    "Its only passenger carried a leather suitcase,",
    "two letters and a map of the northern islands.",
    "She asked for the keeper of the lighthouse,",
    "who had been expecting her since the winter.",
    "They talked until the lamps had to be lit.",
]
SECOND = [
    "Meanwhile the baker opened his narrow shop",
    "and counted the coins of the previous day.",
    "Nothing was missing except a silver button",
    "that he had kept for luck since childhood.",
    "He searched the shelves and the flour bins,",
    "looked behind the oven and under the table,",
    "then gave up and began to knead the dough.",
    "The button was lying quietly in his pocket.",
]


def context(*, threads: int = 0, languages: str = "eng") -> EngineContext:
    return EngineContext(settings=EngineSettings(ocr_threads=threads, ocr_languages=languages))


@pytest.fixture(scope="module", params=["rapidocr", "tesseract"])
def name(request: pytest.FixtureRequest) -> str:
    if request.param == "tesseract" and shutil.which("tesseract") is None:
        missing("Tesseract is not installed (Debian: apt-get install tesseract-ocr)")
    return str(request.param)


@pytest.fixture
async def engine(name: str) -> OcrEngine:
    made = create_engine(name, context(threads=2))
    await made.load()
    return made


def sheet(width: int = 900, height: int = 560) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height), "white")
    return image, ImageDraw.Draw(image)


def write(draw: ImageDraw.ImageDraw, lines: list[str], left: int, top: int, size: int = 26) -> None:
    for i, text in enumerate(lines):
        draw.text((left, top + i * round(1.6 * size)), text, "black", ImageFont.load_default(size))


def letter() -> Image.Image:
    image, draw = sheet()
    write(draw, SENTENCES, 80, 70)
    return image


def png(image: Image.Image) -> bytes:
    return encode_png(np.asarray(image))


async def read(engine: OcrEngine, *images: bytes) -> list[PageText | PageFailure]:
    async def pages() -> AsyncIterator[PageImage]:
        for number, data in enumerate(images, 1):
            yield PageImage(page_no=number, data=data)

    return [result async for result in engine.recognise(pages())]


async def read_text(engine: OcrEngine, image: Image.Image) -> PageText:
    (result,) = await read(engine, png(image))
    assert isinstance(result, PageText)
    return result


def recall(truth: list[str], result: PageText) -> float:
    true, found = Counter(" ".join(truth).split()), Counter(plain_text(result.markdown).split())
    return (true & found).total() / true.total()


def assert_boxes_hold_the_ink(image: Image.Image, result: PageText) -> None:
    """Nearly all ink of the stored page lies inside the boxes, and the boxes are not the whole page."""
    mask = Image.new("1", image.size)
    draw = ImageDraw.Draw(mask)
    for line in result.lines:
        draw.polygon(line.box, fill=1)
        assert 0 < (line.confidence or 0) <= 1
    inside, ink = np.asarray(mask), np.asarray(image.convert("L")) < 128
    assert (inside & ink).sum() > 0.97 * ink.sum()
    assert inside.mean() < 0.75


async def test_upright_page_is_read_word_for_word_with_its_boxes(engine: OcrEngine) -> None:
    image = letter()
    result = await read_text(engine, image)
    assert recall(SENTENCES, result) == 1.0
    assert (result.finish, result.rotation) == (Finish.STOP, 0)
    assert [line.text for line in result.lines] == SENTENCES
    assert result.markdown == "\n".join(SENTENCES)
    assert_boxes_hold_the_ink(image, result)
    # Clockwise from the start of the text.
    (ax, ay), (bx, by), (cx, cy), _ = result.lines[0].box
    assert bx > ax + 300
    assert abs(by - ay) < 10
    assert cy > by + 10
    assert abs(cx - bx) < 10


@pytest.mark.parametrize("turn", [90, *(pytest.param(turn, marks=pytest.mark.slow) for turn in (180, 270))])
async def test_turned_page_is_read_as_the_upright_one(engine: OcrEngine, turn: int) -> None:
    image = letter().rotate(-turn, expand=True)
    result = await read_text(engine, image)
    assert recall(SENTENCES, result) == 1.0
    assert result.rotation == 360 - turn
    assert_boxes_hold_the_ink(image, result)


@pytest.mark.parametrize("tilt", [3, pytest.param(-8, marks=pytest.mark.slow)])
async def test_tilted_page_is_straightened(engine: OcrEngine, tilt: int) -> None:
    image = letter().rotate(-tilt, expand=True, fillcolor="white", resample=Image.Resampling.BICUBIC)
    result = await read_text(engine, image)
    assert recall(SENTENCES, result) >= 0.97
    assert result.skew == pytest.approx(-tilt, abs=0.5)
    assert_boxes_hold_the_ink(image, result)


async def test_columns_are_read_one_after_the_other(engine: OcrEngine) -> None:
    image, draw = sheet(1300, 560)
    write(draw, SENTENCES, 60, 70)
    write(draw, SECOND, 690, 70)
    result = await read_text(engine, image)
    assert [line.text for line in result.lines] == SENTENCES + SECOND


async def test_table_becomes_html_rows(engine: OcrEngine) -> None:
    image, draw = sheet(900, 420)
    rows = [
        ("Article", "Pieces", "Price"),
        ("Apples", "12", "3.60"),
        ("Bread", "20", "44.00"),
        ("Cheese", "15", "99.90"),
    ]
    for i, row in enumerate(rows):
        for j, cell in enumerate(row):
            write(draw, [cell], 80 + 280 * j, 60 + 80 * i, 30)
    result = await read_text(engine, image)
    html = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    html = html.replace("td>", "th>", 2 * len(rows[0]))
    if engine.info().name == "rapidocr":
        assert result.markdown == f"<table>\n{html}\n</table>"
    # Tesseract may join the cells of a row to one line; its words are in rows even so.
    assert plain_text(result.markdown).split() == [cell for row in rows for cell in row]


async def test_drawn_rules_make_the_cells_of_a_table_with_its_spans() -> None:
    engine = create_engine("rapidocr", context(threads=2))
    await engine.load()
    image, draw = sheet(1000, 700)
    xs, ys = (60, 360, 620, 900), (80, 160, 240, 400, 480)
    for y in ys:
        draw.line((xs[0], y, xs[-1], y), "black", 2)
    for at, x in enumerate(xs):
        # The first row has no rule between its last two columns.
        draw.line((x, ys[1] if at == 2 else ys[0], x, ys[-1]), "black", 2)
    rows = [
        [("Article", 80, 100), ("Prices of the year", 480, 100)],
        [("Name", 80, 180), ("Summer", 380, 180), ("Winter", 640, 180)],
        [("Apples from", 80, 260), ("the garden", 80, 320), ("3.60", 380, 290), ("4.10", 640, 290)],
        # Nearly from rule to rule: as one line it would be in one cell.
        [("Bread", 80, 420), ("Seven crowns 12", 366, 420), ("Eight crowns 90", 628, 420)],
    ]
    for row in rows:
        for text, left, top in row:
            write(draw, [text], left, top, 28)
    (table,) = (await read_text(engine, image)).blocks
    assert table.kind is BlockKind.TABLE
    assert [(cell.row, cell.column, cell.column_span, cell.text) for cell in table.cells] == [
        (0, 0, 1, "Article"),
        (0, 1, 2, "Prices of the year"),
        (1, 0, 1, "Name"),
        (1, 1, 1, "Summer"),
        (1, 2, 1, "Winter"),
        (2, 0, 1, "Apples from the garden"),
        (2, 1, 1, "3.60"),
        (2, 2, 1, "4.10"),
        (3, 0, 1, "Bread"),
        (3, 1, 1, "Seven crowns 12"),
        (3, 2, 1, "Eight crowns 90"),
    ]


async def test_bad_pages_fail_alone_and_blank_ones_are_called_blank(engine: OcrEngine) -> None:
    blank = png(Image.new("RGB", (900, 560), "white"))
    results = await read(engine, b"broken", png(letter()), blank, png(letter())[:500], png(letter()))
    kinds = {result.page_no: result for result in results}
    assert sorted(kinds) == [1, 2, 3, 4, 5]
    for number in (1, 4):
        failure = kinds[number]
        assert isinstance(failure, PageFailure)
        assert "damaged" in failure.reason
    page = kinds[3]
    assert isinstance(page, PageText)
    assert (page.finish, page.markdown, page.lines) == (Finish.BLANK, "", ())
    for number in (2, 5):
        read_page = kinds[number]
        assert isinstance(read_page, PageText)
        assert read_page.markdown == "\n".join(SENTENCES)


async def test_label_that_runs_up_an_upright_page_is_read_too() -> None:
    engine = create_engine("rapidocr", context(threads=2))
    await engine.load()
    image = letter()
    label = Image.new("RGB", (260, 40), "white")
    write(ImageDraw.Draw(label), ["Figure number"], 10, 2)
    image.paste(label.rotate(90, expand=True), (20, 150))
    result = await read_text(engine, image)
    assert result.rotation == 0
    assert "Figure number" in result.markdown
    assert recall(SENTENCES, result) == 1.0


@pytest.mark.slow
async def test_small_print_on_a_large_page_is_read() -> None:
    engine = create_engine("rapidocr", context(threads=2))
    await engine.load()
    image, draw = sheet(5600, 560)
    for i in range(8):
        write(draw, SENTENCES, 60 + 680 * i, 60, 17)
    result = await read_text(engine, image)
    assert recall(SENTENCES * 8, result) >= 0.98


async def test_reading_stops_when_the_caller_goes_and_the_engine_reads_on_for_the_next(engine: OcrEngine) -> None:
    pulled = 0

    async def pages() -> AsyncIterator[PageImage]:
        nonlocal pulled
        while True:
            pulled += 1
            yield PageImage(page_no=pulled, data=png(letter()))

    stream = engine.recognise(pages())
    first = await anext(stream)
    assert isinstance(first, PageText)
    await stream.aclose()  # type: ignore[attr-defined]  # every async generator has it
    assert pulled <= 3
    assert (await read_text(engine, letter())).markdown == "\n".join(SENTENCES)


async def test_reading_leaves_the_output_of_the_process_alone(capfd: pytest.CaptureFixture[str]) -> None:
    engine = create_engine("auto", context(threads=1))
    await engine.load()
    await read(engine, png(letter()))
    assert capfd.readouterr() == ("", "")


def test_unknown_engine_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(EngineUnavailable, match=", ".join(ENGINE_NAMES)):
        create_engine("abbyy")


async def test_missing_program_is_unavailable_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineUnavailable, match="apt-get install tesseract-ocr"):
        await create_engine("tesseract").load()


async def test_missing_language_is_unavailable_with_a_remedy() -> None:
    if shutil.which("tesseract") is None:
        missing("Tesseract is not installed (Debian: apt-get install tesseract-ocr)")
    with pytest.raises(EngineUnavailable, match="tesseract-ocr-tlh"):
        await create_engine("tesseract", context(languages="eng+tlh")).load()


def _tesseract_data() -> Path:
    """The folder of its data files, which the heading of its list names."""
    listed = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, check=True)
    return Path(listed.stdout.split('"')[1])


async def test_tesseract_reads_with_the_languages_that_the_job_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if shutil.which("tesseract") is None:
        missing("Tesseract is not installed (Debian: apt-get install tesseract-ocr)")
    data = _tesseract_data()
    for name in ("eng", "deu"):  # it is the same data, by another name
        shutil.copy(data / "eng.traineddata", tmp_path / f"{name}.traineddata")
    shutil.copytree(data / "configs", tmp_path / "configs")
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    engine = create_engine("tesseract", context(languages="eng"))
    await engine.load()

    async def pages() -> AsyncIterator[PageImage]:
        for number, languages in enumerate(((), ("eng",), ("deu", "eng"), ("rus",)), 1):
            yield PageImage(page_no=number, data=png(letter()), languages=languages)

    plain, same, other, unknown = [reading async for reading in engine.recognise(pages())]
    assert isinstance(plain, PageText)
    assert isinstance(same, PageText)
    assert isinstance(other, PageText)
    assert recall(SENTENCES, other) > 0.9
    assert (plain.engine, same.engine) == (None, None), "what reads is the engine as it says it is"
    assert other.engine is not None
    assert other.engine.revision.endswith("/deu+eng")
    assert isinstance(unknown, PageFailure)
    assert "no data for the language rus" in unknown.reason


def test_choosing_an_engine_imports_only_that_engine() -> None:
    code = (
        "import sys; import services.worker.engines.select as s; "
        "heavy = {'cv2', 'onnxruntime', 'rapidocr', 'numpy'}; assert not heavy & set(sys.modules); "
        "s.create_engine('tesseract'); "
        "assert not {'cv2', 'onnxruntime', 'rapidocr'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
