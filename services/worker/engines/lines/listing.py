"""List items among the rows of a region: by bullets or check boxes, and by numbers or letters that count up."""

import re
from collections.abc import Iterator, Sequence

import msgspec

from services.worker.engines.lines.line_box import Row, middle_of

#: What lists are marked with, but for numbers and letters.
BULLETS = "•●▪■◦‣∙➢"

# Dashes mark the items of a list where several stand at one place and the lines below them begin to their right: those
# of a dialogue begin to their left. An em dash is that of a dialogue.
_DASHES = "-–"
_MIN_DASHES = 2

#: Empty and ticked check boxes, before their labels.
EMPTY_BOXES, TICKED_BOXES = "☐□", "☑☒"

# Numbers of items stand below each other: by how much they may be off, in body heights. Chosen: they are often set to
# end, not to begin, at one place.
_SAME_PLACE = 1.5
# By how much a nested list is indented at least, in body heights, and how deep lists nest at most.
_INDENT = 0.8
_MAX_DEPTH = 6
# How far from the right margin a row of prose may end that is full, in body heights, its characters at least, and what
# the rows before a list end with.
_FULL = 3.0
_MIN_PROSE_CHARACTERS = 24
_ENDS = ".:;!?"
# By how much the lines of an item begin to the right of its dash, and the step to a line of it, in heights.
_HANG, _CLOSE = 0.3, 1.8
# Items that count up at least: two with a sign behind the number, as in "a.", more without one.
_MIN_COUNTED, _MIN_BARE = 2, 3

_MARKER = re.compile(r"(?P<open>[(\[]?)(?P<count>\d{1,3}(?=\s)|(?:\d{1,3}|[a-z]|[ivx]{2,5})(?P<close>[.)\]]))\s+(?=\S)")
_ROMAN = {"i": 1, "v": 5, "x": 10}


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """The first row of a list item."""

    #: As printed, at the start of the row's text; empty for a row of several check boxes.
    marker: str
    #: From 1, by its indent.
    level: int
    #: The marker is a number or a letter.
    counts: bool


class _Found(msgspec.Struct, frozen=True, kw_only=True):
    """A row that may begin an item."""

    at: int
    marker: str
    left: float
    #: What the markers of one list have in common; a bullet's is the bullet.
    style: str
    #: The possible numbers: "i" is the first in Roman numbers, and the ninth letter.
    counts: frozenset[int] = frozenset()


def items(rows: Sequence[Row], body: float) -> dict[int, Item]:
    """The items by the index of the row in which each begins; `body` is the height of the body text in pixels."""
    found = list(_found(rows))
    kept: list[_Found] = []
    for one in found:
        follows = bool(kept) and kept[-1].at == one.at - 1
        if _is_item(one, found, rows, body) and (follows or not one.counts or not _goes_on(one, rows, body)):
            kept.append(one)
    items: dict[int, Item] = {}
    outer: list[float] = []
    for one in kept:
        while outer and one.left < outer[-1] - _INDENT * body:
            outer.pop()
        if not outer or one.left > outer[-1] + _INDENT * body:
            outer.append(one.left)
        items[one.at] = Item(marker=one.marker, level=min(len(outer), _MAX_DEPTH), counts=bool(one.counts))
    return items


def _is_item(one: _Found, found: Sequence[_Found], rows: Sequence[Row], body: float) -> bool:
    if one.counts:
        return _counts_up(one, found, body)
    return one.style not in _DASHES or _is_dashed(one, found, rows, body)


def _goes_on(one: _Found, rows: Sequence[Row], body: float) -> bool:
    """Whether a sentence that fills the row above goes on in this one: its number begins no item."""
    if one.at == 0:
        return False
    row, before = rows[one.at], rows[one.at - 1]
    right = max(other[-1].right for other in rows)
    return (
        abs(row[0].left - before[0].left) <= _INDENT * body
        and right - before[-1].right <= _FULL * body
        and sum(box.characters for box in before) >= _MIN_PROSE_CHARACTERS
        and before[-1].line.text[-1:] not in _ENDS
        and _is_close(row, before)
    )


def _is_dashed(one: _Found, found: Sequence[_Found], rows: Sequence[Row], body: float) -> bool:
    """Whether several dashes stand at its place, and no line between them or below it begins to their left."""
    same = [other for other in found if other.style == one.style and abs(other.left - one.left) <= _INDENT * body]
    between = rows[same[0].at : same[-1].at + 1]
    if len(same) < _MIN_DASHES or any(row[0].left < one.left - _INDENT * body for row in between):
        return False
    below = one.at + 1
    if below == len(rows) or any(other.at == below for other in same):
        return True
    return rows[below][0].left >= one.left + _HANG * body or not _is_close(rows[below], rows[one.at])


def _is_close(row: Row, before: Row) -> bool:
    return middle_of(row) - middle_of(before) < _CLOSE * max(box.height for box in before)


def _found(rows: Sequence[Row]) -> Iterator[_Found]:
    for at, row in enumerate(rows):
        text = " ".join(box.line.text for box in row)
        if text[:1] and text[0] in EMPTY_BOXES + TICKED_BOXES:
            # Of several boxes in a row none can be told from the label of another.
            is_one = len(text) > 1 and not any(character in EMPTY_BOXES + TICKED_BOXES for character in text[1:])
            yield _Found(at=at, marker=text[0] if is_one else "", left=row[0].left, style="box")
        elif len(text) > 1 and (text[0] in BULLETS or (text[0] in _DASHES and text[1] == " ")):
            yield _Found(at=at, marker=text[0], left=row[0].left, style=text[0])
        elif match := _MARKER.match(text):
            close = match["close"] or ""
            count = match["count"].removesuffix(close)
            style = f"{match['open']}{'1' if count.isdigit() else 'a'}{close}"
            yield _Found(at=at, marker=match[0].strip(), left=row[0].left, style=style, counts=_counts(count))


def _counts(written: str) -> frozenset[int]:
    if written.isdigit():
        return frozenset({int(written)})
    counts = {ord(written) - ord("a") + 1} if len(written) == 1 else set[int]()
    if set(written) <= _ROMAN.keys():
        values = [_ROMAN[digit] for digit in written]
        counts.add(sum(-value if value < max(values[at:]) else value for at, value in enumerate(values)))
    return frozenset(counts)


def _counts_up(one: _Found, found: Sequence[_Found], body: float) -> bool:
    """Whether items of the same kind before and after it count on without a gap, in one place."""
    least = _MIN_COUNTED if one.style[-1] in ".)]" else _MIN_BARE
    same = [other for other in found if other.style == one.style and abs(other.left - one.left) <= _SAME_PLACE * body]
    at = same.index(one)
    return any(1 + _run(same[at + 1 :], count, 1) + _run(same[:at][::-1], count, -1) >= least for count in one.counts)


def _run(others: Sequence[_Found], count: int, step: int) -> int:
    """How many of these count on from `count`; a list in a list may begin anew between them."""
    length = 0
    for other in others:
        if count + step in other.counts:
            count += step
            length += 1
    return length
