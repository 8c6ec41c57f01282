"""Searchable PDFs in Chromium's own viewer: a search, a selection and a copy give what is printed in that place."""

import asyncio
import io
import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext

from libs.page.block import Line, Point
from services.web.render.protocol import PageText
from tests.printed import SCALE, Print, centre, printed, scan, searchable
from tests.visiting import PATIENCE_MS

# Pixels of the screen in one of the scan, at a zoom of 100 %: the viewer shows an inch by 96 pixels.
ZOOM = 96 / 72 / SCALE
# In the clipboard before anything is copied.
NOTHING = "nothing"


class Viewer:
    """A window with a PDF, and one into which is pasted what was copied."""

    def __init__(self, context: BrowserContext, folder: Path) -> None:
        self._path = folder / "shown.pdf"
        self._pdf = context.new_page()
        self._notes = context.new_page()

    def open(self, document: bytes) -> None:
        """Show the document at its own size, without a toolbar."""
        self._path.write_bytes(document)
        self._pdf.bring_to_front()
        self._pdf.goto(f"{self._path.as_uri()}#toolbar=0&navpanes=0&zoom=100")

    def all(self) -> str:
        """What is copied when all is selected."""

        def select() -> None:
            self._pdf.mouse.click(*self._on_screen((2, 2)))  # for the keyboard to be the viewer's
            self._pdf.keyboard.press("Control+a")

        return self._copied(select)

    def word_at(self, point: Point) -> str:
        """What a double click there selects, in pixels of the scan."""
        return self._copied(lambda: self._pdf.mouse.dblclick(*self._on_screen(point))).strip()

    def _copied(self, select: Callable[[], None]) -> str:
        """The text, once the viewer has loaded the document far enough to give one."""
        note = self._notes.locator("textarea")
        end = time.monotonic() + PATIENCE_MS / 1000
        while time.monotonic() < end:
            self._notes.bring_to_front()
            self._notes.set_content(f"<textarea>{NOTHING}</textarea>")
            note.select_text()
            self._notes.keyboard.press("Control+c")
            self._pdf.bring_to_front()
            select()
            self._pdf.keyboard.press("Control+c")
            self._notes.bring_to_front()
            note.select_text()
            self._notes.keyboard.press("Control+v")
            if (text := note.input_value()) != NOTHING:
                return text
        raise AssertionError("nothing could be selected")

    def _on_screen(self, point: Point) -> Point:
        """Where the viewer shows this place of the scan: the paper is the white on the dark window."""
        shown = np.asarray(Image.open(io.BytesIO(self._pdf.screenshot())).convert("L"))
        rows, columns = (np.flatnonzero((shown == 255).any(axis=axis)) for axis in (1, 0))
        if not rows.size:
            return 0.0, 0.0  # the document is not drawn yet
        return float(columns[0] + point[0] * ZOOM), float(rows[0] + point[1] * ZOOM)


@pytest.fixture
def viewer(browser: Browser, tmp_path: Path) -> Iterator[Viewer]:
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    yield Viewer(context, tmp_path)
    context.close()


def made(folder: Path, original: bytes, lines: Sequence[Line], page: Print) -> bytes:
    """The searchable PDF of the scan."""
    path = folder / "scan.pdf"
    path.write_bytes(original)
    text = PageText(page_no=1, width=page.width, height=page.height, lines=tuple(lines))
    # In a thread of its own: Playwright keeps the event loop of this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, searchable(path, text)).result()


def turned(page: Print, degrees: float) -> tuple[bytes, tuple[Line, ...], Callable[[Point], Point], Print]:
    """The scan of the page laid askew, by this much clockwise, its lines, and where a place of the page has come to."""
    image = Image.fromarray(page.pixels).rotate(-degrees, expand=True, fillcolor=255, resample=Image.Resampling.BICUBIC)
    angle = math.radians(degrees)

    def place(point: Point) -> Point:
        x, y = point[0] - page.width / 2, point[1] - page.height / 2
        return (
            x * math.cos(angle) - y * math.sin(angle) + image.width / 2,
            x * math.sin(angle) + y * math.cos(angle) + image.height / 2,
        )

    lines = tuple(msgspec.structs.replace(line, box=tuple(map(place, line.box))) for line in page.lines)
    askew = Print(pixels=np.asarray(image), words=page.words, lines=lines)
    return scan(askew), lines, place, askew


@pytest.mark.parametrize(
    "degrees", [2.5, *(pytest.param(turn, marks=pytest.mark.slow) for turn in (0, -4, 90, 180, 270))]
)
def test_words_of_a_scan_are_selected_where_they_are_printed(viewer: Viewer, tmp_path: Path, degrees: float) -> None:
    page = printed()
    original, lines, place, askew = turned(page, degrees)
    viewer.open(made(tmp_path, original, lines, askew))

    assert viewer.all().split() == [word for word, _ in page.words]
    for number in (1, 15, 25):
        word, box = page.words[number]
        assert viewer.word_at(place(centre(box))) == word.strip(",.;:")


def test_a_scan_that_its_pdf_turns_upright_is_selected_where_it_is_seen(viewer: Viewer, tmp_path: Path) -> None:
    page = printed()
    viewer.open(made(tmp_path, scan(page, rotate=90), page.lines, page))

    assert viewer.all().split() == [word for word, _ in page.words]
    word, box = page.words[2]
    assert viewer.word_at(centre(box)) == word


@pytest.mark.parametrize("degrees", [0, *(pytest.param(turn, marks=pytest.mark.slow) for turn in (2.5, 90))])
def test_lines_of_any_script_are_copied_as_they_were_read(viewer: Viewer, tmp_path: Path, degrees: float) -> None:
    texts = (
        "השורה השנייה (1,204.50) בטקסט",
        "السطر الثاني من النص 2026",
        "שורה שלישית English כאן",
        "混合 English words 与数字 2026 年",
        "日本語の文字列である",
        "한국어 문장 하나",
    )
    places = [(100.0, 80.0 + 80 * number) for number in range(len(texts))]
    lines = tuple(
        Line(text=text, box=((x, y), (x + 500, y), (x + 500, y + 40), (x, y + 40)))
        for text, (x, y) in zip(texts, places, strict=True)
    )
    original, laid, _, askew = turned(msgspec.structs.replace(printed(["a"]), lines=lines), degrees)
    viewer.open(made(tmp_path, original, laid, askew))
    copied = [" ".join(line.split()) for line in viewer.all().split("\n")]
    # After a line that runs up or down the viewer may copy an empty one.
    assert [line for line in copied if line] == list(texts)
