"""Tables are read from Markdown and HTML alike; the true tables are whole."""

from pathlib import Path

import pytest

from bench.table_score import normal, tables
from bench.tables import TRUTHS
from libs.page import table
from libs.page.block import Cell


def test_a_table_in_html_is_read_with_its_spans_and_headers() -> None:
    text = (
        "Before\n\n<table>\n<thead><tr><th rowspan=2>Name</th><td colspan=2>Sum</td></tr></thead>\n"
        "<tr><td>1</td><td>2<br>3</td></tr>\n</table>\n\nAfter"
    )

    (found,) = tables(text)

    assert found == (
        Cell(row=0, column=0, text="Name", row_span=2, header=True),
        Cell(row=0, column=1, text="Sum", column_span=2, header=True),
        Cell(row=1, column=1, text="1"),
        Cell(row=1, column=2, text="2 3"),
    )


def test_a_table_in_pipes_is_read_beside_one_in_html() -> None:
    found = tables("<table><tr><td>x</td></tr></table>\n\n| **a** | b |\n| --- | --- |\n| 1 | 2 |\n")

    assert [table.grid(one) for one in found] == [[["x"]], [["a", "b"], ["1", "2"]]]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Weekly . . . . . .", "Weekly"),
        ("Weekly ......... 75.00", "Weekly 75.00"),
        ("株主資本 以外", "株主資本以外"),
        ("two\n words", "two words"),
        ("No. 3. ", "No. 3."),
    ],
)
def test_what_is_no_matter_of_recognition_does_not_count(text: str, plain: str) -> None:
    assert normal(text) == plain


@pytest.mark.parametrize("path", sorted(TRUTHS.glob("*.html")), ids=lambda path: path.stem)
def test_a_true_table_has_one_cell_in_each_place(path: Path) -> None:
    (cells,) = tables(path.read_text(encoding="utf-8"))
    places = [
        (cell.row + down, cell.column + right)
        for cell in cells
        for down in range(cell.row_span)
        for right in range(cell.column_span)
    ]
    rows, columns = (max(place[axis] for place in places) + 1 for axis in (0, 1))

    assert len(places) == len(set(places)) == rows * columns
