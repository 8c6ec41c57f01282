"""The text layer in a page's image: what the PDF says of the page, where the image shows it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest

from libs import textlayer
from libs.textlayer import PageLayer, visible_text
from services.web.render.document import RenderedPage, open_document
from services.web.render.filetype import FileType
from services.web.render.png import encode_png
from services.worker.engines.picture import decode

# PyMuPDF is typed in part only.
mupdf: Any = pymupdf

DPI = 100
SEEN, UNSEEN = "The committee approved the annual budget.", "Nobody can see this sentence."


async def layer(path: Path, draw: Callable[[Any], object]) -> PageLayer | None:
    """The layer in the image of a page drawn like this; the image itself is whole."""
    document = mupdf.open()
    draw(document.new_page(width=400, height=300))
    path.write_bytes(document.tobytes())
    async with open_document(path, FileType.PDF, dpi=DPI) as opened:
        (page,) = [page async for page in opened.render([1])]
    assert isinstance(page, RenderedPage)
    assert decode(page.png).shape[:2] == (page.height, page.width)
    found = textlayer.read(page.png)
    assert found is None or (found.width, found.height) == (page.width, page.height)
    return found


async def text(path: Path, draw: Callable[[Any], object]) -> str | None:
    """The text that a reader of that page sees."""
    found = await layer(path, draw)
    return None if found is None else visible_text(found)


def scan(page: Any, width: int) -> None:
    """A picture over the page's left part."""
    noise = np.random.default_rng(1).integers(0, 255, (60, 80), np.uint8)
    page.insert_image(mupdf.Rect(0, 0, width, 300), stream=encode_png(noise), keep_proportion=False)


async def test_the_text_of_a_page_travels_in_its_image(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 60), SEEN)
        page.insert_text((40, 90), "Größe: 5 Straßen")

    assert await text(tmp_path / "a.pdf", draw) == f"{SEEN}\nGröße: 5 Straßen"


@pytest.mark.parametrize("rotation", [90, 180, 270])
async def test_the_text_of_a_turned_page_is_there_too(tmp_path: Path, rotation: int) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 60), SEEN)
        page.set_rotation(rotation)

    assert await text(tmp_path / "a.pdf", draw) == SEEN


async def test_text_that_leaves_no_mark_is_left_out(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 60), SEEN)
        page.insert_text((40, 90), UNSEEN, render_mode=3)

    assert await text(tmp_path / "a.pdf", draw) == SEEN


@pytest.mark.parametrize("rotation", [0, 90])
async def test_text_that_was_cropped_away_is_left_out(tmp_path: Path, rotation: int) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 60), SEEN)
        page.insert_text((40, 260), UNSEEN)
        page.set_cropbox(mupdf.Rect(0, 20, 380, 200))
        page.set_rotation(rotation)

    assert await text(tmp_path / "a.pdf", draw) == SEEN


@pytest.mark.parametrize(("width", "share"), [(400, 1.0), (100, 0.25)], ids=["scan", "figure"])
async def test_the_place_of_a_picture_is_known(tmp_path: Path, width: int, share: float) -> None:
    def draw(page: Any) -> None:
        scan(page, width)
        page.insert_text((40, 60), SEEN)

    found = await layer(tmp_path / "a.pdf", draw)
    assert found is not None
    assert found.picture_share == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
async def test_words_lie_where_the_image_shows_them(tmp_path: Path, rotation: int) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 60), "Left right", fontsize=24)
        page.set_rotation(rotation)

    path = tmp_path / "a.pdf"
    found = await layer(path, draw)
    assert found is not None
    (line,) = found.lines
    assert (line.turn, [span.text for span in line.spans]) == (rotation, ["Left", " right"])
    with mupdf.open(path) as document:
        pixmap = document[0].get_pixmap(dpi=DPI, colorspace=mupdf.csGRAY)
        pixels = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.stride).copy()
    for span in line.spans:
        left, top, right, bottom = map(round, span.box)
        assert (pixels[top:bottom, left:right] < 128).any()
        pixels[top:bottom, left:right] = 255
    assert not (pixels < 128).any()


async def test_styles_and_invisible_text_are_told_apart(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 60), "plain", fontname="helv", fontsize=10)
        page.insert_text((40, 90), "bold", fontname="hebo", fontsize=20)
        page.insert_text((40, 120), "slanted", fontname="heit", fontsize=10)
        page.insert_text((40, 150), "unseen", fontname="helv", fontsize=10, render_mode=3)

    found = await layer(tmp_path / "a.pdf", draw)
    assert found is not None
    styles = [found.styles[line.spans[0].style] for line in found.lines]
    assert [(style.bold, style.italic, style.invisible) for style in styles] == [
        (False, False, False),
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]
    assert styles[1].size == pytest.approx(20 * DPI / 72, abs=0.1)
    assert styles[0].font == styles[3].font != styles[1].font


async def test_rules_and_filled_boxes_are_found(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 60), SEEN)
        page.draw_rect((36, 72, 180, 144), color=(0, 0, 0))
        page.draw_line((36, 108), (180, 108))
        page.draw_rect((36, 180, 180, 198), fill=(0, 0, 0))
        page.draw_circle((300, 100), 50)

    found = await layer(tmp_path / "a.pdf", draw)
    assert found is not None
    across = [top * 72 / DPI for left, top, right, bottom in found.rules if right - left > bottom - top]
    for drawn in (72, 108, 144):  # their boxes are as thick as their strokes
        assert any(abs(top - drawn) <= 1 for top in across)
    assert [fill.grey for fill in found.fills] == [0]


async def test_a_page_without_text_has_no_layer(tmp_path: Path) -> None:
    assert await layer(tmp_path / "a.pdf", lambda page: page.draw_circle((100, 100), 50)) is None


async def test_a_page_with_more_text_than_the_limit_is_drawn_without(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        for row in range(1, 300):
            page.insert_text((0, row), "crowded " * 60, fontsize=1)

    assert await layer(tmp_path / "a.pdf", draw) is None


async def test_a_map_keeps_its_text_and_loses_its_thousands_of_paths(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 60), SEEN)
        shape = page.new_shape()
        for at in range(5000):
            shape.draw_rect((at % 390, at // 20, at % 390 + 8, at // 20 + 8))
            shape.finish(fill=(0, at % 7 / 7, 0), color=None)
        shape.commit()

    found = await layer(tmp_path / "a.pdf", draw)
    assert found is not None
    assert (visible_text(found), found.fills) == (SEEN, ())
