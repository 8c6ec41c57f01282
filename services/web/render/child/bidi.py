"""Text of two directions as it stands on the line, from left to right.

Programs that take text out of a PDF expect it in this order, and turn what runs to the left back, character by
character. The order is that of the Unicode Bidirectional Algorithm (Unicode Standard Annex 9) without explicit
embeddings, which recognised text does not have. The rules' names are in brackets.
"""

import unicodedata
from itertools import groupby

_LEFT, _RIGHT, _NUMBER = "L", "R", "N"
_STRONG = {"L": _LEFT, "R": _RIGHT, "AL": _RIGHT, "EN": _NUMBER, "AN": _NUMBER}
# Brackets that are seen the other way round where the text runs to the left (L4).
_MIRRORED = dict(zip("()[]{}<>«»‹›", ")(][}{><»«›‹", strict=True))
_SEPARATORS, _SIGNS, _MARKS = {"ES", "CS"}, {"ET"}, {"NSM", "BN"}


def visual_order(text: str) -> str:
    """The characters of one line from left to right; the text itself where all of it runs to the right."""
    directions = [_STRONG.get(unicodedata.bidirectional(character), "") for character in text]
    if _RIGHT not in directions:
        return text
    # The line runs as its first letter does (P2, P3).
    base = next(direction for direction in directions if direction in (_LEFT, _RIGHT))
    levels = _levels(_resolved(_weak(text, directions, base), base), base)
    order = list(range(len(text)))
    for level in range(max(levels), 0, -1):
        order = _turned(order, levels, level)
    return "".join(_MIRRORED.get(text[at], text[at]) if levels[at] % 2 else text[at] for at in order)


def _weak(text: str, directions: list[str], base: str) -> list[str]:
    """Marks go with their letter, separators and signs with their number, numbers with Latin letters before (W1-W7)."""
    found = list(directions)
    strong = base
    for at, character in enumerate(text):
        kind = unicodedata.bidirectional(character)
        before, after = found[at - 1] if at else "", directions[at + 1] if at + 1 < len(text) else ""
        if kind in _MARKS and at:
            found[at] = before
        elif (kind in _SEPARATORS and directions[at - 1 : at] == [after] == [_NUMBER]) or (
            kind in _SIGNS and _NUMBER in (*directions[max(0, at - 1) : at], after)
        ):
            found[at] = _NUMBER
        if found[at] == _NUMBER and strong == _LEFT:
            found[at] = _LEFT
        elif found[at] in (_LEFT, _RIGHT):
            strong = found[at]
    return found


def _resolved(found: list[str], base: str) -> list[str]:
    """Neutral characters take the direction of both their neighbours, or the line's (N1, N2)."""
    resolved: list[str] = []
    for direction, group in groupby(found):
        length = len(list(group))
        if not direction:
            end = len(resolved) + length
            before, after = _side(resolved[-1:], base), _side(found[end : end + 1], base)
            direction = before if before == after else base
        resolved += [direction] * length
    return resolved


def _side(neighbour: list[str], base: str) -> str:
    """The direction that a neighbour gives to neutral characters: a number counts as text that runs to the left."""
    if not neighbour:
        return base
    return _RIGHT if neighbour[0] == _NUMBER else neighbour[0]


def _levels(resolved: list[str], base: str) -> list[int]:
    """Even levels run to the right, odd ones to the left (I1, I2)."""
    if base == _RIGHT:
        return [1 if direction == _RIGHT else 2 for direction in resolved]
    return [{_LEFT: 0, _RIGHT: 1, _NUMBER: 2}[direction] for direction in resolved]


def _turned(order: list[int], levels: list[int], level: int) -> list[int]:
    """The order with each run of at least this level turned round (L2)."""
    turned: list[int] = []
    for high, group in groupby(order, key=lambda at: levels[at] >= level):
        run = list(group)
        turned += reversed(run) if high else run
    return turned
