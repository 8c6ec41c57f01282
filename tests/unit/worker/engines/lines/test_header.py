"""Header cells are told from the first row by the numbers below it."""

import pytest

from libs.page.block import Cell
from services.worker.engines.lines.header import headed


def cells(*rows: tuple[str, ...]) -> tuple[Cell, ...]:
    return tuple(Cell(row=i, column=j, text=text) for i, row in enumerate(rows) for j, text in enumerate(row))


@pytest.mark.parametrize(
    "rows",
    [
        [("Article", "Price"), ("Tea", "1.20"), ("Coffee", "$2.40")],
        [("", "2024", "2025"), ("Sales", "(1,200)", "1 300"), ("Cost", "–", "12 %")],
        [("Name", "Remark"), ("a", "-3"), ("b", "none"), ("c", "5/6"), ("d", "x")],
        [("Name", "Born"), ("Ann", "1.5.1990"), ("Bob", "unknown")],
    ],
)
def test_row_that_names_the_columns_of_numbers_is_the_header(rows: list[tuple[str, ...]]) -> None:
    assert {(cell.row, cell.header) for cell in headed(cells(*rows))} == {(row, row == 0) for row in range(len(rows))}


@pytest.mark.parametrize(
    "rows",
    [
        [("Tea", "1.20"), ("Coffee", "2.40"), ("Milk", "3.00")],
        [("Name", "Street"), ("Ann", "Main"), ("Bob", "High"), ("Cy", "Low")],
        [("Total", "Price"), ("all", "1.20")],
        [("A title", ""), ("Tea", "1.20"), ("Coffee", "2.40")],
        [],
    ],
)
def test_row_that_may_be_one_of_the_rows_stays_one(rows: list[tuple[str, ...]]) -> None:
    assert headed(cells(*rows)) == cells(*rows)


def test_header_with_spans_has_a_second_row() -> None:
    table = (
        Cell(row=0, column=0, text="Region", row_span=2),
        Cell(row=0, column=1, text="Sales", column_span=2),
        *(Cell(row=1, column=1, text="North"), Cell(row=1, column=2, text="South")),
        *(Cell(row=row, column=column, text=str(row)) for row in (2, 3) for column in (0, 1, 2)),
    )
    assert [cell.header for cell in headed(table)] == [True] * 4 + [False] * 6
