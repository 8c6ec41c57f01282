"""Header cells are told from the first row by the numbers below it."""

import pytest

from libs.page.block import Cell, Line, enclosing
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


def test_titles_above_a_header_with_spans_belong_to_it() -> None:
    table = (
        *(Cell(row=row, column=0, text=f"title {row}", column_span=3) for row in (0, 1)),
        Cell(row=2, column=0, text="Region", row_span=2),
        Cell(row=2, column=1, text="Sales", column_span=2),
        *(Cell(row=3, column=1, text="North"), Cell(row=3, column=2, text="South")),
        *(Cell(row=row, column=column, text=str(row)) for row in (4, 5) for column in (0, 1, 2)),
    )
    assert {cell.row for cell in headed(table) if cell.header} == {0, 1, 2, 3}


def boxed(*rows: tuple[str, ...]) -> tuple[tuple[Cell, ...], list[Line]]:
    """Cells with boxes around their lines."""
    lines = {
        (i, j): Line(text=text, box=((x, y), (x + 80, y), (x + 80, y + 20), (x, y + 20)))
        for i, row in enumerate(rows)
        for j, text in enumerate(row)
        for x, y in [(100.0 * j, 30.0 * i)]
    }
    found = (Cell(row=i, column=j, text=one.text, box=enclosing([one])) for (i, j), one in lines.items())
    return tuple(found), list(lines.values())


WORDS = (("Name", "Type"), ("url", "string"), ("file", "file"), ("sum", "both"))


@pytest.mark.parametrize(
    ("bold", "header"),
    [({0, 1}, {0}), ({0, 1, 2, 3}, {0, 1}), ({0}, set()), ({0, 1, 6, 7}, {0}), (set(range(8)), set()), ({2, 3}, set())],
    ids=["the first row", "two rows", "a name of a row", "a sum too", "all", "another row"],
)
def test_first_rows_in_bold_are_the_header(bold: set[int], header: set[int]) -> None:
    table, lines = boxed(*WORDS)
    found = headed(table, lines, frozenset(id(lines[at]) for at in bold))
    assert {cell.row for cell in found if cell.header} == header
