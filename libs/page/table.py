"""The cells of a table as rows: HTML, and a grid of texts."""

import html
from collections.abc import Iterator, Sequence

from libs.page.block import Cell


def rows(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells by the row in which each begins, from left to right; a row in which none begins is empty."""
    found: list[list[Cell]] = [[] for _ in range(max((cell.row + cell.row_span for cell in cells), default=0))]
    for cell in sorted(cells, key=lambda cell: cell.column):
        found[cell.row].append(cell)
    return found


def has_spans(cells: Sequence[Cell]) -> bool:
    """Whether a cell covers more than one row or column."""
    return any(cell.row_span > 1 or cell.column_span > 1 for cell in cells)


def heads_row(cells: Sequence[Cell], cell: Cell) -> bool:
    """Whether a header cell heads its row and not its column: it stands first, and others of its row are none."""
    return cell.header and cell.column == 0 and not all(other.header for other in cells if other.row == cell.row)


def grid(cells: Sequence[Cell]) -> list[list[str]]:
    """The texts by row and column, all rows equally long; a spanning cell's text stands in its first place only."""
    width = max((cell.column + cell.column_span for cell in cells), default=0)
    texts = [[""] * width for _ in rows(cells)]
    for cell in cells:
        texts[cell.row][cell.column] = cell.text
    return texts


def to_html(cells: Sequence[Cell], attributes: str = "") -> str:
    """The table as HTML, a line for each row. All text is escaped; attributes of cells are numbers.

    `attributes` are written into the table's tag as they are.
    """
    written = ["".join(map(_cell, row)) for row in _placed(rows(cells))]
    return "\n".join([f"<table{attributes}>", *(f"<tr>{row}</tr>" for row in written), "</table>"])


def _placed(by_row: Sequence[Sequence[Cell]]) -> Iterator[list[Cell]]:
    """The rows with an empty cell at each uncovered place before a cell: HTML places a row's cells without gaps."""
    # The first row in which each column is free again.
    free_from: dict[int, int] = {}
    for number, row in enumerate(by_row):
        placed: list[Cell] = []
        column = 0
        for cell in row:
            free = (at for at in range(column, cell.column) if free_from.get(at, 0) <= number)
            placed += [Cell(row=number, column=at) for at in free]
            placed.append(cell)
            column = cell.column + cell.column_span
            free_from.update(dict.fromkeys(range(cell.column, column), number + cell.row_span))
        yield placed


def _cell(cell: Cell) -> str:
    tag = "th" if cell.header else "td"
    spans = f' colspan="{cell.column_span}"' if cell.column_span > 1 else ""
    spans += f' rowspan="{cell.row_span}"' if cell.row_span > 1 else ""
    return f"<{tag}{spans}>{html.escape(cell.text, quote=False)}</{tag}>"
