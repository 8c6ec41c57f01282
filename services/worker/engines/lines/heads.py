"""Texts that head several columns of a table, or all of its rows below: they stand in the middle of what they head.

Lengths are in units of the body text's height, so that they hold at any DPI.
"""

from collections.abc import Sequence
from itertools import pairwise

from services.worker.engines.lines.columns import Extent
from services.worker.engines.lines.line_box import LineBox, Row, middle_of
from services.worker.engines.lines.row_cells import RowCell

# By how much a text may be off the middle of its columns: in body heights, or as a share of their width.
_OFF_CENTRE, _OFF_CENTRE_SHARE = 1.0, 0.05
# By how much the edge of a text may be off that of its column. Chosen: a cell begins or ends with its column, a title
# in the middle of the table does so by chance.
_OFF_EDGE = 0.5
# Step from a text to what it heads at most.
_MAX_STEP = 2.0
#: Characters of such a text at most: more are a line of text.
MAX_CHARACTERS = 60


def head_columns(rows: Sequence[Row], columns: Sequence[Extent], body: float) -> bool:
    """Whether all rows but the last, which begins the table, stand close above it in the middle of several columns."""
    for row, below in pairwise(rows):
        if middle_of(below) - middle_of(row) > _MAX_STEP * body or row[0].characters > MAX_CHARACTERS:
            return False
        if centred(row, columns, body) is None:
            return False
    return True


def is_title(row: Row, columns: Sequence[Extent], body: float) -> bool:
    """Whether a text is alone in its row and in no column, as the title of the rows below it is."""
    return len(row) == 1 and not any(
        (left - body <= row[0].left and row[0].right <= right + body)
        and (len(columns) > 2 or _keeps_edge(row[0], (left, right), body))
        for left, right in columns
    )


def centred(
    row: Row, columns: Sequence[Extent], body: float, *, whole: Extent | None = None
) -> tuple[RowCell, ...] | None:
    """The cells of a row whose texts stand in the middle of several columns each, but for the first column; else None.

    The columns of a text end halfway to the middle of the next. A text may also stand in the middle of all columns, if
    `whole`, the left and right edge of the table's text, is given.
    """
    own, heads = (row[:1], row[1:]) if len(row) > 1 and row[0].left < columns[0][1] else ((), row)
    if not heads or (len(heads) >= len(columns) - 1 and (len(heads) > 1 or not is_title(row, columns, body))):
        return None
    if whole and not own and len(heads) == 1 and len(columns) == 2:
        # The two columns may be narrower than most of their texts.
        is_centred = abs(heads[0].left + heads[0].right - sum(whole)) / 2 <= _OFF_CENTRE * body
        return (RowCell(boxes=(heads[0],), span=2),) if is_centred else None
    for first in (1, 0) if whole and not own else (1,):
        middles = [(box.left + box.right) / 2 for box in heads]
        ends = [(a + b) / 2 for a, b in pairwise(middles)]
        begin = columns[first][0] if len(heads) == 1 else 2 * middles[0] - ends[0]
        found: list[RowCell] = [RowCell(boxes=own)] if own else []
        column = len(found)
        for box, middle, start, end in zip(heads, middles, [begin, *ends], [*ends, columns[-1][1]], strict=True):
            covered = [at for at in range(column, len(columns)) if start <= sum(columns[at]) / 2 <= end]
            if len(covered) < 2:
                break
            left, right = columns[covered[0]][0], columns[covered[-1]][1]
            if abs(middle - (left + right) / 2) > max(_OFF_CENTRE * body, _OFF_CENTRE_SHARE * (right - left)):
                break
            found.extend(RowCell() for _ in range(covered[0] - column))
            found.append(RowCell(boxes=(box,), span=len(covered)))
            column = covered[-1] + 1
        else:
            return (*found, *(RowCell() for _ in range(len(columns) - column)))
    return None


def _keeps_edge(box: LineBox, column: Extent, body: float) -> bool:
    """Whether a text begins or ends where its column does."""
    return min(abs(box.left - column[0]), abs(box.right - column[1])) <= _OFF_EDGE * body
