"""Running heads, running feet and page numbers: what belongs to the sheet and stands apart from the text.

From one page alone only signs tell them: a page number in the line, a rule or a wide gap between it and the text, three
short texts at the left, in the middle and at the right. What has none of them stays in the text: hiding words of the
text would be worse.
"""

import re
from collections.abc import Collection, Sequence
from itertools import pairwise
from statistics import median

import msgspec

from libs.page.block import Block, BlockKind, Line, Rect, enclosing, mean_confidence
from services.worker.engines.lines.block import body_height
from services.worker.engines.lines.kind import is_caption
from services.worker.engines.lines.line_box import LineBox, Row, level
from services.worker.engines.lines.order import rows
from services.worker.engines.lines.page_reader import PageLines

# Lines on a page below which it is no page of text: a receipt or a label may end in a number.
_MIN_LINES = 10
# Lines above which a number in a corner beyond all text is a page number, as on a slide.
_MIN_SLIDE_LINES = 4
# Share of the page's height, at its top and at its foot, in which running heads and page numbers stand. Chosen: the
# margins of a printed page, and room for a scan that is cut close to the text.
_MARGIN = 0.12
# The same for lines without a number. Chosen: less than a margin of 2 cm on A4, below which the text may begin.
_OUTER_MARGIN = 0.08
# Rows at the top and at the foot that are looked at.
_MAX_ROWS = 3
# Rows of the text beside them that show its steps.
_NEAR_ROWS = 5
# Space to the text, in usual steps from row to row: wider than between lines, as above a new paragraph. Without a
# number: wider than an empty line, which leaves two steps.
_APART, _FAR_APART = 1.45, 2.5
# Height of the row at most, in heights of the text beside it: a chapter's number is larger. With neither a number nor a
# rule, in heights of the body text: a title is larger.
_MAX_HEIGHT, _MAX_SMALL_HEIGHT = 1.35, 1.25
# Characters of one text of the row at most. Chosen: a line of text is longer.
_MAX_CHARACTERS = 100
# Letters of a row without a number at least: less is a sum or a mark.
_MIN_LETTERS = 3
# Boxes in the row at most: more are cells of a table.
_MAX_BOXES = 3
# Share of the text's width that a rule between the row and the text covers.
_RULE_COVER = 0.6
# By how much a text that stands in the middle, or at a margin, may be off it, as a share of the text's width.
_OFF_CENTRE = 0.05
# Length of a line that runs up or down, in its heights, from which it is one.
_SIDEWAYS = 5.0

_NUMBER = re.compile(
    r"[-–—\[(|.]*\s*(?:(?:page|seite|p\.|s\.)\s*)?(?:\d{1,4}|[ivxl]{2,7})"
    r"(?:\s*(?:of|von|sur|de|/)\s*\d{1,4})?\s*[-–—\])|.]*",
    re.IGNORECASE,
)
# A sum of money: a row with one and without a page number is one of a bill.
_AMOUNT = re.compile(r"[-+$€£]?\s*\d[\d.,' ]*[.,]\d\d(?:\s*(?:€|EUR|USD|CR|D|-))?")
_CAPITALS = r"[^\W\d_a-z][^\d_a-z]{2,}"
_NUMBER_AND_HEAD = re.compile(rf"\d{{1,4}}[\s.]+{_CAPITALS}|{_CAPITALS}\s\d{{1,4}}")


class RunningLines(msgspec.Struct, frozen=True, kw_only=True):
    """The blocks at the edges of a page, and the lines between them."""

    head: tuple[Block, ...]
    text: tuple[Line, ...]
    foot: tuple[Block, ...]


