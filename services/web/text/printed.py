"""Which part of a block's text each of its printed lines is.

A block's text is made from its lines, but not of their characters alone: lines that stand side by side are joined, a
list item's marker is left out, and a word that a line's end divided is put together.
"""

from typing import NamedTuple

from libs.page.block import Block

# Not compared: what joining lines adds or removes.
_HYPHENS = "-\u2010\u00ad\u00ac"
# Characters of the first line that the text may leave out. Chosen: above the length of any marker ("(xviii)", "[12]").
_MARKER_CHARACTERS = 12


class Part(NamedTuple):
    """A stretch of a block's text."""

    #: The index of the line in `Block.lines` that it was printed on; `None` where the lines are not known.
    line: int | None
    text: str


def parts_of(block: Block) -> list[Part]:
    """The whole text in stretches, one for each line; a single one where text and lines differ in other ways."""
    compared = [at for at, character in enumerate(block.text) if _counts(character)]
    printed = [[character for character in line.text if _counts(character)] for line in block.lines]
    whole = [character for line in printed for character in line]
    marker = len(whole) - len(compared)
    same = 0 <= marker <= _MARKER_CHARACTERS and whole[marker:] == [block.text[at] for at in compared]
    if not compared or not same:
        return [Part(None, block.text)]
    starts: list[tuple[int, int]] = []
    passed = -marker
    for number, line in enumerate(printed):
        begin, passed = max(passed, 0), passed + len(line)
        if passed > begin:
            starts.append((compared[begin] if starts else 0, number))
    ends = [*(start for start, _ in starts[1:]), len(block.text)]
    return [Part(number, block.text[start:end]) for (start, number), end in zip(starts, ends, strict=True)]


def _counts(character: str) -> bool:
    return not character.isspace() and character not in _HYPHENS
