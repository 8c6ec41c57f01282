"""Ruled tables: cells between drawn rules, and the words in them; and frames around a part of the page.

Rules that meet make a grid. Where the rule between two places of the grid is missing, they are one cell, which so spans
columns or rows. Lengths are in units of the page's median line height, so that they hold at any DPI.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise, product

import msgspec
import numpy as np

from libs.page.block import Cell, Line, Rect
from services.worker.engines.lines.bands import rules_between_rows
from services.worker.engines.lines.line_box import level
from services.worker.engines.lines.order import rows as text_rows
from services.worker.engines.lines.segment import SAME, Segment, by_axis, is_bounded

# Rows and columns of a table at least, and the share of its cells that hold text: fewer are frames and plots.
_MIN_ROWS, _MIN_COLUMNS = 2, 2
_MIN_FILLED, _MIN_FILLED_SHARE = 3, 0.2
# A cell of so many characters, with this share of the table's text: the rules divide a page, not a table. Chosen.
_PROSE_CHARACTERS, _PROSE_SHARE = 400, 0.5
# Rows of text across the columns of a grid, for each of its rows, on average at most. Chosen: cells of a few lines are
# common, but where only a header is ruled off, the alignment of the text shows the rows.
_MAX_ROWS_IN_ONE = 3
# The same of one row of the grid at most. Chosen: cells of ten lines beside each other are rare.
_MAX_ROWS_IN_A_ROW = 10
# Places of a grid, and rules on a page, at most. Chosen: above any printed table; it bounds the work.
_MAX_PLACES = 20_000
_MAX_RULES = 2_000


class RuledTable(msgspec.Struct, frozen=True, kw_only=True):
    """A table, with its lines from top to bottom."""

    box: Rect
    cells: tuple[Cell, ...]
    lines: tuple[Line, ...]


def ruled_tables(rules: Sequence[Rect], lines: Sequence[Line], unit: float) -> list[RuledTable]:
    """The tables among these rules; every line is in at most one. `unit` is the median line height in pixels."""
    if len(rules) > _MAX_RULES or not lines:
        return []
    across_rules, down_rules = by_axis(rules, unit)
    found: list[RuledTable] = []
    left = list(lines)
    # Smaller ones first: one may lie in a cell of another.
    for across, down in sorted(_grids(across_rules, down_rules, unit), key=lambda grid: _size(*grid)):
        table = _table(across, down, left, unit)
        if table is not None:
            found.append(table)
            taken = {id(line) for line in table.lines}
            left = [line for line in left if id(line) not in taken]
    return found


def frames(rules: Sequence[Rect], unit: float) -> list[Rect]:
    """The boxes that four rules and no others make, the smallest first: a frame around a part of the page."""
    if len(rules) > _MAX_RULES:
        return []
    level_rules, upright = by_axis(rules, unit)
    found: list[Rect] = []
    for across, down in _grids(level_rules, upright, unit):
        if not down:
            continue
        xs = _edges(sorted(down, key=lambda s: s.at), across, unit)
        ys = _edges(across, down, unit)
        if len(xs) == len(ys) == 2 and all(
            (
                is_bounded(across, ys[0], xs[0], xs[1], unit),
                is_bounded(across, ys[1], xs[0], xs[1], unit),
                is_bounded(down, xs[0], ys[0], ys[1], unit),
                is_bounded(down, xs[1], ys[0], ys[1], unit),
            )
        ):
            found.append((xs[0], ys[0], xs[1], ys[1]))
    return sorted(found, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))


def _grids(level: list[Segment], upright: list[Segment], unit: float) -> list[tuple[list[Segment], list[Segment]]]:
    """The rules by the grids that they make: those that meet, directly or through others."""
    if not level or not upright:
        return []
    near = SAME * unit
    y, x0, x1 = (np.array([getattr(s, name) for s in level])[:, None] for name in ("at", "start", "end"))
    x, y0, y1 = (np.array([getattr(s, name) for s in upright])[None, :] for name in ("at", "start", "end"))
    meet = (x >= x0 - near) & (x <= x1 + near) & (y >= y0 - near) & (y <= y1 + near)
    seen: set[int] = set()
    grids = []
    for first in range(len(level)):
        if first in seen:
            continue
        seen.add(first)
        across, down, waiting = {first}, set[int](), [first]
        while waiting:
            fresh = set(np.flatnonzero(meet[waiting].any(axis=0)).tolist()) - down
            down |= fresh
            waiting = list(set(np.flatnonzero(meet[:, list(fresh)].any(axis=1)).tolist()) - across) if fresh else []
            across |= set(waiting)
        seen |= across
        grids.append(([level[i] for i in sorted(across)], [upright[i] for i in sorted(down)]))
    return grids


def _size(across: Sequence[Segment], down: Sequence[Segment]) -> float:
    """The area that the rules enclose."""
    if not down:
        return 0.0
    return (max(s.end for s in across) - min(s.start for s in across)) * (
        max(s.end for s in down) - min(s.start for s in down)
    )


def _edges(own: Sequence[Segment], crossing: Sequence[Segment], unit: float) -> list[float]:
    """Where the places of the grid end along one axis: at its own rules, and at the ends of those that cross them."""
    edges = [own[0].at] if own else []
    for segment in own:
        if segment.at - edges[-1] > SAME * unit:
            edges.append(segment.at)
    for end in (min(s.start for s in crossing), max(s.end for s in crossing)):
        if all(abs(end - edge) > unit for edge in edges):
            edges.append(end)
    return sorted(edges)


def _bounding(edges: Sequence[float], crossing: Sequence[float], rules: Sequence[Segment], unit: float) -> list[float]:
    """The edges without those whose rules bound no place, such as a rule above a sum."""
    return [
        edge
        for edge in edges
        if edge in (edges[0], edges[-1])
        or any(is_bounded(rules, edge, start, end, unit) for start, end in pairwise(crossing))
    ]


def _table(across: list[Segment], down: list[Segment], lines: Sequence[Line], unit: float) -> RuledTable | None:
    if not across or not down:
        return None
    xs, ys = _edges(sorted(down, key=lambda s: s.at), across, unit), _edges(across, down, unit)
    xs, ys = _bounding(xs, ys, down, unit), _bounding(ys, xs, across, unit)
    columns, rows = len(xs) - 1, len(ys) - 1
    if rows < _MIN_ROWS or columns < _MIN_COLUMNS or rows * columns > _MAX_PLACES:
        return None
    box = (xs[0], ys[0], xs[-1], ys[-1])
    inside = sorted((line for line in lines if _is_in(_middle(_rect(line)), box)), key=lambda line: _rect(line)[1::-1])
    between, beside = rules_between_rows(inside, (xs, ys), (across, down), unit)
    if between:
        across, down = sorted([*across, *between], key=lambda s: s.at), [*down, *beside]
        ys = _edges(across, down, unit)
        rows = len(ys) - 1
    if _has_rows_without_rules(inside, xs, ys):
        return None
    spans = _spans(xs, ys, across, down, unit)
    texts = _texts(inside, xs, ys)
    cells = []
    for (row, column), (row_span, column_span) in sorted(spans.items()):
        places = product(range(row, row + row_span), range(column, column + column_span))
        text = _joined(word for _, word in sorted(part for place in places for part in texts.get(place, ())))
        cells.append(
            Cell(
                row=row,
                column=column,
                text=text,
                row_span=row_span,
                column_span=column_span,
                box=(xs[column], ys[row], xs[column + column_span], ys[row + row_span]),
            )
        )
    return RuledTable(box=box, cells=tuple(cells), lines=tuple(inside)) if _is_table(cells) else None


def _has_rows_without_rules(inside: Sequence[Line], xs: Sequence[float], ys: Sequence[float]) -> bool:
    """Whether far more rows of text than of the grid go across its columns: rules then part only the columns."""
    across = [0] * (len(ys) + 1)
    for row in text_rows(level(inside)):
        band = bisect_right(ys, sum(box.middle for box in row) / len(row))
        across[band] += len({bisect_right(xs, (box.left + box.right) / 2) for box in row}) >= 2
    return sum(across) > _MAX_ROWS_IN_ONE * (len(ys) - 1) or max(across) > _MAX_ROWS_IN_A_ROW


def _is_table(cells: Sequence[Cell]) -> bool:
    filled = [cell for cell in cells if cell.text]
    if len(filled) < max(_MIN_FILLED, _MIN_FILLED_SHARE * len(cells)):
        return False
    if len({cell.row for cell in filled}) < _MIN_ROWS or len({cell.column for cell in filled}) < _MIN_COLUMNS:
        return False
    longest, total = max(len(cell.text) for cell in filled), sum(len(cell.text) for cell in filled)
    return longest < _PROSE_CHARACTERS or longest < _PROSE_SHARE * total


def _spans(
    xs: Sequence[float], ys: Sequence[float], across: Sequence[Segment], down: Sequence[Segment], unit: float
) -> dict[tuple[int, int], tuple[int, int]]:
    """The cells by their first place: how many rows and columns each covers."""
    rows, columns = len(ys) - 1, len(xs) - 1
    owner = {place: place for place in product(range(rows), range(columns))}

    def root(place: tuple[int, int]) -> tuple[int, int]:
        while owner[place] != place:
            place = owner[place]
        return place

    for row, column in product(range(rows), range(columns)):
        if column + 1 < columns and not is_bounded(down, xs[column + 1], ys[row], ys[row + 1], unit):
            owner[max(root((row, column)), root((row, column + 1)))] = min(root((row, column)), root((row, column + 1)))
        if row + 1 < rows and not is_bounded(across, ys[row + 1], xs[column], xs[column + 1], unit):
            owner[max(root((row, column)), root((row + 1, column)))] = min(root((row, column)), root((row + 1, column)))
    places: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
    for place in owner:
        places[root(place)].append(place)
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    for group in places.values():
        top, left = min(row for row, _ in group), min(column for _, column in group)
        height, width = max(row for row, _ in group) - top + 1, max(column for _, column in group) - left + 1
        if height * width == len(group):
            spans[top, left] = (height, width)
        else:  # rules that are missing here and there leave no rectangle: every place is a cell
            spans.update(dict.fromkeys(group, (1, 1)))
    return spans


def _texts(
    lines: Sequence[Line], xs: Sequence[float], ys: Sequence[float]
) -> dict[tuple[int, int], list[tuple[int, str]]]:
    """The words by the place in which they stand, each with its number in reading order."""
    found: dict[tuple[int, int], list[tuple[int, str]]] = defaultdict(list)
    words = (part for line in lines for part in ([(w.text, w.box) for w in line.words] or [(line.text, _rect(line))]))
    for number, (text, rect) in enumerate(words):
        x, y = _middle(rect)
        column = min(max(bisect_right(xs, x) - 1, 0), len(xs) - 2)
        row = min(max(bisect_right(ys, y) - 1, 0), len(ys) - 2)
        found[row, column].append((number, text))
    return found


def _joined(words: Iterable[str]) -> str:
    """The words with spaces between them, except between characters of scripts that have none."""
    text = ""
    for word in words:
        dense = text and _is_dense(text[-1]) and _is_dense(word[0])
        text += word if dense or not text else f" {word}"
    return text


def _is_dense(character: str) -> bool:
    """Whether the script is Chinese or Japanese, which set no spaces."""
    return "\u3000" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff" or "\uff00" <= character <= "\uffef"


def _rect(line: Line) -> Rect:
    xs, ys = [x for x, _ in line.box], [y for _, y in line.box]
    return min(xs), min(ys), max(xs), max(ys)


def _middle(rect: Rect) -> tuple[float, float]:
    return (rect[0] + rect[2]) / 2, (rect[1] + rect[3]) / 2


def _is_in(point: tuple[float, float], box: Rect) -> bool:
    return box[0] <= point[0] <= box[2] and box[1] <= point[1] <= box[3]
