"""Lines of a text layer that run to the left, in the order in which they are read.

MuPDF turns such lines round letter by letter. Brackets, numbers and what stands between words then come where they are
not printed, and a cell with a number is joined to one with words. So their order is found anew, by their places.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from libs.textlayer import Box, LayerLine, Span

# Bidirectional classes (Unicode Standard Annex 9).
_LEFTWARD, _RIGHTWARD = frozenset({"R", "AL"}), frozenset({"L"})
# In heights: a gap from which spans are separate words, and one from which they are of different lines. Those of
# `lines`, which joins the pieces of a line.
_WORD_GAP, _LINE_GAP = 0.15, 1.0
_BRACKETS = re.compile(r"([()\[\]{}<>«»])")
_MIRRORED = str.maketrans("()[]{}<>«»", ")(][}{><»«")
_OPENING, _CLOSING = "([{<«", ")]}>»"


class _Atom(msgspec.Struct, frozen=True, kw_only=True):
    """A span, or a part of one."""

    text: str
    box: Box
    style: int
    #: The place of the span in MuPDF's order, and whether a space is before it there.
    at: int
    spaced: bool


def in_reading_order(line: LayerLine) -> list[LayerLine]:
    """The level line with its spans in the order in which they are read, from the right; cut at wide gaps."""
    height = max(span.box[3] - span.box[1] for span in line.spans)
    atoms = [atom for at, span in enumerate(line.spans) for atom in _atoms(span, at)]
    atoms.sort(key=lambda atom: atom.box[0] + atom.box[2], reverse=True)
    groups = [[atoms[0]]]
    for before, atom in pairwise(atoms):
        if before.box[0] - atom.box[2] > _LINE_GAP * height:
            groups.append([])
        groups[-1].append(atom)
    return [msgspec.structs.replace(line, spans=tuple(_spans(_mirrored(*_read(group)), height))) for group in groups]


def _atoms(span: Span, at: int) -> Iterator[_Atom]:
    """Brackets apart from what has no letters that run to the left: such spans are stored as they are seen."""
    text, spaced = span.text.strip(), span.text.startswith(" ")
    if _has(text, _LEFTWARD):
        yield _Atom(text=text, box=span.box, style=span.style, at=at, spaced=spaced)
        return
    left, top, right, bottom = span.box
    step, begin = (right - left) / max(1, len(text)), 0
    for part in filter(None, _BRACKETS.split(text)):
        box = (left + begin * step, top, left + (begin + len(part)) * step, bottom)
        begin += len(part)
        if part.strip():
            yield _Atom(text=part.strip(), box=box, style=span.style, at=at, spaced=spaced)


def _read(group: Sequence[_Atom]) -> tuple[list[_Atom], set[int]]:
    """What comes from the right, with text that runs to the right turned back; and the places of such text."""
    ordered, at = list(group), 0
    rightward: set[int] = set()
    while at < len(group):
        if not _has(group[at].text, _RIGHTWARD):
            at += 1
            continue
        end = at
        for following in range(at + 1, len(group)):
            if _has(group[following].text, _LEFTWARD):
                break
            if _has(group[following].text, _RIGHTWARD):
                end = following
        ordered[at : end + 1] = reversed(group[at : end + 1])
        rightward.update(range(at, end + 1))
        at = end + 1
    return ordered, rightward


def _mirrored(atoms: Sequence[_Atom], rightward: set[int]) -> Sequence[_Atom]:
    """The atoms with brackets turned round, where more of them have their counterpart then.

    MuPDF turns round some of those that it takes for text to the left, and leaves others as they are seen.
    """

    def turned(*, all_of_them: bool) -> Sequence[_Atom]:
        return [
            atom
            if at in rightward or (_has(atom.text, _LEFTWARD) and not all_of_them)
            else msgspec.structs.replace(atom, text=atom.text.translate(_MIRRORED))
            for at, atom in enumerate(atoms)
        ]

    return min((atoms, turned(all_of_them=False), turned(all_of_them=True)), key=_alone)


def _alone(atoms: Sequence[_Atom]) -> int:
    """Brackets without their counterpart."""
    closed, open_ = 0, 0
    for character in "".join(atom.text for atom in atoms):
        if character in _OPENING:
            open_ += 1
        elif character in _CLOSING and open_:
            open_ -= 1
        elif character in _CLOSING:
            closed += 1
    return closed + open_


def _spans(atoms: Sequence[_Atom], height: float) -> Iterator[Span]:
    """The spans, each with a space before it where one is between it and the last, in the text or in print."""
    before: _Atom | None = None
    for atom in atoms:
        spaced = before is not None and _is_apart(before, atom, height)
        yield Span(text=f" {atom.text}" if spaced else atom.text, box=atom.box, style=atom.style)
        before = atom


def _is_apart(a: _Atom, b: _Atom, height: float) -> bool:
    first, second = (a, b) if a.at < b.at else (b, a)
    if second.at - first.at == 1 and second.spaced:
        return True
    return max(a.box[0] - b.box[2], b.box[0] - a.box[2]) >= _WORD_GAP * height


def _has(text: str, classes: frozenset[str]) -> bool:
    return any(unicodedata.bidirectional(character) in classes for character in text)
