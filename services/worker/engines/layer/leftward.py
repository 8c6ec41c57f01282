"""Lines of a text layer that run to the left, in the order in which they are read.

MuPDF turns such lines round letter by letter. Brackets, numbers and what stands between words then come where they are
not printed, and a cell with a number is joined to one with words. So their order is found anew, by their places.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from libs.textlayer import LayerLine, Span

# Bidirectional classes (Unicode Standard Annex 9).
_LEFTWARD, _RIGHTWARD = frozenset({"R", "AL"}), frozenset({"L"})
# In heights: a gap from which spans are separate words, and one from which they are of different lines. Those of
# `lines`, which joins the pieces of a line.
_WORD_GAP, _LINE_GAP = 0.15, 1.0
_BRACKETS = re.compile(r"([()\[\]{}<>«»])")
_MIRRORED = str.maketrans("()[]{}<>«»", ")(][}{><»«")
_OPENING, _CLOSING = "([{<«", ")]}>»"


def in_reading_order(line: LayerLine) -> list[LayerLine]:
    """The level line with its spans in the order in which they are read, from the right; cut at wide gaps."""
    height = max(span.box[3] - span.box[1] for span in line.spans)
    atoms = sorted((atom for span in line.spans for atom in _atoms(span)), key=_middle, reverse=True)
    groups = [[atoms[0]]]
    for before, atom in pairwise(atoms):
        if before.box[0] - atom.box[2] > _LINE_GAP * height:
            groups.append([])
        groups[-1].append(atom)
    return [msgspec.structs.replace(line, spans=tuple(_spaced(_mirrored(*_read(group)), height))) for group in groups]


def _atoms(span: Span) -> Iterator[Span]:
    """Brackets apart from what has no letters that run to the left: such spans are stored as they are seen."""
    text = span.text.strip()
    if _has(text, _LEFTWARD):
        yield msgspec.structs.replace(span, text=text)
        return
    left, top, right, bottom = span.box
    step, at = (right - left) / max(1, len(text)), 0
    for part in filter(None, _BRACKETS.split(text)):
        box = (left + at * step, top, left + (at + len(part)) * step, bottom)
        at += len(part)
        if part.strip():
            yield msgspec.structs.replace(span, text=part.strip(), box=box)


def _read(group: Sequence[Span]) -> tuple[list[Span], set[int]]:
    """What comes from the right, with text that runs to the right turned back; and the places of such text."""
    ordered, rightward, at = list(group), set(), 0
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


def _mirrored(spans: Sequence[Span], rightward: set[int]) -> Sequence[Span]:
    """The spans with brackets turned round, where more of them have their counterpart then.

    MuPDF turns round those that it takes for text to the left, and leaves others as they are seen.
    """
    turned = [
        span
        if at in rightward or _has(span.text, _LEFTWARD)
        else msgspec.structs.replace(span, text=span.text.translate(_MIRRORED))
        for at, span in enumerate(spans)
    ]
    return turned if _alone(turned) < _alone(spans) else spans


def _alone(spans: Sequence[Span]) -> int:
    """Brackets without their counterpart."""
    closed, open_ = 0, 0
    for character in "".join(span.text for span in spans):
        if character in _OPENING:
            open_ += 1
        elif character in _CLOSING and open_:
            open_ -= 1
        elif character in _CLOSING:
            closed += 1
    return closed + open_


def _spaced(spans: Sequence[Span], height: float) -> Iterator[Span]:
    """The spans, each with a space before it where it is printed apart from the last."""
    yield spans[0]
    for before, span in pairwise(spans):
        gap = max(before.box[0] - span.box[2], span.box[0] - before.box[2])
        yield span if gap < _WORD_GAP * height else msgspec.structs.replace(span, text=f" {span.text}")


def _has(text: str, classes: frozenset[str]) -> bool:
    return any(unicodedata.bidirectional(character) in classes for character in text)


def _middle(span: Span) -> float:
    return span.box[0] + span.box[2]
