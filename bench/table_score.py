"""Tables in Markdown and HTML as cells, and their likeness to a true one: TEDS.

TEDS (tree edit distance based similarity; Zhong, ShafieiBavani and Jimeno Yepes, arXiv 1911.10683) is 1 less the edits
that turn one table's tree of rows and cells into the other's, by the nodes of the larger tree. An edit adds or removes
a row or a cell, or changes a cell: fully where its spans differ, else by the edit distance of its text. The package
`table-recognition-metric` computes it. It compares the text of `td` alone, therefore header cells are given to it as
`td`, and whether headers are marked as such is a score of its own.
"""

import importlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from typing import TypeAlias

import msgspec
from markdown_it import MarkdownIt

from libs.page import table
from libs.page.block import Cell

#: Its cells.
Table: TypeAlias = tuple[Cell, ...]

_HTML_TABLE = re.compile(r"<table\b.*?</table>", re.DOTALL | re.IGNORECASE)
# Dots that lead the eye from a text to its number: they are no part of the text.
_LEADERS = re.compile(r"(?:\s?\.){3,}|(?:\s\.){2,}")
# Chinese and Japanese set no spaces, and a line end within a cell may be written as one.
_WIDE = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef"
_WIDE_SPACE = re.compile(rf"(?<=[{_WIDE}])\s+(?=[{_WIDE}])")


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How like a table is to the true one, each from 0 to 1."""

    teds: float = 0.0
    #: TEDS of rows, cells and spans, whatever the text.
    structure: float = 0.0
    #: F1 of the texts of header cells; None where the true table has no header and the other neither.
    header: float | None = None


class Scorer:
    """Compares tables. Raises `ImportError` where `table-recognition-metric` is missing."""

    def __init__(self) -> None:
        # By name: the package is no dependency of ours.
        self._teds: Callable[[str, str], float] = importlib.import_module("table_recognition_metric").TEDS()

    def best(self, true: Table, found: Sequence[Table]) -> tuple[Score, int | None]:
        """The score of the table that is most like the true one, and its place; 0 and None where there is none."""
        best, place = 0.0, None
        # Tables that share most of their words with the true one first, so that most others need no comparison.
        for at in sorted(range(len(found)), key=lambda at: -_shared(true, found[at])):
            sizes = sorted((_nodes(true), _nodes(found[at])))
            # The trees differ by at least the difference of their sizes.
            if sizes[0] / sizes[1] > best and (teds := self._likeness(_plain(found[at]), _plain(true))) > best:
                best, place = teds, at
        if place is None:
            return Score(header=0.0 if any(cell.header for cell in true) else None), None
        match = found[place]
        structure = self._likeness(_bare(match), _bare(true))
        return Score(teds=best, structure=structure, header=_header(true, match)), place

    def _likeness(self, one: str, other: str) -> float:
        # Trees of some hundred nodes take seconds to compare.
        return 1.0 if one == other else self._teds(one, other)


def tables(text: str) -> list[Table]:
    """The tables of a text in Markdown or HTML: HTML first, then those in pipes."""
    reader = _Reader()
    for found in _HTML_TABLE.findall(text):
        reader.feed(found)
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.feed(markdown.render(_HTML_TABLE.sub("\n\n", text)))
    return [_cells(rows) for rows in reader.tables if any(rows)]


def normal(text: str) -> str:
    """The text of a cell without what is no matter of its recognition: forms of characters, spaces, leaders."""
    text = unicodedata.normalize("NFKC", _WIDE_SPACE.sub("", text))
    return " ".join(_LEADERS.sub(" ", text).split())


class _Raw(msgspec.Struct):
    """A cell as it is written."""

    header: bool
    column_span: int
    row_span: int
    text: str = ""


class _Reader(HTMLParser):
    """The rows of tables in HTML; text outside of cells is left out, a table in a cell is read as its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[_Raw]]] = []
        self._depth = 0
        self._in_head = self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._depth += 1
            if self._depth == 1:
                self.tables.append([])
        elif self._depth != 1:
            return
        elif tag == "thead":
            self._in_head = True
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th") and self.tables[-1]:
            spans = {name: int(value) for name, value in attrs if value and value.isdigit()}
            header = tag == "th" or self._in_head
            cell = _Raw(header, max(spans.get("colspan", 1), 1), max(spans.get("rowspan", 1), 1))
            self.tables[-1][-1].append(cell)
            self._in_cell = True
        elif tag == "br":
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._depth = max(self._depth - 1, 0)
        elif tag == "thead":
            self._in_head = False
        elif tag in ("td", "th") and self._depth == 1:
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._depth and self._in_cell:
            self.tables[-1][-1][-1].text += data


def _cells(rows: Sequence[Sequence[_Raw]]) -> Table:
    """The cells with their places: a row's cells fill the places that cells of rows above leave free."""
    taken: set[tuple[int, int]] = set()
    found: list[Cell] = []
    for at, row in enumerate(rows):
        column = 0
        for raw in row:
            while (at, column) in taken:
                column += 1
            below, beside = min(raw.row_span, len(rows) - at), raw.column_span
            taken |= {(at + down, column + right) for down in range(below) for right in range(beside)}
            found.append(
                Cell(
                    row=at, column=column, text=normal(raw.text), row_span=below, column_span=beside, header=raw.header
                )
            )
            column += beside
    return tuple(found)


def _plain(cells: Table) -> str:
    """As HTML for the package, without a mark of headers."""
    same = tuple(msgspec.structs.replace(cell, header=False, text=normal(cell.text)) for cell in cells)
    return f"<html><body>{table.to_html(same)}</body></html>"


def _bare(cells: Table) -> str:
    """The same without texts."""
    return _plain(tuple(msgspec.structs.replace(cell, text="") for cell in cells))


def _nodes(cells: Table) -> int:
    """Of the table's tree: itself, its rows, its cells, those that the HTML has for uncovered places included."""
    return 1 + len(table.rows(cells)) + _bare(cells).count("<td")


def _shared(one: Table, other: Table) -> int:
    return (_words(one) & _words(other)).total()


def _words(cells: Table) -> "Counter[str]":
    return Counter(word for cell in cells for word in normal(cell.text).split())


def _header(true: Table, found: Table) -> float | None:
    """F1 of the texts of header cells."""
    named, marked = _names(true), _names(found)
    if not named and not marked:
        return None
    return 2 * (named & marked).total() / (named.total() + marked.total())


def _names(cells: Table) -> "Counter[str]":
    return Counter(text for cell in cells if cell.header and (text := normal(cell.text)))
