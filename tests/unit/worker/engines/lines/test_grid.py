"""Drawn rules make the cells of a table; frames and plots make none."""

from itertools import product

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.page.block import BlockKind, Line, Rect, Word
from services.worker.engines.lines.grid import ruled_tables
from services.worker.engines.lines.layout import lay_out
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose

UNIT = 20.0
WIDTH, HEIGHT = 200.0, 40.0


def line(text: str, left: float, top: float) -> Line:
    """A line of words, each 10 pixels a character."""
    words, at = [], left
    for word in text.split():
        words.append(Word(text=word, box=(at, top, at + 10 * len(word), top + UNIT)))
        at += 10 * (len(word) + 1)
    right = at - 10
    box = ((left, top), (right, top), (right, top + UNIT), (left, top + UNIT))
    return Line(text=text, box=box, words=tuple(words))


def across(y: float, left: float, right: float) -> Rect:
    return (left, y, right, y + 1)


def down(x: float, top: float, bottom: float) -> Rect:
    return (x, top, x + 1, bottom)


def ruled(rows: int, columns: int) -> list[Rect]:
    """The rules of a table of so many rows and columns at (100, 100)."""
    right, bottom = 100 + columns * WIDTH, 100 + rows * HEIGHT
    return [
        *(across(100 + row * HEIGHT, 100, right) for row in range(rows + 1)),
        *(down(100 + column * WIDTH, 100, bottom) for column in range(columns + 1)),
    ]


def filled(rows: int, columns: int) -> list[Line]:
    """A line in each of its cells."""
    places = product(range(rows), range(columns))
    return [line(f"r{r} c{c}", 110 + c * WIDTH, 110 + r * HEIGHT) for r, c in places]


@given(st.integers(2, 6), st.integers(2, 6))
def test_every_cell_has_its_text(rows: int, columns: int) -> None:
    (table,) = ruled_tables(ruled(rows, columns), filled(rows, columns), UNIT)
    assert {(cell.row, cell.column): cell.text for cell in table.cells} == {
        (r, c): f"r{r} c{c}" for r, c in product(range(rows), range(columns))
    }


def test_where_a_rule_is_missing_a_cell_spans() -> None:
    rules = [
        *(across(y, 100, 700) for y in (100, 220)),
        across(140, 300, 700),
        across(180, 100, 700),
        *(down(x, 100, 220) for x in (100, 300, 700)),
        down(500, 140, 220),
    ]
    lines = [line("name", 110, 120), line("both", 450, 110), line("a", 310, 150), line("b", 510, 150)]
    lines += [line("x", 110, 190), line("1", 310, 190), line("2", 510, 190)]
    (table,) = ruled_tables(rules, lines, UNIT)
    spans = {cell.text: (cell.row, cell.column, cell.row_span, cell.column_span) for cell in table.cells}
    assert spans == {
        "name": (0, 0, 2, 1),
        "both": (0, 1, 1, 2),
        "a": (1, 1, 1, 1),
        "b": (1, 2, 1, 1),
        "x": (2, 0, 1, 1),
        "1": (2, 1, 1, 1),
        "2": (2, 2, 1, 1),
    }


def test_a_line_across_several_cells_is_divided_by_its_words() -> None:
    lines = [line("Qty", 250, 110), line("left", 110, 150), line("right", 310, 150)]
    wide = Line(
        text="Qty Type",
        box=((220, 110), (400, 110), (400, 130), (220, 130)),
        words=(Word(text="Qty", box=(220, 110, 250, 130)), Word(text="Type", box=(320, 110, 360, 130))),
    )
    (table,) = ruled_tables(ruled(2, 2), [wide, *lines[1:]], UNIT)
    assert [cell.text for cell in table.cells] == ["Qty", "Type", "left", "right"]


def test_a_cell_of_several_lines_is_one_text_and_chinese_lines_have_no_space_between() -> None:
    lines = [
        line("two", 110, 102),
        line("lines", 110, 120),
        *filled(2, 2)[1:3],
        line("適用範囲", 310, 142),
        line("の変動", 310, 160),
    ]
    (table,) = ruled_tables(ruled(2, 2), lines, UNIT)
    assert {(cell.row, cell.column): cell.text for cell in table.cells} == {
        (0, 0): "two lines",
        (0, 1): "r0 c1",
        (1, 0): "r1 c0",
        (1, 1): "適用範囲の変動",
    }


def test_a_table_without_outer_rules_is_closed_by_the_ends_of_the_others() -> None:
    rules = [across(140, 100, 500), across(180, 100, 500), down(300, 100, 220)]
    (table,) = ruled_tables(rules, filled(3, 2), UNIT)
    assert len(table.cells) == 6


