"""The text layer in a page's image: the text that a reader of the page would see, and no other."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pymupdf
import pytest

from libs import textlayer
from services.web.render.document import RenderedPage, open_document
from services.web.render.filetype import FileType
from services.web.render.png import encode_png
from services.worker.engines.picture import decode

# PyMuPDF is typed in part only.
mupdf: Any = pymupdf

SEEN, UNSEEN = "The committee approved the annual budget.", "Nobody can see this sentence."


async def layer(path: Path, draw: Callable[[Any], object]) -> str | None:
    """The text in the image of a page drawn like this; the image itself is whole."""
    document = mupdf.open()
    draw(document.new_page(width=400, height=300))
    path.write_bytes(document.tobytes())
    async with open_document(path, FileType.PDF, dpi=100) as opened:
        (page,) = [page async for page in opened.render([1])]
    assert isinstance(page, RenderedPage)
    assert decode(page.png).shape[:2] == (page.height, page.width)
    return textlayer.read(page.png)


def scan(page: Any, width: int) -> None:
    """A picture over the page's left part."""
    noise = np.random.default_rng(1).integers(0, 255, (60, 80), np.uint8)
    page.insert_image(mupdf.Rect(0, 0, width, 300), stream=encode_png(noise), keep_proportion=False)


async def test_the_text_of_a_page_travels_in_its_image(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 60), SEEN)
        page.insert_text((40, 90), "Größe: 5 Straßen")

    assert await layer(tmp_path / "a.pdf", draw) == f"{SEEN}\nGröße: 5 Straßen"


@pytest.mark.parametrize("rotation", [90, 180, 270])
async def test_the_text_of_a_turned_page_is_there_too(tmp_path: Path, rotation: int) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 60), SEEN)
        page.set_rotation(rotation)

    assert await layer(tmp_path / "a.pdf", draw) == SEEN


async def test_text_that_leaves_no_mark_is_left_out(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 60), SEEN)
        page.insert_text((40, 90), UNSEEN, render_mode=3)

    assert await layer(tmp_path / "a.pdf", draw) == SEEN


@pytest.mark.parametrize("rotation", [0, 90])
async def test_text_that_was_cropped_away_is_left_out(tmp_path: Path, rotation: int) -> None:
    def draw(page: Any) -> None:
        page.insert_text((40, 60), SEEN)
        page.insert_text((40, 260), UNSEEN)
        page.set_cropbox(mupdf.Rect(0, 20, 380, 200))
        page.set_rotation(rotation)

    assert await layer(tmp_path / "a.pdf", draw) == SEEN


@pytest.mark.parametrize(("width", "kept"), [(400, False), (200, False), (100, True)], ids=["scan", "half", "figure"])
async def test_a_page_that_is_mostly_a_picture_is_left_without(tmp_path: Path, width: int, kept: bool) -> None:
    def draw(page: Any) -> None:
        scan(page, width)
        page.insert_text((40, 60), SEEN)

    assert await layer(tmp_path / "a.pdf", draw) == (SEEN if kept else None)


async def test_a_page_without_text_has_no_layer(tmp_path: Path) -> None:
    assert await layer(tmp_path / "a.pdf", lambda page: page.draw_circle((100, 100), 50)) is None


async def test_a_page_with_more_text_than_the_limit_is_drawn_without(tmp_path: Path) -> None:
    def draw(page: Any) -> None:
        for row in range(1, 300):
            page.insert_text((0, row), "crowded " * 40, fontsize=2)

    assert await layer(tmp_path / "a.pdf", draw) is None
