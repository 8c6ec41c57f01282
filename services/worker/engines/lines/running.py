"""Running heads, running feet and page numbers: what belongs to the sheet and stands apart from the text.

From one page alone only signs tell them: a page number in the line, a rule or a wide gap between it and the text, three
short texts at the left, in the middle and at the right. What has none of them stays in the text, and so does what may
as well be an item, a cell, a heading with its number or a signature: hiding words of the text would be worse.
"""

import re
from collections.abc import Collection, Sequence
from itertools import pairwise
from statistics import median

import msgspec

from libs.page.block import Block, BlockKind, Line, Rect, enclosing, mean_confidence
from services.worker.engines.lines.block import body_height
from services.worker.engines.lines.kind import is_caption
from services.worker.engines.lines.line_box import LineBox, Row, level, middle_of
from services.worker.engines.lines.order import rows
from services.worker.engines.lines.page_reader import PageLines

# Lines on a page below which it is no page of text: a receipt or a label may end in a number.
_MIN_LINES = 10
# Lines above which a number in a corner beyond all text is a page number, as on a slide.
_MIN_SLIDE_LINES = 4
# Share of the page's height, at its top and at its foot, in which running heads and page numbers stand. Chosen: the
# margins of a printed page, and room for a scan that is cut close to the text.
_MARGIN = 0.12
# The same for lines without a number, and at the sides for lines that run up or down. Chosen: less than a margin of
# 2 cm on A4, beyond which the text may begin.
_OUTER_MARGIN = 0.065
# The same for lines in which nothing says what they are. Chosen: text is set 1 cm from the edge at least, and what
# browsers print on a page stands nearer to it.
_EDGE = 0.03
# Characters of a page's usual line from which it is a page of prose, and the share of the text's width from which a row
# is a line of it. Chosen: lines of a title page, a poster or a receipt are shorter, and so is what closes a letter.
_MIN_PROSE_CHARACTERS = 24
_MIN_LINE_SHARE = 0.4
# Space between a number and the text beside it, in heights, below which it is the number of that text: of a heading or
# of an item. Chosen: wider than a tab behind a number, narrower than from a page number to a running head.
_OWN_NUMBER = 2.5
# Rows at the top and at the foot that are looked at.
_MAX_ROWS = 3
# Rows of the text beside them that show its steps.
_NEAR_ROWS = 5
# Space to the text, in usual steps from row to row: wider than between lines, as above a new paragraph. Without a
# number, and with one in the text that may as well be a heading's: wider than an empty line, which leaves two steps.
_APART, _FAR_APART = 1.45, 2.5
# The same from a list or a table to one more item or row of cells at most.
_MAX_CELL_STEP = 5.0
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
    r"[-–—－\[(|.]*\s*(?:(?:page|seite|p\.|s\.)\s*)?(?:\d{1,4}|[ivxl]{2,7}|(?-i:[ivx]))"
    r"(?:\s*(?:of|von|sur|de|/)\s*\d{1,4})?\s*[-–—－\])|.]*",
    re.IGNORECASE,
)
# What browsers print below a page of the web.
_PAGE_OF_PAGES = re.compile(r"\(\d{1,4} (?:of|von|sur|de) \d{1,4}\)")
# A sum of money: a row with one and without a page number is one of a bill.
_AMOUNT = re.compile(r"[-+$€£]?\s*\d[\d.,' ]*[.,]\d\d(?:\s*(?:€|EUR|USD|CR|D|-))?")
# What stands alone below the title of a book more often than below a page.
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")
_BEGINS_ITEM = re.compile(r"[(\[]?\d{1,3}[.)\]]\s")
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
    width, height = page.pose.size()
    beside = [box for box in _beside_the_text(boxes, width) if id(box.line) not in taken]
    ordered = rows([box for box in boxes if box not in beside])
    sheet = _Sheet(
        ordered=ordered,
        text=frozenset(taken),
        rules=page.rules,
        width=width,
        height=height,
        body=body_height(boxes),
        step=median([middle_of(b) - middle_of(a) for a, b in pairwise(ordered)] or [0.0]),
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
    width: float
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

    @property
    def is_prose(self) -> bool:
        """Whether most lines are as long as those of prose."""
        return median(box.characters for row in self.ordered for box in row) >= _MIN_PROSE_CHARACTERS


def _beside_the_text(boxes: Sequence[LineBox], width: float) -> list[LineBox]:
    """Lines that run up or down the page in a margin, such as the stamp of an archive; the page is `width` pixels wide.

    A stamp has a number or a date in it; the label of an axis, which is text, seldom has.
    """
    upright = [box for box in boxes if box.height > _SIDEWAYS * box.width]
    across = [box for box in boxes if box.height <= _SIDEWAYS * box.width]
    if len(across) < _MIN_SLIDE_LINES:
        return []
    left, right = min(box.left for box in across), max(box.right for box in across)
    margin = _OUTER_MARGIN * width
    beside = (
        box
        for box in upright
        if (box.right < left and box.left < margin) or (box.left > right and box.right > width - margin)
    )
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
    if _gap(sheet, row, beside) <= _MAX_CELL_STEP and any(_continues(one, text) for one in group):
        return False
    ruled = _has_rule_between(sheet, row, beside)
    return all(_is_running(sheet, one, beside, ruled=ruled, foot=foot) for one in group)


def _continues(row: Row, text: Sequence[Row]) -> bool:
    """Whether the row is one more of those beside it: an item of a list, or cells below those of a table."""
    first, last = row[0], row[-1]
    others = [box for one in text for box in one]
    if _is_number(first) and any(
        abs(box.left - first.left) <= first.height and (_is_figure(box) or _BEGINS_ITEM.match(box.line.text))
        for box in others
    ):
        return True
    if _is_number(last):
        return any(abs(box.right - last.right) <= last.height and _is_figure(box) for box in others)
    cells = [box for box in text[0] if box.characters < _MIN_PROSE_CHARACTERS]
    return len(row) > 1 and all(any(_are_in_line(box, cell) for cell in cells) for box in row)


def _is_number(box: LineBox) -> bool:
    return _NUMBER.fullmatch(box.line.text) is not None


def _is_figure(box: LineBox) -> bool:
    """Whether it is a number of any kind."""
    text = box.line.text
    return any(map(str.isdigit, text)) and not any(map(str.isalpha, text))


def _are_in_line(box: LineBox, other: LineBox) -> bool:
    """Whether one stands above the other."""
    return min(box.right, other.right) > max(box.left, other.left)


def _is_in_place(sheet: _Sheet, row: Row, text: Sequence[Row]) -> bool:
    """Whether it is a number alone in the middle, or three texts across the sheet: they need less space to the text."""
    if len(row) == 1:
        return _is_centred(sheet, row[0]) and _is_number(row[0])
    near = [abs(middle_of(b) - middle_of(a)) for a, b in pairwise(text)]
    step = min(sheet.step, median(near)) if near else sheet.step
    return _is_spread(sheet, row) and abs(middle_of(row) - middle_of(text[0])) > _APART * step


def _is_running(sheet: _Sheet, row: Row, beside: Row, *, ruled: bool, foot: bool) -> bool:
    """Whether the row is a running head or foot, or a page number; `beside` is the nearest row of the text."""
    distance, gap = sheet.height - middle_of(row) if foot else middle_of(row), _gap(sheet, row, beside)
    height = max(box.height for box in row)
    is_low = height <= _MAX_HEIGHT * max(sheet.body, max(box.height for box in beside))
    if len(row) > _MAX_BOXES or any(box.characters > _MAX_CHARACTERS for box in row):
        return False
    if is_caption(row[0].line.text) or any(id(box.line) in sheet.text for box in row):
        return False
    if _has_page_number(row, gap):
        below_all = len(row) == 1 and foot and gap > _APART and _is_centred(sheet, row[0])
        return is_low and (distance < _MARGIN * sheet.height or below_all)
    if any(_AMOUNT.fullmatch(box.line.text) for box in row):
        return False
    if sum(character.isalpha() for box in row for character in box.line.text) < _MIN_LETTERS:
        return False
    if _is_spread(sheet, row):
        return is_low and distance < _MARGIN * sheet.height
    if ruled:
        below_rule = foot and gap >= _FAR_APART and len(row) == 1
        return is_low and (distance < _OUTER_MARGIN * sheet.height or below_rule)
    if distance < _EDGE * sheet.height and height <= sheet.body:
        return True
    return (
        distance < _OUTER_MARGIN * sheet.height
        and gap >= _FAR_APART
        and height <= _MAX_SMALL_HEIGHT * sheet.body
        and sheet.is_prose
        and (not foot or _is_line(sheet, beside))
    )


def _has_page_number(row: Row, gap: float) -> bool:
    """Whether a page number begins or ends the row; that of a heading, an item or a year is none."""
    if len(row) == 1:
        text = row[0].line.text
        if _NUMBER_AND_HEAD.fullmatch(text):
            return gap >= _FAR_APART
        if _PAGE_OF_PAGES.search(text):
            return True
        return _NUMBER.fullmatch(text) is not None and _YEAR.fullmatch(text) is None
    return any(
        _is_number(number) and right.left - left.right >= _OWN_NUMBER * number.height
        for number, left, right in ((row[0], row[0], row[1]), (row[-1], row[-2], row[-1]))
    )


def _is_line(sheet: _Sheet, row: Row) -> bool:
    """Whether the row is as long as a line of the text: below what closes a letter stands its signature."""
    return row[-1].right - row[0].left >= _MIN_LINE_SHARE * (sheet.right - sheet.left)


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
            if not others or id(box.line) in sheet.text or not _is_number(box):
                continue
            beyond = box.left > max(other.right for other in others) or box.right < min(other.left for other in others)
            aside = min(box.right, sheet.width - box.left) < _MARGIN * sheet.width
            if beyond and aside and sheet.height - box.middle < _MARGIN * sheet.height:
                return box
    return None


def _gap(sheet: _Sheet, row: Row, beside: Row) -> float:
    """The step between two rows, in usual steps."""
    # In columns that are not level the steps between rows are short: a line's height counts as the least.
    usual = max(sheet.step, max(box.height for box in beside))
    return abs(middle_of(row) - middle_of(beside)) / usual


def _has_rule_between(sheet: _Sheet, row: Row, beside: Row) -> bool:
    """Whether a drawn rule as wide as the text stands between two rows."""
    above, below = sorted((middle_of(row), middle_of(beside)))
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
        if _is_number(box):
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
