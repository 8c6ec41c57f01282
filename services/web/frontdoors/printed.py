"""The printed lines of a block and their words, each with its place where that can be known.

Where an engine gives no boxes of words, a word has its share of the line by its characters: an estimate, which is off
by about the difference of the widths of letters.
"""

import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from libs.page.block import Block, BlockKind, Cell, Confidence, Corners, Line, Point, Rect
from services.web.text.printed import Part, parts_of

_LEFTWARD = frozenset({"R", "AL"})


class PrintedWord(NamedTuple):
    """A word of a block; no word has white space in it."""

    text: str
    #: None where its place is not known.
    corners: Corners | None
    confidence: Confidence


class PrintedLine(NamedTuple):
    """A line of a block, or of a cell of a table."""

    words: tuple[PrintedWord, ...]
    #: None where its place is not known.
    corners: Corners | None

    @property
    def text(self) -> str:
        """Its words, a space between each two."""
        return " ".join(word.text for word in self.words)


def printed_lines(block: Block) -> list[PrintedLine]:
    """The block's lines in reading order, those of a table by cells; each word of the block is in one of them.

    A word that a line's end divides is whole, in the line that it begins in.
    """
    if block.kind is BlockKind.TABLE and block.cells:
        return [line for _, lines in cell_lines(block) for line in lines]
    text = block.text or block.latex
    if block.text and (parts := parts_of(block))[0].line is not None:
        return list(_of_parts(block, parts))
    lines = text.split("\n")
    known = block.lines if len(block.lines) == len(lines) else ()
    place = corners_of(block.box) if len(lines) == 1 and block.box else None
    return [
        _line(line.split(), known[number] if known else None, place, block.confidence)
        for number, line in enumerate(lines)
        if line.strip()
    ]


def cell_lines(block: Block) -> list[tuple[Cell, list[PrintedLine]]]:
    """The cells of a table, row by row, with their lines; a line of the block with the same words gives the place."""
    known: dict[str, list[Line]] = defaultdict(list)
    for line in reversed(block.lines):
        known[" ".join(line.text.split())].append(line)
    found: list[tuple[Cell, list[PrintedLine]]] = []
    for cell in sorted(block.cells, key=lambda cell: (cell.row, cell.column)):
        place = corners_of(cell.box) if cell.box else None
        lines = []
        for words in filter(None, map(str.split, cell.text.split("\n"))):
            same = known.get(" ".join(words))
            lines.append(_line(words, same.pop() if same else None, place, block.confidence))
        found.append((cell, lines))
    return found


def corners_of(box: Rect) -> Corners:
    """The corners of an upright rectangle."""
    left, top, right, bottom = box
    return (left, top), (right, top), (right, bottom), (left, bottom)


def _of_parts(block: Block, parts: Sequence[Part]) -> Iterator[PrintedLine]:
    """The lines by the stretches of the block's text."""
    words = _placed(block.text)
    start = at = 0
    for number, stretch in parts:
        end = start + len(stretch)
        begun = at
        while at < len(words) and words[at][0] < end:
            at += 1
        if number is not None and at > begun:
            yield _line([text for _, text in words[begun:at]], block.lines[number], None, None)
        start = end


def _placed(text: str) -> list[tuple[int, str]]:
    """The words of a text, each after its offset."""
    found, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        found.append((at, word))
        at += len(word)
    return found


def _line(words: list[str], line: Line | None, place: Corners | None, confidence: Confidence) -> PrintedLine:
    """The line of these words: by the line as it was recognised, or at `place`, where its engine knows no lines."""
    corners = place if line is None else line.box
    sure = confidence if line is None else line.confidence
    if line is not None and [word.text for word in line.words] == words:
        own = tuple(PrintedWord(word.text, corners_of(word.box), _first(word.confidence, sure)) for word in line.words)
        return PrintedLine(own, corners)
    printed = " ".join(words) if line is None else line.text
    leftward = _is_leftward(printed)
    found, at = [], 0
    for word in words:
        start = printed.find(word, at)
        # A word that the line's end divides reaches to that end.
        start = at if start < 0 else start
        at = min(start + len(word), len(printed))
        share = (start / max(1, len(printed)), at / max(1, len(printed)))
        share = (1 - share[1], 1 - share[0]) if leftward else share
        found.append(PrintedWord(word, corners and _stretch(corners, *share), sure))
    return PrintedLine(tuple(found), corners)


def _first(value: Confidence, other: Confidence) -> Confidence:
    return other if value is None else value


def _is_leftward(text: str) -> bool:
    """Whether most letters of the text are of a script that is written from right to left."""
    kinds = [unicodedata.bidirectional(character) for character in text if character.isalpha()]
    return sum(kind in _LEFTWARD for kind in kinds) * 2 > len(kinds)


def _stretch(corners: Corners, start: float, end: float) -> Corners:
    """The part of a line's box between two shares of its length."""
    upper_left, upper_right, lower_right, lower_left = corners
    return (
        _between(upper_left, upper_right, start),
        _between(upper_left, upper_right, end),
        _between(lower_left, lower_right, end),
        _between(lower_left, lower_right, start),
    )


def _between(first: Point, second: Point, share: float) -> Point:
    return first[0] + share * (second[0] - first[0]), first[1] + share * (second[1] - first[1])
