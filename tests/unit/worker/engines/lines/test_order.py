"""Reading order: which line comes after which, from boxes alone."""

import math
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.page.block import Line
from services.worker.engines.lines.order import regions

HEIGHT = 20.0


def line(text: str, left: float, top: float, width: float, height: float = HEIGHT, tilt: float = 0.0) -> Line:
    """A line whose page is turned clockwise by `tilt` degrees about the origin."""
    angle = math.radians(tilt)

    def turn(x: float, y: float) -> tuple[float, float]:
        return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)

    right, bottom = left + width, top + height
    box = (turn(left, top), turn(right, top), turn(right, bottom), turn(left, bottom))
    return Line(text=text, box=box, confidence=1.0)


def column(name: str, left: float, top: float, count: int, tilt: float = 0.0) -> list[Line]:
    return [line(f"{name}{i} of running text, long enough", left, top + 30 * i, 400, tilt=tilt) for i in range(count)]


def read(lines: list[Line]) -> list[str]:
    return [box.line.text.split()[0] for region in regions(lines) for row in region.rows for box in row]


def named(name: str, count: int) -> list[str]:
    return [f"{name}{i}" for i in range(count)]


def test_lines_of_one_column_are_read_from_top_to_bottom() -> None:
    lines = column("a", 50, 50, 8)
    assert read(lines[::-1]) == named("a", 8)


def test_two_columns_are_read_one_after_the_other_although_their_lines_are_level() -> None:
    lines = [x for pair in zip(column("a", 50, 50, 8), column("b", 480, 50, 8), strict=True) for x in pair]
    assert read(lines) == named("a", 8) + named("b", 8)


def test_three_columns_are_read_one_after_the_other() -> None:
    lines = column("c", 910, 50, 9) + column("a", 50, 50, 9) + column("b", 480, 50, 9)
    assert read(lines) == named("a", 9) + named("b", 9) + named("c", 9)


def test_columns_of_a_tilted_page_are_read_one_after_the_other() -> None:
    lines = column("a", 50, 50, 10, tilt=3) + column("b", 480, 50, 10, tilt=3)
    assert read(sorted(lines, key=lambda x: x.box[0][1])) == named("a", 10) + named("b", 10)


def test_headings_across_both_columns_part_what_is_above_from_what_is_below() -> None:
    lines = [
        line("title across the whole page", 50, 0, 830),
        *column("a", 50, 50, 5),
        *column("b", 480, 50, 5),
        line("section across the whole page", 50, 230, 830),
        *column("c", 50, 280, 5),
        *column("d", 480, 280, 5),
    ]
    assert read(lines[::-1]) == [
        "title",
        *named("a", 5),
        *named("b", 5),
        "section",
        *named("c", 5),
        *named("d", 5),
    ]


def test_boxes_that_stand_in_rows_are_read_row_by_row() -> None:
    lines = []
    for i, top in enumerate((0, 300)):
        for j, left in enumerate((50, 550)):
            name = "abcd"[2 * i + j]
            lines += [line(f"{name}-head", left, top, 200, height=26), *column(name, left, top + 60, 5)]
    expected = [word for name in "abcd" for word in (f"{name}-head", *named(name, 5))]
    assert read(lines) == expected


def test_sections_of_two_columns_that_begin_level_by_chance_stay_in_their_columns() -> None:
    lines = [*column("a", 50, 0, 5), *column("b", 550, 0, 5)]
    lines += [line("c-head", 50, 230, 200, height=26), line("d-head", 550, 230, 200, height=26)]
    lines += [*column("c", 50, 290, 5), *column("d", 550, 290, 5)]
    left = [*named("a", 5), "c-head", *named("c", 5)]
    assert read(lines) == [*left, *named("b", 5), "d-head", *named("d", 5)]


def test_caption_set_into_two_columns_does_not_interrupt_them() -> None:
    left = [line(f"a{i} of running text, long enough", 50, 50 + 30 * i, 400) for i in range(10)]
    right = [line(f"b{i} of running text, long enough", 480, 50 + 30 * i, 400) for i in range(10)]
    left[5] = line("a5 of running text", 50, 200, 320)
    right[5] = line("b5 of running text", 560, 200, 320)
    caption = line("caption", 400, 200, 130)
    assert read([*left, *right, caption]) == named("a", 10) + named("b", 10) + ["caption"]


def test_rows_of_a_table_stay_together() -> None:
    lines = []
    for i in range(5):
        lines += [
            line(f"item{i}", 50, 50 + 30 * i, 90),
            line(f"1{i}", 400, 50 + 30 * i, 30),
            line(f"9{i}.50", 600, 50 + 30 * i, 60),
        ]
    assert read(lines[::-1]) == [word for i in range(5) for word in (f"item{i}", f"1{i}", f"9{i}.50")]


def test_rows_of_a_tilted_table_stay_together() -> None:
    lines = []
    for i in range(8):
        lines += [line(f"item{i}", 50, 50 + 30 * i, 130, tilt=3), line(f"1{i}", 1100, 50 + 30 * i, 130, tilt=3)]
    assert read(lines[::-1]) == [word for i in range(8) for word in (f"item{i}", f"1{i}")]


def test_label_and_value_on_one_line_stay_together() -> None:
    lines = [x for i in range(4) for x in (line(f"label{i}", 50, 40 * i, 80), line(f"value{i}", 300, 40 * i + 3, 120))]
    assert read(lines[::-1]) == [word for i in range(4) for word in (f"label{i}", f"value{i}")]


def test_page_without_lines_has_no_regions() -> None:
    assert regions([]) == []


boxes = st.builds(
    line,
    st.text(alphabet="abcdefgh", min_size=1, max_size=30),
    st.floats(0, 2000),
    st.floats(0, 3000),
    st.floats(1, 900),
    st.floats(1, 90),
    st.floats(-5, 5),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(boxes, max_size=50))
def test_every_line_is_read_exactly_once_wherever_the_boxes_lie(lines: list[Line]) -> None:
    read_lines = [strip.line for region in regions(lines) for row in region.rows for strip in row]
    assert Counter(map(id, read_lines)) == Counter(map(id, lines))
