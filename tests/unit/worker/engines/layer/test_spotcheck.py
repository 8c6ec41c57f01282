"""Which words are checked, and how they are compared."""

import string

import numpy as np
import pytest

from libs.textlayer import LayerLine, PageLayer, Span, Style
from services.worker.engines.layer.spotcheck import (
    CROPS,
    printed_share,
    readable_share,
    sample,
    similarity,
    spread,
)
from services.worker.engines.lines.detector import Quads
from services.worker.engines.lines.recogniser import RecognisedText
from services.worker.engines.picture import Pixels
from tests.layered import HEBREW, PROSE
from tests.layers import SIZE, layer_of

ALPHABET = frozenset(string.ascii_letters + string.digits + string.punctuation + " ")


def test_crops_are_spread_over_the_whole_page() -> None:
    rows = "\n".join(f"line number {row} of the page" for row in range(60))
    found = sample(layer_of(rows), ALPHABET, turn=0)
    assert len(found) == CROPS
    tops = [crop.box[1] for crop in found]
    assert tops == sorted(tops)
    assert tops[0] < 10 * 2 * SIZE
    assert tops[-1] > 50 * 2 * SIZE


def test_every_font_of_some_weight_is_checked_twice_at_least() -> None:
    layer = layer_of(PROSE)
    spans = [Span(text=f"caption{i}", box=(0, 2000 + 40 * i, 90, 2020 + 40 * i), style=1) for i in range(6)]
    mixed = PageLayer(
        width=4000,
        height=4000,
        styles=(*layer.styles, Style(font=7, size=SIZE)),
        lines=(*layer.lines, *(LayerLine(turn=0, spans=(span,)) for span in spans)),
    )
    fonts = [crop.font for crop in sample(mixed, ALPHABET, turn=0)]
    assert fonts.count(7) == 2
    assert fonts.count(0) >= CROPS - 3


def test_no_crop_holds_what_the_recogniser_cannot_read() -> None:
    assert sample(layer_of(HEBREW), ALPHABET, turn=0) == []
    assert readable_share(layer_of(HEBREW), ALPHABET) == 0
    assert readable_share(layer_of(PROSE), ALPHABET) == 1


def test_vertical_text_is_not_compared() -> None:
    span = Span(text="tategaki", box=(0, 0, 20, 200), style=0)
    layer = PageLayer(
        width=100,
        height=300,
        styles=(Style(font=0, size=20),),
        lines=(LayerLine(turn=90, spans=(span,), vertical=True),),
    )
    assert sample(layer, ALPHABET, turn=90) == []
    assert readable_share(layer, ALPHABET) == 0


def test_a_page_of_one_short_word_is_checked_too() -> None:
    assert [crop.text for crop in sample(layer_of("17"), ALPHABET, turn=0)] == ["17"]


def test_a_long_line_without_spaces_is_cut() -> None:
    layer = PageLayer(
        width=2000,
        height=100,
        styles=(Style(font=0, size=20),),
        lines=(LayerLine(turn=0, spans=(Span(text="x" * 100, box=(0, 0, 1000, 20), style=0),)),),
    )
    (crop,) = sample(layer, ALPHABET, turn=0)
    assert crop.box == (0, 0, 10 * len(crop.text), 20)


@pytest.mark.parametrize(
    ("expected", "read", "least", "most"),
    [
        ("Größe: 5 Straßen", "grosse 5 strassen", 0.8, 1.0),
        ("the committee", "The  committee.", 1.0, 1.0),
        ("the committee", "uif dpnnjuuff", 0.0, 0.3),
        ("the committee", "", 0.0, 0.0),
        ("...", "-", 1.0, 1.0),
    ],
)
def test_similarity_looks_at_letters_and_digits(expected: str, read: str, least: float, most: float) -> None:
    assert least <= similarity(expected, read) <= most


@pytest.mark.parametrize("count", [0, 1, 5, 12, 40])
def test_spread_takes_so_many_in_order(count: int) -> None:
    items = list(range(30))
    chosen = spread(items, count)
    assert len(chosen) == min(count, 30)
    assert chosen == sorted(set(chosen))


def test_the_share_of_print_among_loose_marks_is_measured_by_their_length() -> None:
    def read(pixels: Pixels, quads: Quads, turn: int) -> list[RecognisedText]:
        return [RecognisedText(text="letters" if quad[0, 1] < 100 else "~", confidence=0.95) for quad in quads]

    def box(top: float, width: float) -> list[list[float]]:
        return [[0, top], [width, top], [width, top + 20], [0, top + 20]]

    rows = np.array([box(0, 300), box(200, 100)])
    assert printed_share(read, np.zeros((1, 1, 3), np.uint8), rows, turn=0) == pytest.approx(0.75)
    assert printed_share(read, np.zeros((1, 1, 3), np.uint8), rows[:0], turn=0) == 0
