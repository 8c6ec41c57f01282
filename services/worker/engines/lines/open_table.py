"""Open tables: their rows are set off by level rules of one length, and no upright rules part their columns.

The rules show where the table begins and ends, and which rows head its columns; the columns come from the alignment of
the text. Lengths are in units of the page's median line height, so that they hold at any DPI.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median

import msgspec

from libs.page.block import Cell, Line, Rect, enclosing
from services.worker.engines.lines import table
from services.worker.engines.lines.aligned import cut
from services.worker.engines.lines.columns import Extent, columns_of
from services.worker.engines.lines.grid import RuledTable
from services.worker.engines.lines.gutter import is_prose
from services.worker.engines.lines.kind import is_caption
from services.worker.engines.lines.line_box import LineBox, Row, level
from services.worker.engines.lines.number import is_figure
from services.worker.engines.lines.order import rows as text_rows
from services.worker.engines.lines.segment import by_axis

# By how much the ends of a table's rules may differ, and by how much text may reach over them.
_SAME_END = 1.0
# Length of a rule at least: shorter ones are below a word.
_MIN_LENGTH = 10.0
# Distance between two rules that are one, such as a double rule.
_SAME = 0.5
# Distance at most between two rules with nothing between them that set off the same rows.
_EMPTY = 1.5
# Degrees by which slanted names of columns rise. Chosen: more than a tilted page, less than a label that runs up.
_RISING = 15, 75
# Least space between two columns. Chosen: less than without rules, which leave less doubt; boxes of detected lines are
# a little wider than their text.
_MIN_COLUMN_GAP = 0.3
# Columns at least: of two, one may as well be labels, and lists are set between rules too.
_MIN_COLUMNS = 2
# Bands between rules that each are a row, at least. Chosen: the three rules of an open table make two.
_MIN_BANDS = 3
# Rows with one text below each other that are none of a table. Chosen: a cell of two or three lines is common.
_TEXT_ROWS = 3
# Rules on a page at most; it bounds the work.
_MAX_RULES = 2_000


def open_tables(
    rules: Sequence[Rect], lines: Sequence[Line], unit: float, slanted: Sequence[Line] = ()
) -> list[RuledTable]:
    """The tables between these rules; every line is in at most one. `unit` is the median line height in pixels.

    `slanted` lines run up to the right: those that begin above a column in a table's header are its name.
    """
    if not lines or len(rules) > _MAX_RULES:
        return []
    found: list[RuledTable] = []
    left = cut(lines, unit)
    # A rule may be drawn cell by cell.
    whole_rules = [(rule.start, rule.at, rule.end, rule.at) for rule in by_axis(rules, unit)[0]]
    for family in _families(whole_rules, unit):
        for run in _runs(family, [piece for piece, _ in left], unit):
            if (one := _table_of_pieces(run, left, unit, slanted)) is not None:
                found.append(one)
                taken = {id(line) for line in one.lines}
                left = [(piece, line) for piece, line in left if id(line) not in taken]
    return found


def _table_of_pieces(
    rules: Sequence[Rect], pieces: Sequence[tuple[Line, Line]], unit: float, slanted: Sequence[Line]
) -> RuledTable | None:
    """The table of these pieces, each with its line, or of the lines where it has not all pieces of one."""
    one = _table(rules, [piece for piece, _ in pieces], unit, slanted)
    if one is None:
        return None
    inside = {id(piece) for piece in one.lines}
    lines = {id(line): line for piece, line in pieces if id(piece) in inside}
    if any(id(line) in lines and id(piece) not in inside for piece, line in pieces):
        return _table(rules, list({id(line): line for _, line in pieces}.values()), unit, slanted)
    known = {id(piece) for piece, _ in pieces}
    names = [line for line in one.lines if id(line) not in known]
    return msgspec.structs.replace(one, lines=(*lines.values(), *names))


def is_rising(line: Line) -> bool:
    """Whether the box of the line runs up to the right."""
    (ax, ay), (bx, by), *_ = line.box
    return _RISING[0] <= math.degrees(math.atan2(ay - by, bx - ax)) <= _RISING[1]


def _families(rules: Sequence[Rect], unit: float) -> list[list[Rect]]:
    """The level rules that begin and end below each other, each family from top to bottom."""
    families: list[list[Rect]] = []
    for rule in sorted(rules, key=lambda rule: rule[1]):
        if rule[2] - rule[0] < max(_MIN_LENGTH * unit, rule[3] - rule[1]):
            continue
        for family in families:
            first = family[0]
            if max(abs(rule[0] - first[0]), abs(rule[2] - first[2])) <= _SAME_END * unit:
                if rule[1] - family[-1][3] > _SAME * unit:
                    family.append(rule)
                break
        else:
            families.append([rule])
    return [family for family in families if len(family) > 1]


def _runs(family: Sequence[Rect], lines: Sequence[Line], unit: float) -> Iterator[list[Rect]]:
    """The rules of one table after another: between two of them is text in columns, or the one row of a header."""
    run = [family[0]]
    for above, below in pairwise(family):
        between = text_rows(level(_between(above, below, lines, unit)))
        if not between and below[1] - above[3] < _EMPTY * unit:
            continue
        is_header = len(run) == len(between) == 1
        is_columnar = sum(len(row) > 1 for row in between) * 2 >= len(between) and not _has_text(between)
        if is_header or (between and (is_columnar or _is_one_row(between, unit))):
            # The name of the next table stands below the rule that ends this one.
            if len(run) > 1 and len(between[0]) == 1 and is_caption(between[0][0].line.text):
                yield run
                run = [above]
            run.append(below)
            continue
        if len(run) > 1:
            yield run
        run = [below]
    if len(run) > 1:
        yield run


def _has_text(rows: Sequence[Row]) -> bool:
    """Whether several rows below each other have one text: titles and lines of text, not cells.

    Where no row has more than two texts, they may be what belongs to the name above them.
    """
    starts = range(len(rows) - _TEXT_ROWS + 1)
    return max(map(len, rows), default=0) > 2 and any(
        all(len(row) == 1 for row in rows[at : at + _TEXT_ROWS]) for at in starts
    )


def _between(above: Rect, below: Rect, lines: Sequence[Line], unit: float) -> list[Line]:
    margin = _SAME_END * unit
    return [
        line
        for line in lines
        if min(x for x, _ in line.box) >= above[0] - margin
        and max(x for x, _ in line.box) <= above[2] + margin
        and above[1] <= sum(y for _, y in line.box) / 4 <= below[3]
    ]


def _is_one_row(rows: Sequence[Row], unit: float) -> bool:
    """Whether the rows but the first go on with its cells: each box is below one of them and ends before the next."""
    first, *others = rows
    ends = [*(box.left for box in first[1:]), math.inf]
    return len(first) > 1 and all(
        any(
            cell.left - _SAME_END * unit <= box.left <= cell.right and box.right < end
            for cell, end in zip(first, ends, strict=True)
        )
        for row in others
        for box in row
    )


def _joined(rows: Sequence[Row], rules: Sequence[Rect]) -> Sequence[Row]:
    """The rows, those between two rules as one, where rules set off each row: no band has two with most cells."""
    bands = [[row for row in rows if above[1] < _middle(row) <= below[1]] for above, below in pairwise(rules)]
    bands = [band for band in bands if band]
    most = max(len(row) for row in rows)
    full = [sum(len(row) > 1 and 2 * len(row) >= most for row in band) for band in bands]
    if len(bands) < _MIN_BANDS or sum(map(len, bands)) != len(rows) or max(full) > 1:
        return rows
    return [tuple(sorted((box for row in band for box in row), key=lambda box: box.left)) for band in bands]


def _table(rules: Sequence[Rect], lines: Sequence[Line], unit: float, slanted: Sequence[Line]) -> RuledTable | None:
    boxes = level(_between(rules[0], rules[-1], lines, unit))
    printed = text_rows(boxes)
    if len(printed) < 2:
        return None
    rows = _joined(printed, rules)
    if first := _row_above(rules[0], rows, lines, unit):
        if rows is printed:
            # The rules are above and below a sum, within a table that only the alignment shows.
            return None
        rows, boxes = [first, *rows], [*first, *boxes]
    columns = columns_of(rows, unit, _MIN_COLUMN_GAP)
    if len(columns) < _MIN_COLUMNS or not table.is_columnar(rows, columns):
        return None
    # Rules between all rows part no columns of prose.
    if rows is printed and _are_columns_of_prose(rows, columns, unit):
        return None
    # A rule below the first row is one of many where each row has one.
    header_rows = _header_rows(rows, rules) if rows is printed else None
    cells = table.cells(rows, columns, unit, header_rows=header_rows)
    names = _slanted_names(cells, columns, rules, slanted, unit) if header_rows else {}
    last = max((cell.row for cell in cells if cell.header), default=-1)
    cells = tuple(_named(cell, names) if cell.row == last else cell for cell in cells)
    top = min(rules[0][1], *(box.top for box in boxes))
    box = (rules[0][0], top, rules[0][2], rules[-1][3])
    ordered = (*(box.line for box in boxes), *names.values())
    return RuledTable(box=box, cells=cells, lines=ordered)


def _row_above(rule: Rect, rows: Sequence[Row], lines: Sequence[Line], unit: float) -> Row:
    """The text that stands close above the first rule, if it has as many cells as the rows below; else nothing."""
    height = max(max(box.bottom for box in row) - min(box.top for box in row) for row in rows)
    above = _between((rule[0], rule[1] - height - unit, rule[2], rule[1]), rule, lines, unit)
    found: list[LineBox] = []
    top = rule[1]
    for row in reversed(text_rows(level(above))):
        if top - max(box.bottom for box in row) > unit:
            break
        found.extend(row)
        top = min(box.top for box in row)
    usual = median(len(_starts(row, unit)) for row in rows)
    return tuple(sorted(found, key=lambda box: box.left)) if len(_starts(found, unit)) >= usual else ()


def _starts(boxes: Sequence[LineBox], unit: float) -> list[float]:
    """Where the cells of a row begin: boxes below each other count once."""
    found: list[float] = []
    for left in sorted(box.left for box in boxes):
        if not found or left - found[-1] > unit:
            found.append(left)
    return found


def _are_columns_of_prose(rows: Sequence[Row], columns: Sequence[Extent], unit: float) -> bool:
    """Whether two columns beside each other are prose: the columns of a page, as of a newspaper."""
    prose = [
        is_prose([box for row in rows for box in row if left <= (box.left + box.right) / 2 <= right], unit)
        for left, right in columns
    ]
    return any(both == (True, True) for both in pairwise(prose))


def _slanted_names(
    cells: Sequence[Cell], columns: Sequence[Extent], rules: Sequence[Rect], slanted: Sequence[Line], unit: float
) -> dict[int, Line]:
    """The slanted lines that begin in the header, by the column above which they do; the column's cell is empty."""
    last = max(cell.row for cell in cells if cell.header)
    empty = [cell.column for cell in cells if cell.row == last and not cell.text]
    found: dict[int, Line] = {}
    for line in slanted:
        x, y = min(x for x, _ in line.box), max(y for _, y in line.box)
        if empty and rules[0][1] < y < rules[1][3] + _SAME * unit:
            nearest = min(empty, key=lambda at: max(columns[at][0] - x, x - columns[at][1]))
            if max(columns[nearest][0] - x, x - columns[nearest][1]) <= unit and nearest not in found:
                found[nearest] = line
    return found


def _named(cell: Cell, names: dict[int, Line]) -> Cell:
    """The cell of the last header row with the name of its column."""
    name = names.get(cell.column)
    return cell if name is None else msgspec.structs.replace(cell, text=name.text, box=enclosing([name]))


def _header_rows(rows: Sequence[Row], rules: Sequence[Rect]) -> int | None:
    """The rows above the second rule, where there is a third; None where no rule sets off a header.

    Rows of figures are none of a header: the rule below them may be that of a sum.
    """
    if len(rules) < 3:
        return None
    above = [row for row in rows if _middle(row) < rules[1][1]]
    figures = sum(any(is_figure(box.line.text) for box in row) for row in above)
    return len(above) if 0 < len(above) <= len(rows) / 2 and 2 * figures < len(above) else None


def _middle(row: Row) -> float:
    """Of the row's lines on the page, in pixels from its top."""
    ys = [y for box in row for _, y in box.line.box]
    return sum(ys) / len(ys)
