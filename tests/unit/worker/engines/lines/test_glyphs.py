"""Glyphs: cells that the detection network merges or leaves out."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.worker.engines.lines import glyphs
from services.worker.engines.lines.detector import Quads
from services.worker.engines.picture import Pixels

COLUMNS = (100, 200, 300)
ROWS = tuple(range(60, 460, 20))


def digits() -> Pixels:
    """Three columns of twenty lone digits."""
    image = Image.new("RGB", (500, 500), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(16)
    for row, y in enumerate(ROWS):
        for x in COLUMNS:
            draw.text((x, y), str(2 + (row + x // 100) % 8), fill="black", font=font)
    return np.asarray(image)


def found(pixels: Pixels) -> glyphs.Glyphs:
    result = glyphs.find(pixels)
    assert result is not None
    return result


def box(left: float, top: float, right: float, bottom: float) -> Quads:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], dtype=np.float64)


NO_QUADS = np.zeros((0, 4, 2))


def test_every_digit_is_a_glyph() -> None:
    assert len(found(digits()).rectangles) == len(ROWS) * len(COLUMNS)


def test_column_taken_for_one_tall_shape_is_cut_into_its_cells_top_to_bottom() -> None:
    cells = glyphs.cells_of(found(digits()), box(95, 55, 115, 465), NO_QUADS)
    assert len(cells) == len(ROWS)
    assert list(cells[:, 0, 1]) == sorted(cells[:, 0, 1])


def test_two_columns_in_one_shape_are_cut_across_and_down() -> None:
    assert len(glyphs.cells_of(found(digits()), box(95, 55, 215, 465), NO_QUADS)) == 2 * len(ROWS)


def test_single_row_is_left_whole() -> None:
    assert len(glyphs.cells_of(found(digits()), box(95, ROWS[0] - 5, 320, ROWS[0] + 18), NO_QUADS)) == 0


def test_row_that_another_box_holds_is_no_cell_of_a_tall_one() -> None:
    own, below = box(95, ROWS[0] - 5, 320, ROWS[1] + 18), box(95, ROWS[1] - 4, 320, ROWS[1] + 18)
    assert len(glyphs.cells_of(found(digits()), own, NO_QUADS)) == 2 * len(COLUMNS)
    assert len(glyphs.cells_of(found(digits()), own, below[None])) == 0


def test_glyphs_that_no_box_covers_become_boxes() -> None:
    covered = box(95, 55, 215, 465)[None]
    extra = glyphs.uncovered(found(digits()), covered)
    assert len(extra) == len(ROWS)
    assert extra[:, 0, 0].min() > 215
    assert len(glyphs.uncovered(found(digits()), np.concatenate([covered, box(280, 40, 330, 480)[None]]))) == 0


def test_large_letters_among_small_ones_are_not_cut() -> None:
    image = Image.fromarray(digits())
    draw = ImageDraw.Draw(image)
    large = ImageFont.load_default(48)
    for y in (60, 130):
        draw.text((380, y), "WM", fill="black", font=large)
    assert len(glyphs.cells_of(found(np.asarray(image)), box(375, 50, 490, 200), NO_QUADS)) == 0


def test_stroke_counts_only_in_a_column_of_cells() -> None:
    page = found(digits())
    column = np.stack([box(100, y, 112, y + 16) for y in ROWS[:5]])
    lone = box(430, 300, 440, 316)[None]
    boxes = np.concatenate([column, lone])
    sure = np.array([True, True, True, False, False, False])
    assert list(glyphs.in_columns(page, boxes, sure, NO_QUADS)) == [True] * 5 + [False]


@pytest.mark.parametrize("shade", [255, 128, 0])
def test_page_without_ink_has_no_glyphs(shade: int) -> None:
    assert glyphs.find(np.full((300, 300, 3), shade, np.uint8)) is None