def set_apart(page: PageLines, taken: Collection[int] = frozenset()) -> RunningLines:
    """The page's lines, with running heads, running feet and page numbers set apart. Boxes stay as they are.

    `taken` has the `id` of each line of a table: they are text, and left out of what is returned.
    """
    if len(page.lines) < _MIN_SLIDE_LINES:
        return RunningLines(head=(), text=tuple(line for line in page.lines if id(line) not in taken), foot=())
    boxes = level(page.lines)
    beside = [box for box in _beside_the_text(boxes) if id(box.line) not in taken]
    ordered = rows([box for box in boxes if box not in beside])
    sheet = _Sheet(
        ordered=ordered,
        text=frozenset(taken),
        rules=page.rules,
        height=page.pose.size()[1],
        body=body_height(boxes),
        step=median([_middle(b) - _middle(a) for a, b in pairwise(ordered)] or [0.0]),
    )
    head = [_block(BlockKind.PAGE_HEADER, (box,)) for box in beside]
    foot: list[Block] = []
    if len(page.lines) >= _MIN_LINES:
        count = _outer_rows(sheet, foot=False)
        for row in ordered[:count]:
            head.extend(_blocks(row, BlockKind.PAGE_HEADER))
        count = min(_outer_rows(sheet, foot=True), len(ordered) - count)
        for row in ordered[len(ordered) - count :]:
            foot.extend(_blocks(row, BlockKind.PAGE_FOOTER))
    if not foot and (number := _corner_number(sheet)) is not None:
        foot.append(_block(BlockKind.PAGE_NUMBER, (number,)))
    apart = {id(line) for block in (*head, *foot) for line in block.lines}
    text = tuple(line for line in page.lines if id(line) not in apart and id(line) not in taken)
    return RunningLines(head=tuple(head), text=text, foot=tuple(foot))


class _Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """A page as its rows from top to bottom. Lengths are in pixels."""

    ordered: tuple[Row, ...]
    #: The `id` of each line that is certainly text.
    text: frozenset[int]
    rules: tuple[Rect, ...]
    height: float
    #: Height of the body text.
    body: float
    #: The usual one from row to row.
    step: float

    @property
    def left(self) -> float:
        """Left edge of all text."""
        return min(row[0].left for row in self.ordered)

    @property
    def right(self) -> float:
        """Right edge of all text."""
        return max(row[-1].right for row in self.ordered)


def _beside_the_text(boxes: Sequence[LineBox]) -> list[LineBox]:
    """Lines that run up or down the page in a margin, such as the stamp of an archive.

    A stamp has a number or a date in it; the label of an axis, which is text, seldom has.
    """
    upright = [box for box in boxes if box.height > _SIDEWAYS * box.width]
    across = [box for box in boxes if box.height <= _SIDEWAYS * box.width]
    if len(across) < _MIN_SLIDE_LINES:
        return []
    left, right = min(box.left for box in across), max(box.right for box in across)
    beside = (box for box in upright if box.right < left or box.left > right)
    return [box for box in beside if any(character.isdigit() for character in box.line.text)]


def _outer_rows(sheet: _Sheet, *, foot: bool) -> int:
    """How many rows at the top, or at the foot, are no text."""
    ordered = sheet.ordered[::-1] if foot else sheet.ordered
    count = 0
    for at in range(min(_MAX_ROWS, len(ordered) - 1)):
        # Rows that stand apart from the text only together are taken together.
        if _is_outer(sheet, ordered[at + 1 : at + 1 + _NEAR_ROWS], ordered[count : at + 1], foot=foot):
            count = at + 1
    return count


def _is_outer(sheet: _Sheet, text: Sequence[Row], group: Sequence[Row], *, foot: bool) -> bool:
    """Whether the rows of the group are no text; `text` are the rows beside it, the nearest first."""
    row, beside = group[-1], text[0]
    if _gap(sheet, row, beside) <= _APART and not _is_in_place(sheet, row, text):
        return False
    ruled = _has_rule_between(sheet, row, beside)
    tallest = max(sheet.body, max(box.height for box in beside))
    return all(_is_running(sheet, one, _gap(sheet, one, beside), tallest, ruled=ruled, foot=foot) for one in group)


def _is_in_place(sheet: _Sheet, row: Row, text: Sequence[Row]) -> bool:
    """Whether it is a number alone in the middle, or three texts across the sheet: they need less space to the text."""
    if len(row) == 1:
        return _is_centred(sheet, row[0]) and _NUMBER.fullmatch(row[0].line.text) is not None
    near = [abs(_middle(b) - _middle(a)) for a, b in pairwise(text)]
    step = min(sheet.step, median(near)) if near else sheet.step
    return _is_spread(sheet, row) and abs(_middle(row) - _middle(text[0])) > _APART * step


