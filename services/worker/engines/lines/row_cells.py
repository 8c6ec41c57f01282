"""The cells of one row: its boxes by the columns over which they reach.

Lengths are in units of the body text's height, so that they hold at any DPI.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from libs.page.block import Word
from services.worker.engines.lines.columns import CURRENCIES, Extent
from services.worker.engines.lines.line_box import LineBox, Row, characters_of
from services.worker.engines.lines.order import rows as rows_of

# Space between two words at least, in heights of their line, where they are the texts of two columns. Chosen: the words
# of a line stand half as far from each other.
_MIN_SPACE = 0.35
# Least overlap of a box with a column it covers, as a share of the narrower of both.
_MIN_OVERLAP = 0.3


class RowCell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell of one row; an empty one has no boxes."""

    boxes: tuple[LineBox, ...] = ()
    #: Columns that the cell reaches over.
    span: int = 1

    @property
    def text(self) -> str:
        """The texts of the boxes, line by line from left to right; a currency stands before its number."""
        parts = [box.line.text for row in rows_of(self.boxes) for box in row]
        return "".join(part if part in CURRENCIES else f"{part} " for part in parts).removesuffix(" ")


def filled(row: Sequence[RowCell]) -> int:
    """How many of the cells have text."""
    return sum(1 for cell in row if cell.text)


def row_cells(row: Row, columns: Sequence[Extent]) -> tuple[RowCell, ...]:
    """The cells of a row; they cover all columns. Boxes that reach over the same column are one cell."""
    spans: list[tuple[int, int, list[LineBox]]] = []
    for box in (part for whole in row for part in _parts(whole, columns)):
        covered = [i for i, column in enumerate(columns) if _covers(box, column)]
        nearest = min(range(len(columns)), key=lambda i: _distance(box, columns[i]))
        first, last = (covered[0], covered[-1]) if covered else (nearest, nearest)
        if spans and first <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], last), [*spans[-1][2], box])
        else:
            spans.append((first, last, [box]))
    found: list[RowCell] = []
    at = 0
    for first, last, boxes in spans:
        found.extend(RowCell() for _ in range(first - at))
        found.append(RowCell(boxes=tuple(boxes), span=last - first + 1))
        at = last + 1
    found.extend(RowCell() for _ in range(len(columns) - at))
    return tuple(found)


def _parts(box: LineBox, columns: Sequence[Extent]) -> list[LineBox]:
    """The box, cut between two columns where its words stand as far from each other as the texts of columns do."""
    words = box.line.words
    ends = [(a[1] + b[0]) / 2 for a, b in pairwise(columns) if box.left < a[1] and b[0] < box.right]
    if len(words) < 2 or not ends:
        return [box]
    parts = [[words[0]]]
    for before, word in pairwise(words):
        is_wide = word.box[0] - before.box[2] >= _MIN_SPACE * box.height
        if is_wide and any(before.box[2] <= end <= word.box[0] for end in ends):
            parts.append([word])
        else:
            parts[-1].append(word)
    return [_part(box, part) for part in parts] if len(parts) > 1 else [box]


def _part(box: LineBox, words: Sequence[Word]) -> LineBox:
    left, right = words[0].box[0], words[-1].box[2]
    top, bottom = box.line.box[0][1], box.line.box[2][1]
    line = msgspec.structs.replace(
        box.line,
        text=" ".join(word.text for word in words),
        box=((left, top), (right, top), (right, bottom), (left, bottom)),
        words=tuple(words),
    )
    return msgspec.structs.replace(box, line=line, left=left, right=right, characters=characters_of(line.text))


def _covers(box: LineBox, column: Extent) -> bool:
    overlap = min(box.right, column[1]) - max(box.left, column[0])
    return overlap > _MIN_OVERLAP * min(box.width, column[1] - column[0])


def _distance(box: LineBox, column: Extent) -> float:
    middle = (box.left + box.right) / 2
    return max(column[0] - middle, middle - column[1], 0.0)
