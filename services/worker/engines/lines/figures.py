"""Figures: the pictures of a page that are neither a backdrop of its text nor ornaments, placed among its blocks."""

from collections.abc import Sequence

from libs.page.block import RUNNING_KINDS, Block, BlockKind, Line, Rect, enclosing

# The least side of a figure, in heights of a line. Chosen: bullets, icons within a line and rules are smaller.
_MIN_SIDE = 2.0
# Space between two pictures of one figure at most, in heights of a line. Chosen: programs cut pictures into strips and
# tiles that touch; pictures of two figures stand further apart.
_GAP = 0.25
# Pictures of a page above which they are no figures but the pieces of a drawing. Chosen: joining as many takes 50 ms.
_MAX_PICTURES = 500
# The share of the page that a figure covers at most, and the share of a figure that text covers: more is a backdrop.
# Chosen: a scan covers the whole page, and the labels of a drawing cover little of it.
_MAX_PAGE_SHARE = 0.9
_MAX_TEXT_SHARE = 0.1


def figures(pictures: Sequence[Rect], lines: Sequence[Line], size: tuple[float, float], unit: float) -> list[Rect]:
    """The boxes of the figures, each of one picture or of several that touch; all in pixels of the upright page.

    `size` is the width and the height of the page, `unit` the height of a line.
    """
    if len(pictures) > _MAX_PICTURES:
        return []
    texts = [box for line in lines if (box := enclosing([line])) is not None]
    found = _joined([picture for picture in pictures if _area(picture) > 0], _GAP * unit)
    return [
        box
        for box in found
        if min(box[2] - box[0], box[3] - box[1]) >= _MIN_SIDE * unit
        and _area(box) <= _MAX_PAGE_SHARE * size[0] * size[1]
        and sum(_area(_shared(box, text)) for text in texts) <= _MAX_TEXT_SHARE * _area(box)
    ]


def with_figures(blocks: Sequence[Block], boxes: Sequence[Rect]) -> list[Block]:
    """The blocks in their order, each figure before the text that follows below it in its column."""
    found = list(blocks)
    for box in sorted(boxes, key=lambda box: (box[1], box[0])):
        found.insert(_place(found, box), Block(kind=BlockKind.FIGURE, box=box))
    return found


def _place(blocks: Sequence[Block], box: Rect) -> int:
    """Where in the order of the page the figure stands."""
    texts = [(at, block.box) for at, block in enumerate(blocks) if block.box and block.kind not in RUNNING_KINDS]
    column = [(at, other) for at, other in texts if _area(_shared(box, (other[0], box[1], other[2], box[3]))) > 0]
    below = [at for at, other in column if (other[1] + other[3]) / 2 > (box[1] + box[3]) / 2]
    if below:
        return below[0]
    above = column or [(at, other) for at, other in texts if other[1] < box[1]]
    return above[-1][0] + 1 if above else 0


def _joined(boxes: Sequence[Rect], gap: float) -> list[Rect]:
    """The boxes, those that touch or overlap as one."""
    found: list[Rect] = []
    for box in boxes:
        around = box
        # A joined box may touch others that its parts do not.
        while near := [other for other in found if _touch(around, other, gap)]:
            found = [other for other in found if other not in near]
            around = _around([around, *near])
        found.append(around)
    return found


def _touch(box: Rect, other: Rect, gap: float) -> bool:
    return (
        box[0] - gap <= other[2] and other[0] - gap <= box[2] and box[1] - gap <= other[3] and other[1] - gap <= box[3]
    )


def _around(boxes: Sequence[Rect]) -> Rect:
    lefts, tops, rights, bottoms = zip(*boxes, strict=True)
    return min(lefts), min(tops), max(rights), max(bottoms)


def _shared(box: Rect, other: Rect) -> Rect:
    return max(box[0], other[0]), max(box[1], other[1]), min(box[2], other[2]), min(box[3], other[3])


def _area(box: Rect) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