def _is_running(sheet: _Sheet, row: Row, gap: float, text_height: float, *, ruled: bool, foot: bool) -> bool:
    distance = sheet.height - _middle(row) if foot else _middle(row)
    height = max(box.height for box in row)
    if len(row) > _MAX_BOXES or any(box.characters > _MAX_CHARACTERS for box in row):
        return False
    if is_caption(row[0].line.text) or any(id(box.line) in sheet.text for box in row):
        return False
    if any(_NUMBER.fullmatch(box.line.text) for box in (row[0], row[-1])) or _is_number_and_head(row):
        below_all = len(row) == 1 and foot and gap > _APART and _is_centred(sheet, row[0])
        is_placed = distance < _MARGIN * sheet.height or below_all
        return is_placed and height <= _MAX_HEIGHT * text_height
    if any(_AMOUNT.fullmatch(box.line.text) for box in row):
        return False
    if sum(character.isalpha() for box in row for character in box.line.text) < _MIN_LETTERS:
        return False
    if _is_spread(sheet, row):
        return distance < _MARGIN * sheet.height and height <= _MAX_HEIGHT * text_height
    if foot and ruled and gap >= _FAR_APART and len(row) == 1:
        return height <= _MAX_HEIGHT * text_height
    if distance >= _OUTER_MARGIN * sheet.height:
        return False
    if ruled:
        return height <= _MAX_HEIGHT * text_height
    return gap >= _FAR_APART and height <= _MAX_SMALL_HEIGHT * sheet.body


def _is_number_and_head(row: Row) -> bool:
    return len(row) == 1 and _NUMBER_AND_HEAD.fullmatch(row[0].line.text) is not None


def _is_centred(sheet: _Sheet, box: LineBox) -> bool:
    off = abs((box.left + box.right) / 2 - (sheet.left + sheet.right) / 2)
    return off <= _OFF_CENTRE * (sheet.right - sheet.left)


def _is_spread(sheet: _Sheet, row: Row) -> bool:
    """Whether the row has a text at each margin and one in the middle."""
    near = _OFF_CENTRE * (sheet.right - sheet.left)
    return (
        len(row) == 3
        and row[0].left - sheet.left <= near
        and sheet.right - row[2].right <= near
        and _is_centred(sheet, row[1])
    )


def _corner_number(sheet: _Sheet) -> LineBox | None:
    """The number at the page's foot that stands beyond all other text; None where there is none."""
    for row in sheet.ordered[-_MAX_ROWS:]:
        for box in (row[0], row[-1]):
            others = [other for one in sheet.ordered for other in one if other is not box]
            if not others or id(box.line) in sheet.text or not _NUMBER.fullmatch(box.line.text):
                continue
            beyond = box.left > max(other.right for other in others) or box.right < min(other.left for other in others)
            if beyond and sheet.height - box.middle < _MARGIN * sheet.height:
                return box
    return None


def _middle(row: Row) -> float:
    return sum(box.middle for box in row) / len(row)


def _gap(sheet: _Sheet, row: Row, beside: Row) -> float:
    """The step between two rows, in usual steps."""
    # In columns that are not level the steps between rows are short: a line's height counts as the least.
    usual = max(sheet.step, max(box.height for box in beside))
    return abs(_middle(row) - _middle(beside)) / usual


def _has_rule_between(sheet: _Sheet, row: Row, beside: Row) -> bool:
    """Whether a drawn rule as wide as the text stands between two rows."""
    above, below = sorted((_middle(row), _middle(beside)))
    covered = [
        min(right, sheet.right) - max(left, sheet.left)
        for left, top, right, bottom in sheet.rules
        if right - left > bottom - top and above < (top + bottom) / 2 < below
    ]
    return max(covered, default=0.0) >= _RULE_COVER * (sheet.right - sheet.left)


def _blocks(row: Row, kind: BlockKind) -> tuple[Block, ...]:
    """The blocks of the row: its page numbers, and the texts between them."""
    found: list[Block] = []
    text: list[LineBox] = []
    for box in row:
        if _NUMBER.fullmatch(box.line.text):
            if text:
                found.append(_block(kind, text))
                text = []
            found.append(_block(BlockKind.PAGE_NUMBER, (box,)))
        else:
            text.append(box)
    if text:
        found.append(_block(kind, text))
    return tuple(found)


def _block(kind: BlockKind, boxes: Sequence[LineBox]) -> Block:
    lines = tuple(box.line for box in boxes)
    text = " ".join(line.text for line in lines)
    return Block(kind=kind, text=text, box=enclosing(lines), confidence=mean_confidence(lines), lines=lines)
