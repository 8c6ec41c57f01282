"""Boxes that the detection network draws across two columns, on pages drawn by code."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.worker.engines.lines import glyphs, joined
from services.worker.engines.lines.detector import Quads

SIZE, STEP = 20, 30
LEFT = 60
TERMS = [
    "Where the rate depends on value",
    "shippers are required to state",
    "specifically in writing the agreed",
    "or declared value of the property.",
]
RECEIVED = [
    "Received, subject to individually",
    "determined rates or contracts that",
    "have been agreed upon in writing",
    "between the carrier and shipper.",
]


def box(left: float, top: float, right: float) -> Quads:
    """As the network draws it: a little larger than the ink."""
    high, low = top - 4, top + SIZE + 8
    return np.array([[left - 5, high], [right + 5, high], [right + 5, low], [left - 5, low]], dtype=np.float64)


class Sheet:
    """A page, and the boxes around what is written on it."""

    def __init__(self) -> None:
        self._image = Image.new("RGB", (1000, 600), "white")
        self._draw = ImageDraw.Draw(self._image)
        self._font = ImageFont.load_default(SIZE)
        self._boxes: list[Quads] = []

    def write(self, top: float, *texts: tuple[float, str]) -> None:
        """Texts from these places on, in one box."""
        for left, text in texts:
            self._draw.text((left, top), text, "black", self._font)
        left, text = texts[-1]
        self._boxes.append(box(texts[0][0], top, left + self._font.getlength(text)))

    def widen(self, number: int, by: float) -> None:
        """Let this box begin farther left."""
        self._boxes[number][[0, 3], 0] -= by

    def cut(self) -> Quads:
        pixels = np.asarray(self._image)
        found = glyphs.find(pixels)
        assert found is not None
        return joined.cut(pixels, np.array(self._boxes), found)


def end_of(lines: list[str], left: float = LEFT) -> float:
    font = ImageFont.load_default(SIZE)
    return left + max(font.getlength(text) for text in lines)


def test_box_over_two_boxes_of_text_is_cut_between_them() -> None:
    sheet = Sheet()
    start = end_of(TERMS) + 30
    for i, texts in enumerate(zip(TERMS, RECEIVED, strict=True)):
        sheet.write(40 + STEP * i, (LEFT, texts[0]), (start, texts[1]))
    cut = sheet.cut()
    assert len(cut) == 2 * len(TERMS)
    assert (cut[::2, 1, 0] <= start).all()
    assert (cut[1::2, 0, 0] > end_of(TERMS)).all()
    assert (cut[1::2, 0, 0] < start).all()


def test_one_box_over_two_is_cut_where_its_neighbours_are_two_boxes() -> None:
    sheet = Sheet()
    start = end_of(TERMS) + 30
    sheet.write(40, (LEFT, TERMS[0]))
    sheet.write(40, (start, RECEIVED[0]))
    sheet.write(40 + STEP, (LEFT, TERMS[1]), (start, RECEIVED[1]))
    sheet.write(40 + 2 * STEP, (LEFT, TERMS[2]))
    sheet.write(40 + 2 * STEP, (start, RECEIVED[2]))
    assert len(sheet.cut()) == 6


def test_box_that_reaches_far_into_the_space_between_columns_ends_beside_its_ink() -> None:
    sheet = Sheet()
    start = end_of(TERMS) + 30
    for i, (left, right) in enumerate(zip(TERMS, RECEIVED, strict=True)):
        sheet.write(40 + STEP * i, (LEFT, left))
        sheet.write(40 + STEP * i, (start, right))
    sheet.widen(3, 25)
    sheet.widen(4, 8)
    cut = sheet.cut()
    assert cut[3, 0, 0] == pytest.approx(start - 8, abs=4)
    assert cut[4, 0, 0] == pytest.approx(LEFT - 13, abs=0.1)


def test_box_alone_that_reaches_far_beyond_its_ink_stays_as_it_is() -> None:
    sheet = Sheet()
    for i, text in enumerate(TERMS):
        sheet.write(40 + 90 * i, (LEFT, text))
    sheet.widen(0, 40)
    assert sheet.cut()[0, 0, 0] == LEFT - 45


def test_gap_in_one_line_alone_is_no_gap_between_columns() -> None:
    sheet = Sheet()
    sheet.write(40, (LEFT, "Signed"), (LEFT + 150, "the third of March"))
    for i, text in enumerate(TERMS, 1):
        sheet.write(40 + STEP * i, (LEFT, text))
    assert len(sheet.cut()) == 1 + len(TERMS)


def test_wide_spaces_of_justified_lines_are_no_gap() -> None:
    sheet = Sheet()
    for i, text in enumerate(TERMS):
        words = text.split()
        font, places, left = ImageFont.load_default(SIZE), [], float(LEFT)
        for word in words:
            places.append((left, word))
            left += font.getlength(word) + 22 + 3 * (i % 2)
        sheet.write(40 + STEP * i, *places)
    assert len(sheet.cut()) == len(TERMS)


def test_numbers_of_a_list_stay_with_their_items() -> None:
    sheet = Sheet()
    for i, text in enumerate(TERMS):
        sheet.write(40 + STEP * i, (LEFT, f"{i + 1}."), (LEFT + 46, text))
    assert len(sheet.cut()) == len(TERMS)


def test_line_over_the_whole_width_separates_what_is_above_from_what_is_below() -> None:
    sheet = Sheet()
    start = end_of(TERMS) + 30
    for i in (0, 1):
        sheet.write(40 + STEP * i, (LEFT, TERMS[i]), (start, RECEIVED[i]))
    sheet.write(
        40 + STEP * 2, (LEFT, "A line that goes from the left margin to the right one, over both of the columns")
    )
    sheet.write(40 + STEP * 3, (LEFT, TERMS[3]), (start, RECEIVED[3]))
    assert len(sheet.cut()) == 4
