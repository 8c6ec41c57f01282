"""Raw HTML that a model writes into its Markdown: the cells of a table, and text without tags."""

from html.parser import HTMLParser

import msgspec

from libs.page.block import Cell
from libs.page.dialect import escape_unknown

#: Columns of a table at most; one with more stays HTML without cells. Chosen: a model that repeats itself may write
#: spans without end, and the grid of a table takes memory for each of its places.
MAX_COLUMNS = 200


def table_cells(written: str) -> tuple[Cell, ...] | None:
    """The cells of one table; None where there are none, text stands outside of them, or they are too many."""
    reader = _TableReader()
    reader.feed(escape_unknown(written))
    reader.close()
    return reader.cells()


def html_text(written: str) -> str:
    """The text of raw HTML, without the tags that models write."""
    reader = _TextReader()
    reader.feed(escape_unknown(written))
    reader.close()
    return "".join(reader.parts)


class _TableReader(HTMLParser):
    """Reads one table, as a browser would place its cells. A table in a cell is text of that cell."""

    def __init__(self) -> None:
        super().__init__()
        self._found: list[Cell] = []
        # The texts of the open cell; None outside of cells.
        self._open: list[str] | None = None
        self._place = Cell(row=0, column=0)
        self._row = -1
        # The first row in which each column is free again.
        self._free_from: dict[int, int] = {}
        self._tables = 0
        self._in_head = False
        self._strange = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._tables += 1
        if self._tables > 1:
            return
        match tag:
            case "thead":
                self._in_head = True
            case "tbody" | "tfoot":
                self._in_head = False
            case "tr":
                self._end_cell()
                self._row += 1
            case "td" | "th":
                self._end_cell()
                self._begin_cell(tag == "th" or self._in_head, dict(attrs))
            case "br" if self._open is not None:
                self._open.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._tables -= 1
        elif tag == "thead":
            self._in_head = False
        elif tag in ("td", "th", "tr") and self._tables == 1:
            self._end_cell()

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open.append(data)
        elif data.strip():
            self._strange = True

    def cells(self) -> tuple[Cell, ...] | None:
        """The cells; None where there are none, text stands outside of them, or they are too many."""
        self._end_cell()
        too_wide = any(cell.column + cell.column_span > MAX_COLUMNS for cell in self._found)
        if self._strange or too_wide or not self._found:
            return None
        rows = self._row + 1
        return tuple(
            msgspec.structs.replace(cell, row_span=min(cell.row_span, rows - cell.row)) for cell in self._found
        )

    def _begin_cell(self, header: bool, attributes: dict[str, str | None]) -> None:
        self._row = max(self._row, 0)
        column = 0
        while self._free_from.get(column, 0) > self._row:
            column += 1
        wide, high = (_span(attributes.get(name)) for name in ("colspan", "rowspan"))
        self._place = Cell(row=self._row, column=column, column_span=wide, row_span=high, header=header)
        for covered in range(column, min(column + wide, MAX_COLUMNS + 1)):
            self._free_from[covered] = self._row + high
        self._open = []

    def _end_cell(self) -> None:
        if self._open is not None:
            text = "\n".join(" ".join(line.split()) for line in "".join(self._open).split("\n")).strip()
            self._found.append(msgspec.structs.replace(self._place, text=text))
            self._open = None


def _span(written: str | None) -> int:
    given = (written or "").strip()
    return max(1, min(int(given), MAX_COLUMNS)) if given.isascii() and given.isdigit() and len(given) < 9 else 1


class _TextReader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        self.parts.append(data)
