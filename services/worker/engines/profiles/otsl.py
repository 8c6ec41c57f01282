"""OTSL, the language in which some models write tables: a token before each cell (arXiv:2305.03393).

`<fcel>` begins a cell with text, `<ecel>` an empty one, `<ched>`, `<rhed>` and `<srow>` heads; `<lcel>` continues the
cell on its left, `<ucel>` the one above, `<xcel>` both; `<nl>` ends a row.
"""

import re
from collections.abc import Iterator, Sequence

from libs.page.block import Cell
from libs.page.raw_html import MAX_COLUMNS

_TOKEN = re.compile(r"<(fcel|ecel|ched|rhed|srow|lcel|ucel|xcel|nl)>")
_HEADS = frozenset({"ched", "rhed", "srow"})
_CONTINUED = frozenset({"lcel", "ucel", "xcel"})
_ROW_END = "nl"


def tables(text: str) -> Iterator[tuple[int, int]]:
    """Where each table begins and ends. An empty line between two tokens ends one."""
    begun: int | None = None
    end = 0
    for token in _TOKEN.finditer(text):
        if begun is not None and "\n\n" in text[end : token.start()]:
            yield begun, _end(text, end)
            begun = None
        begun = token.start() if begun is None else begun
        end = token.end()
    if begun is not None:
        yield begun, _end(text, end)


def _end(text: str, last: int) -> int:
    """The end of a table whose last token ends at `last`: the text of an unended row belongs to it."""
    if text.endswith(f"<{_ROW_END}>", 0, last):
        return last
    gap = text.find("\n\n", last)
    return len(text) if gap < 0 else gap


def cells(written: str) -> tuple[Cell, ...] | None:
    """The cells of one table; None where a token or a text has no place in it, or it is too wide."""
    rows = _rows(written)
    if rows is None or max(map(len, rows), default=0) > MAX_COLUMNS:
        return None
    found: list[Cell] = []
    covered: set[tuple[int, int]] = set()
    for row, entries in enumerate(rows):
        for column, (kind, text) in enumerate(entries):
            if kind in _CONTINUED:
                if text or (row, column) not in covered:
                    return None
                continue
            wide = 1 + _run([kind for kind, _ in entries[column + 1 :]], "lcel")
            high = 1 + _run([_kind(below, column) for below in rows[row + 1 :]], "ucel")
            covered |= {(row + down, column + right) for down in range(high) for right in range(wide)}
            head = kind in _HEADS
            found.append(Cell(row=row, column=column, text=text, row_span=high, column_span=wide, header=head))
    return tuple(found) or None


def _rows(written: str) -> list[list[tuple[str, str]]] | None:
    """The tokens with their texts, row by row; None where a text belongs to no cell."""
    tokens = [*_TOKEN.finditer(written)]
    rows: list[list[tuple[str, str]]] = [[]]
    if not tokens or written[: tokens[0].start()].strip():
        return None
    ends = [*(token.start() for token in tokens[1:]), len(written)]
    for token, end in zip(tokens, ends, strict=True):
        text = written[token.end() : end].strip()
        if token[1] != _ROW_END:
            rows[-1].append((token[1], text))
        elif text:
            return None
        else:
            rows.append([])
    return rows if rows[-1] else rows[:-1]


def _run(kinds: Sequence[str], kind: str) -> int:
    """How many of the first ones are of this kind."""
    return next((at for at, found in enumerate(kinds) if found != kind), len(kinds))


def _kind(row: Sequence[tuple[str, str]], column: int) -> str:
    return row[column][0] if column < len(row) else ""
