"""Running heads, running feet and page numbers: what belongs to the sheet and stands apart from the text.

From one page alone only that is certain which has a page number in it. A running head without one stays in the text:
hiding words of the text would be worse.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

import msgspec

from libs.page.block import Block, BlockKind, Line, enclosing, mean_confidence
from services.worker.engines.lines.block import body_height
from services.worker.engines.lines.line_box import LineBox, Row, level
from services.worker.engines.lines.order import rows
from services.worker.engines.lines.page_reader import PageLines

# Lines on a page below which it is no page of text: a receipt or a label may end in a number.
_MIN_LINES = 10
# Share of the page's height, at its top and at its foot, in which running heads and page numbers stand. Chosen: the
# margins of a printed page, and room for a scan that is cut close to the text.
_MARGIN = 0.12
# Space to the text, in usual steps from row to row: wider than between lines, as above a new paragraph.
_APART = 1.45
# Height of the row at most, in heights of the body text: a chapter's number is larger.
_MAX_HEIGHT = 1.35
# Characters of a running head beside the number at most. Chosen: a line of text is longer.
_MAX_CHARACTERS = 80
# Boxes in the row at most: more are cells of a table.
_MAX_BOXES = 3

_NUMBER = re.compile(
    r"[-–—\[(|.]*\s*(?:(?:page|seite|p\.|s\.)\s*)?(?:\d{1,4}|[ivxl]{2,7})"
    r"(?:\s*(?:of|von|sur|de|/)\s*\d{1,4})?\s*[-–—\])|.]*",
    re.IGNORECASE,
)
_CAPITALS = r"[^\W\d_a-z][^\d_a-z]{2,}"
_NUMBER_AND_HEAD = re.compile(rf"\d{{1,4}}[\s.]+{_CAPITALS}|{_CAPITALS}\s\d{{1,4}}")


class RunningLines(msgspec.Struct, frozen=True, kw_only=True):
    """The blocks at the top and at the foot of a page, and the lines between them."""

    head: tuple[Block, ...]
    text: tuple[Line, ...]
    foot: tuple[Block, ...]


def set_apart(page: PageLines) -> RunningLines:
    """The page's lines, with running heads, running feet and page numbers set apart. Boxes stay as they are."""
    if len(page.lines) < _MIN_LINES:
        return RunningLines(head=(), text=page.lines, foot=())
    boxes = level(page.lines)
    ordered, body = rows(boxes), body_height(boxes)
    height = page.pose.size()[1]
    head: tuple[Block, ...] = ()
    foot: tuple[Block, ...] = ()
    if _middle(ordered[0]) < _MARGIN * height and _is_apart(ordered, 0, 1):
        head = _blocks(ordered[0], body, BlockKind.PAGE_HEADER)
    if _middle(ordered[-1]) > (1 - _MARGIN) * height and _is_apart(ordered, -1, -2):
        foot = _blocks(ordered[-1], body, BlockKind.PAGE_FOOTER)
    taken = {id(line) for block in (*head, *foot) for line in block.lines}
    text = tuple(line for line in page.lines if id(line) not in taken)
    return RunningLines(head=head, text=text, foot=foot)


def _middle(row: Row) -> float:
    return sum(box.middle for box in row) / len(row)


def _is_apart(ordered: Sequence[Row], at: int, beside: int) -> bool:
    """Whether more space than usual is between these two rows."""
    steps = [_middle(b) - _middle(a) for a, b in pairwise(ordered)]
    step = abs(_middle(ordered[at]) - _middle(ordered[beside]))
    # In columns that are not level the steps between rows are short: a line's height counts as the least.
    usual = max(median(steps), max(box.height for box in ordered[beside]))
    return step > _APART * usual


def _blocks(row: Row, body: float, kind: BlockKind) -> tuple[Block, ...]:
    """The blocks of the row where it has a page number at one of its ends, else none."""
    if len(row) > _MAX_BOXES or max(box.height for box in row) > _MAX_HEIGHT * body:
        return ()
    if sum(len(box.line.text) for box in row) > _MAX_CHARACTERS:
        return ()
    if len(row) == 1 and _NUMBER_AND_HEAD.fullmatch(row[0].line.text):
        return (_block(kind, row),)
    if _NUMBER.fullmatch(row[0].line.text):
        number, rest = row[:1], row[1:]
    elif _NUMBER.fullmatch(row[-1].line.text):
        number, rest = row[-1:], row[:-1]
    else:
        return ()
    found = (_block(BlockKind.PAGE_NUMBER, number),)
    if not rest:
        return found
    return (*found, _block(kind, rest)) if number == row[:1] else (_block(kind, rest), *found)


def _block(kind: BlockKind, boxes: Sequence[LineBox]) -> Block:
    lines = tuple(box.line for box in boxes)
    text = " ".join(line.text for line in lines)
    return Block(kind=kind, text=text, box=enclosing(lines), confidence=mean_confidence(lines), lines=lines)
