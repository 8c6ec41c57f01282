"""Lines that hold the cells of several columns, cut where their words stand at an edge that other lines share.

A document may set two columns closer to each other than the words of a line are, and a recogniser may read two cells as
one line. Lengths are in units of the page's median line height. Lines without words stay whole.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from libs.page.block import Line, Word

# By how much an edge may miss that of other lines. Chosen: a tenth of a line is below the width of a letter.
_NEAR = 0.1
# Space before a word at least. Chosen: the words of a line stand half as far from each other.
_MIN_SPACE = 0.45
# Lines that begin at an edge, and lines in which a word begins there, at least. Chosen: one or two do so by chance.
_MIN_LINES = 3


def cut(lines: Sequence[Line], unit: float) -> list[tuple[Line, Line]]:
    """The pieces of the lines in their order, each with the line that it is a part of."""
    near = _NEAR * unit
    apart = {id(line): _apart(line, _MIN_SPACE * unit) for line in lines}
    begins = sorted(min(x for x, _ in line.box) for line in lines)
    inner = sorted(word.box[0] for words in apart.values() for word in words)
    return [
        (piece, line)
        for line in lines
        for piece in _pieces(line, [word for word in apart[id(line)] if _is_edge(word.box[0], begins, inner, near)])
    ]


def _apart(line: Line, space: float) -> list[Word]:
    """The words of the line that stand so far from the one before."""
    return [word for before, word in pairwise(line.words) if word.box[0] - before.box[2] >= space]


def _is_edge(x: float, begins: Sequence[float], inner: Sequence[float], near: float) -> bool:
    return all(bisect_right(xs, x + near) - bisect_left(xs, x - near) >= _MIN_LINES for xs in (begins, inner))


def _pieces(line: Line, firsts: Sequence[Word]) -> Iterator[Line]:
    """The line cut before each of these words."""
    if not firsts:
        yield line
        return
    begins = {id(word) for word in firsts}
    part: list[Word] = []
    for word in line.words:
        if part and id(word) in begins:
            yield _piece(line, part)
            part = []
        part.append(word)
    yield _piece(line, part)


def _piece(line: Line, words: Sequence[Word]) -> Line:
    left, right = min(word.box[0] for word in words), max(word.box[2] for word in words)
    top, bottom = line.box[0][1], line.box[2][1]
    return msgspec.structs.replace(
        line,
        text=" ".join(word.text for word in words),
        box=((left, top), (right, top), (right, bottom), (left, bottom)),
        words=tuple(words),
    )