@pytest.mark.parametrize(
    ("rules", "lines"),
    [
        ([], filled(2, 2)),
        (ruled(1, 1), filled(1, 1)),
        (ruled(1, 3), filled(1, 3)),
        (ruled(10, 10), filled(1, 2)),
        ([across(y, 100, 900) for y in (100, 140, 180)], filled(2, 2)),
        (
            ruled(2, 2),
            [msgspec.structs.replace(line("cell", 110, 110), text="prose " * 80, words=()), *filled(2, 2)[1:]],
        ),
    ],
    ids=["none", "a frame", "a row", "a plot", "underlines", "a page in boxes"],
)
def test_what_is_no_table_makes_none(rules: list[Rect], lines: list[Line]) -> None:
    assert ruled_tables(rules, lines, UNIT) == []


def test_a_table_stands_between_the_text_above_and_below_it() -> None:
    text = [line("This line stands above the table.", 100, 40), line("This one stands below it.", 100, 300)]
    page = PageLines(pose=Pose(width=1000, height=1000), lines=(*filled(3, 2), *text), rules=tuple(ruled(3, 2)))
    found = lay_out(page)
    assert [block.kind for block in found] == [BlockKind.PARAGRAPH, BlockKind.TABLE, BlockKind.PARAGRAPH]
    assert [line.text for block in found for line in block.lines if block.kind is BlockKind.TABLE] == [
        f"r{r} c{c}" for r, c in product(range(3), range(2))
    ]


