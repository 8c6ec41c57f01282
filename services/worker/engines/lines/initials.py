"""Large initials, which stand beside several rows and begin the first of them."""

from collections.abc import Sequence

import msgspec

from services.worker.engines.lines.line_box import LineBox

# Height of an initial, in heights of the row that it begins. Chosen: two rows of text are 1.8 times as high as one with
# the tightest leading, and boxes of detected lines are a little higher than their text.
_MIN_HEIGHT = 1.6
# Share of a row's height that lies beside the initial at least.
_MIN_BESIDE = 0.3
# Letters that are set as an initial: one, or one behind a quotation mark.
_MAX_CHARACTERS = 2
# Space between the initial and its rows at most, in heights of a row, and by how much these may reach into its box.
_MAX_SPACE, _MAX_COVER = 1.5, 0.5
# Rows that stand beside it at least.
_MIN_ROWS = 2


def placed(boxes: Sequence[LineBox]) -> list[LineBox]:
    """The boxes in their order; each initial gets the height and the place of the row that it begins."""
    return [_placed(box, boxes) if _may_be_initial(box) else box for box in boxes]


def _may_be_initial(box: LineBox) -> bool:
    text = box.line.text
    return len(text) <= _MAX_CHARACTERS and text[-1:].isupper()


def _placed(initial: LineBox, boxes: Sequence[LineBox]) -> LineBox:
    beside = [box for box in boxes if box is not initial and _is_beside(box, initial)]
    if len(beside) < _MIN_ROWS:
        return initial
    first = min(beside, key=lambda box: box.middle)
    if not first.line.text[:1].islower() and not first.line.text.isupper():
        return initial
    return msgspec.structs.replace(initial, middle=first.middle, height=first.height, initial=True)


def _is_beside(box: LineBox, initial: LineBox) -> bool:
    space = box.left - initial.right
    return (
        initial.height >= _MIN_HEIGHT * box.height
        and min(box.bottom, initial.bottom) - max(box.top, initial.top) >= _MIN_BESIDE * box.height
        and -_MAX_COVER * box.height <= space <= _MAX_SPACE * box.height
    )
