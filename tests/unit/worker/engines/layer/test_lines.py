"""Lines of a layer as the layout takes them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.textlayer import LayerLine, PageLayer, Span, Style
from services.worker.engines.layer.lines import page_lines, pose_of, slanted
from tests.layers import SIZE, line_of

STYLE = Style(font=0, size=SIZE)


def layer(*lines: LayerLine) -> PageLayer:
    return PageLayer(width=2000, height=1000, styles=(STYLE,), lines=lines)


def texts(page: PageLayer) -> list[str]:
    return [line.text for line in page_lines(page).lines]


def test_pieces_of_one_baseline_become_a_line() -> None:
    found = texts(layer(line_of(["wide"], (0, 100)), line_of(["gaps"], (55, 101)), line_of(["below"], (0, 140))))
    assert found == ["wide gaps", "below"]


def test_cells_of_a_table_stay_apart() -> None:
    assert texts(layer(line_of(["left"], (0, 100)), line_of(["right"], (90, 100)))) == ["left", "right"]


def test_numbers_of_neighbouring_columns_stay_apart() -> None:
    assert texts(layer(line_of(["TOTAL", "16"], (0, 100)), line_of(["25"], (95, 100)))) == ["TOTAL 16", "25"]
    assert texts(layer(line_of(["in", "16"], (0, 100)), line_of(["cases"], (65, 100)))) == ["in 16 cases"]


def test_a_line_of_numbers_is_cut_between_columns_but_not_within_a_number() -> None:
    def numbers(*words: tuple[str, float]) -> LayerLine:
        spans = [Span(text=text, box=(x, 100, x + 10 * len(text), 100 + SIZE), style=0) for text, x in words]
        parts = [msgspec.structs.replace(span, text=f" {span.text}") if at else span for at, span in enumerate(spans)]
        return LayerLine(turn=0, spans=tuple(parts))

    assert texts(layer(numbers(("16", 0), ("-7.74", 28)))) == ["16", "-7.74"]
    assert texts(layer(numbers(("3", 0), ("001", 16)))) == ["3 001"]
    assert texts(layer(numbers(("16", 0), ("cases", 28)))) == ["16 cases"]


def test_a_superscript_belongs_to_its_word() -> None:
    note = line_of(["3"], (61, 96), size=10)
    (line,) = page_lines(layer(line_of(["a", "word"], (0, 100)), note)).lines
    assert line.text == "a word3"
    assert [word.text for word in line.words] == ["a", "word3"]
    assert line.box[0][1] == 100  # it makes the line no higher


def test_a_superscript_in_its_line_makes_the_line_no_higher() -> None:
    styles = (STYLE, Style(font=0, size=12.0))
    spans = (Span(text="products", box=(0, 100, 80, 120), style=0), Span(text="1", box=(80, 90, 86, 102), style=1))
    page = PageLayer(width=2000, height=1000, styles=styles, lines=(LayerLine(turn=0, spans=spans),))
    (line,) = page_lines(page).lines
    assert (line.text, line.box[0][1], line.box[2][1]) == ("products1", 100, 120)


def test_a_large_initial_joins_none_of_the_lines_beside_it() -> None:
    initial = line_of(["O"], (0, 100), size=60)
    rows = [line_of(["ver", "the", "past"], (32, top)) for top in (101, 121, 141)]
    assert texts(layer(initial, *rows)) == ["ver the past", "O", "ver the past", "ver the past"]


def test_pictures_have_their_place_on_the_upright_page() -> None:
    picture = (100.0, 200.0, 300.0, 600.0)
    upright = msgspec.structs.replace(layer(line_of(["a", "line"], (0, 100))), pictures=(picture,))
    assert page_lines(upright).pictures == (picture,)
    line = msgspec.structs.replace(line_of(["a", "line"], (0, 100)), turn=90)
    sideways = msgspec.structs.replace(upright, lines=(line,))
    assert page_lines(sideways).pictures == ((200.0, 1700.0, 600.0, 1900.0),)


def test_lines_in_bold_are_known() -> None:
    styles = (STYLE, Style(font=1, size=SIZE, bold=True))
    lines = (
        line_of(["A", "heading"], (0, 0), style=1),
        line_of(["text"], (0, 40)),
        line_of(["more"], (0, 80), style=1),
    )
    assert page_lines(PageLayer(width=2000, height=1000, styles=styles, lines=lines)).bold == {0, 2}


def test_parts_of_a_word_in_several_styles_are_one_word() -> None:
    spans = (Span(text="H", box=(0, 0, 9, 20), style=0), Span(text="2", box=(9, 8, 14, 22), style=0))
    line = LayerLine(turn=0, spans=(*spans, Span(text=" O", box=(20, 0, 29, 20), style=0)))
    assert [word.text for word in page_lines(layer(line)).lines[0].words] == ["H2", "O"]


def test_pieces_of_a_script_that_runs_left_are_joined_from_the_right() -> None:
    assert texts(layer(line_of(["ילדים"], (0, 100)), line_of(["טובים"], (60, 100)))) == ["טובים ילדים"]


@pytest.mark.parametrize(("turn", "rotation"), [(0, 0), (90, 270), (180, 180), (270, 90), (358, 0)])
def test_the_page_is_turned_as_most_of_its_text_is(turn: int, rotation: int) -> None:
    line = line_of(["some", "longer", "text"], (100, 100))
    page = layer(msgspec.structs.replace(line, turn=turn), line_of(["label"], (0, 0)))
    assert pose_of(page).rotation == rotation


def test_a_watermark_has_no_place_in_the_order() -> None:
    page = layer(line_of(["text"], (0, 0)), msgspec.structs.replace(line_of(["DRAFT"], (300, 300)), turn=315))
    assert texts(page) == ["text"]
    assert slanted(page) == 5


def test_a_label_that_runs_up_begins_at_its_lower_left_corner() -> None:
    label = LayerLine(turn=270, spans=(Span(text="label", box=(10, 100, 30, 150), style=0),))
    found = page_lines(layer(line_of(["some", "longer", "text"], (100, 100)), label)).lines[1]
    assert found.box == ((10, 150), (10, 100), (30, 100), (30, 150))


boxes = st.tuples(st.floats(0, 900), st.floats(0, 900), st.floats(1, 200), st.floats(1, 60))


@given(st.lists(st.tuples(boxes, st.sampled_from([0, 90, 180, 270, 45])), max_size=30))
def test_every_level_word_is_in_exactly_one_line(placed: list[tuple[tuple[float, float, float, float], int]]) -> None:
    lines = tuple(
        LayerLine(turn=turn, spans=(Span(text=f"w{i}", box=(x, y, x + width, y + height), style=0),))
        for i, ((x, y, width, height), turn) in enumerate(placed)
    )
    found = [word.text for line in page_lines(layer(*lines)).lines for word in line.words]
    text = " ".join(" ".join(line.text for line in page_lines(layer(*lines)).lines).split())
    expected = [f"w{i}" for i, (_, turn) in enumerate(placed) if turn != 45]
    assert sorted("".join(text.split())) == sorted("".join(expected))
    assert sum(word.count("w") for word in found) == len(expected)