@given(
    st.lists(st.tuples(*[st.floats(0, 1000)] * 4), max_size=40),
    st.lists(st.tuples(st.floats(0, 900), st.floats(0, 900)), max_size=20),
)
def test_no_line_is_lost_or_doubled_whatever_the_rules(
    rules: list[tuple[float, float, float, float]], places: list[tuple[float, float]]
) -> None:
    boxes: tuple[Rect, ...] = tuple((min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in rules)
    lines = tuple(line(f"w{i}", x, y) for i, (x, y) in enumerate(places))
    found = lay_out(PageLines(pose=Pose(width=1000, height=1000), lines=lines, rules=boxes))
    assert sorted(line.text for block in found for line in block.lines) == sorted(line.text for line in lines)


def wide(text: str, left: float, top: float) -> Line:
    """A line of OCR, which knows no words: as wide as a column."""
    right = left + 400
    return Line(text=text, box=((left, top), (right, top), (right, top + UNIT), (left, top + UNIT)))


def test_table_in_a_column_stands_between_the_text_above_and_below_it() -> None:
    prose = "words that run from margin to margin of a column"
    left = [wide(f"left {i} {prose}", 100, 26 * i) for i in (0, 1, 2, *range(12, 24))]
    right = [wide(f"right {i} {prose}", 560, 26 * i + 9) for i in range(24)]
    places = [(row, column) for row in range(4) for column in range(2)]
    cells = [
        Line(text=f"r{r} c{c}", box=((x, y), (x + 60, y), (x + 60, y + UNIT), (x, y + UNIT)))
        for r, c in places
        for x, y in [(110 + c * WIDTH, 110 + r * HEIGHT)]
    ]
    page = PageLines(pose=Pose(width=1100, height=1000), lines=(*right, *cells, *left), rules=tuple(ruled(4, 2)))
    order = [block.kind if block.kind is BlockKind.TABLE else block.text.split()[0] for block in lay_out(page)]
    assert order == ["left", BlockKind.TABLE, "left", "right"]


def header_ruled(rows: list[tuple[str, str]]) -> PageLines:
    """A table in a frame whose header alone is ruled off, its columns parted by a rule."""
    top, middle, bottom = 100.0, 130.0, 130.0 + 26 * (len(rows) - 1)
    rules = [*(across(y, 100, 500) for y in (top, middle, bottom)), *(down(x, top, bottom) for x in (100, 300, 500))]
    lines = [
        line(text, left, 105 if at == 0 else 108 + 26 * at)
        for at, row in enumerate(rows)
        for text, left in zip(row, (110, 310), strict=True)
        if text
    ]
    return PageLines(pose=Pose(width=1100, height=1000), lines=tuple(lines), rules=tuple(rules))


def texts(page: PageLines) -> list[list[str]]:
    """Of the cells of the only table on the page, row by row."""
    (table,) = (block for block in lay_out(page) if block.kind is BlockKind.TABLE)
    return [[cell.text for cell in table.cells if cell.row == row] for row in range(table.cells[-1].row + 1)]


def test_rows_that_no_rule_parts_are_told_by_their_numbers() -> None:
    page = header_ruled([("Name", "Price"), *((f"tea {i}", f"{i}.50") for i in range(12))])
    assert texts(page) == [["Name", "Price"], *([f"tea {i}", f"{i}.50"] for i in range(12))]
    (table,) = lay_out(page)
    assert [cell.text for cell in table.cells if cell.header] == ["Name", "Price"]


def test_few_rows_that_no_rule_parts_are_no_cell_of_several_lines() -> None:
    page = header_ruled([("Quarter", "Ending"), ("first", "Mar. 31"), ("second", "June 30"), ("third", "Sept. 30")])
    assert texts(page)[1:] == [["first", "Mar. 31"], ["second", "June 30"], ["third", "Sept. 30"]]


def test_row_that_goes_on_in_small_letters_stays_one() -> None:
    rows = [("weekly", "75.00"), ("monthly", "150.00"), ("Miscellaneous (each", ""), ("day of it)", "15.00")]
    assert texts(header_ruled([("Period", "Amount"), *rows]))[3:] == [["Miscellaneous (each day of it)", "15.00"]]


def test_cells_of_several_lines_without_a_number_in_each_stay_whole() -> None:
    rows = [("July 1, 2011", "Oct. 1, 2011"), ("through", "through"), ("Sep. 30, 2011", "Dec. 31, 2011")]
    page = header_ruled([("Period", "Period"), *rows])
    assert texts(page)[1:] == [["July 1, 2011 through Sep. 30, 2011", "Oct. 1, 2011 through Dec. 31, 2011"]]


def test_rows_of_words_are_told_by_the_space_between_them() -> None:
    top, bottom = 100.0, 340.0
    rules = [*(across(y, 100, 500) for y in (top, 130.0, bottom)), *(down(x, top, bottom) for x in (100, 300, 500))]
    lines = [line("Name", 110, 105), line("Type", 310, 105)]
    for y, name, kind in ((140, "url", "string"), (180, "file", "file"), (240, "schema", "JSON or")):
        lines += [line(name, 110, y), line(kind, 310, y)]
    lines.append(line("nothing", 310, 262))
    page = PageLines(pose=Pose(width=1100, height=1000), lines=tuple(lines), rules=tuple(rules))
    assert texts(page) == [["Name", "Type"], ["url", "string"], ["file", "file"], ["schema", "JSON or nothing"]]


def test_rule_above_a_sum_ends_no_row() -> None:
    page = header_ruled([("Name", "Price"), ("tea", "1.50"), ("milk", "2.50"), ("both", "4.00"), ("", "8.00")])
    rules = (*page.rules, across(209, 310, 350))
    assert texts(msgspec.structs.replace(page, rules=rules)) == texts(page)
    assert len(texts(page)) == 5


def test_columns_that_are_ruled_off_in_the_header_go_on_below_it() -> None:
    page = header_ruled([("2014", "2013"), *((f"{i}.0", f"{i}.5") for i in range(5))])
    short = [rule if rule[0] != 300 else down(300, 100, 130) for rule in page.rules]
    assert texts(msgspec.structs.replace(page, rules=tuple(short)))[1] == ["0.0", "0.5"]


def test_columns_that_only_the_header_is_ruled_off_from_are_left_to_the_alignment_of_their_rows() -> None:
    page = header_ruled([("Name", "Colour"), *((f"tea {letter}", f"of {letter}") for letter in "abcdefghijkl")])
    assert ruled_tables(page.rules, page.lines, UNIT) == []
    assert len(texts(page)) == 13


def test_grid_with_a_row_of_many_lines_across_its_columns_is_no_table_of_these_columns() -> None:
    rules = [*(across(y, 100, 500) for y in (100, 500, *range(530, 800, 30))), down(300, 100, 770)]
    lines = [
        line(f"{word} one", left, 110 + 26 * i) for i in range(12) for word, left in (("tea", 110), ("green", 310))
    ]
    lines += [line(word, left, y + 5) for y in range(500, 770, 30) for word, left in (("tea", 110), ("green", 310))]
    assert ruled_tables(rules, lines, UNIT) == []


def test_frame_beside_prose_is_read_by_itself() -> None:
    prose = [wide(f"left {i} words that run from margin to margin of a column", 100, 26 * i) for i in range(24)]
    facts = ("Reign", "975"), ("House", "Wessex"), ("Father", "Edmund"), ("Mother", "Anna"), ("Died", "978")
    box = [
        line(text, left, 110 + 26 * i)
        for i, pair in enumerate(facts)
        for text, left in zip(pair, (560, 700), strict=True)
    ]
    around = [across(90, 540, 900), across(260, 540, 900), down(540, 90, 260), down(900, 90, 260)]
    page = PageLines(pose=Pose(width=1100, height=1000), lines=(*prose, *box), rules=tuple(around))
    text, table = lay_out(page)
    assert text.text.split("\n") == [one.text for one in prose]
    assert [cell.text for cell in table.cells] == [text for pair in facts for text in pair]


def test_frame_of_the_page_or_around_a_label_changes_nothing() -> None:
    prose = [wide(f"left {i} words that run from margin to margin of a column", 100, 26 * i + 9) for i in range(24)]
    around = [across(1, 90, 900), across(700, 90, 900), down(90, 1, 700), down(900, 1, 700)]
    pose = Pose(width=1100, height=1000)
    plain = lay_out(PageLines(pose=pose, lines=tuple(prose)))
    assert lay_out(PageLines(pose=pose, lines=tuple(prose), rules=tuple(around))) == plain
    label = [across(1, 90, 510), across(38, 90, 510), down(90, 1, 38), down(510, 1, 38)]
    assert lay_out(PageLines(pose=pose, lines=tuple(prose), rules=tuple(label))) == plain
