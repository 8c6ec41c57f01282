"""The cells of a table as HTML."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.page.block import Cell
from libs.page.raw_html import table_cells
from libs.page.table import to_html


@st.composite
def tables(draw: st.DrawFn) -> tuple[Cell, ...]:
    """Cells that do not overlap, with uncovered places between them."""
    free = {(row, column) for row in range(4) for column in range(4)}
    cells = []
    for row, column in sorted(free):
        high, wide = draw(st.integers(1, 4 - row)), draw(st.integers(1, 4 - column))
        covered = {(row + down, column + right) for down in range(high) for right in range(wide)}
        if covered <= free and draw(st.booleans()):
            free -= covered
            cells.append(Cell(row=row, column=column, row_span=high, column_span=wide, text=f"{row}.{column}"))
    return tuple(cells)


@given(cells=tables())
def test_each_cell_stands_in_its_column_beside_places_that_no_cell_covers(cells: tuple[Cell, ...]) -> None:
    read = table_cells(to_html(cells)) or ()
    assert [cell for cell in read if cell.text] == list(cells)


@pytest.mark.parametrize(
    ("cells", "written"),
    [
        ([Cell(row=0, column=2, text="a")], "<tr><td></td><td></td><td>a</td></tr>"),
        (
            [Cell(row=0, column=0, text="a", row_span=2), Cell(row=1, column=2, text="b")],
            '<tr><td rowspan="2">a</td></tr>\n<tr><td></td><td>b</td></tr>',
        ),
        ([Cell(row=1, column=0, text="a")], "<tr></tr>\n<tr><td>a</td></tr>"),
    ],
)
def test_only_uncovered_places_before_a_cell_are_written(cells: list[Cell], written: str) -> None:
    assert to_html(cells) == f"<table>\n{written}\n</table>"
