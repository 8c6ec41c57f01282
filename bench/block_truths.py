"""What the blocks of some pages are, written by hand (`block_truths.toml`), and how found blocks are scored against it.

A heading, list item, caption or footnote is found where a block of that kind begins with its first words; a running
head, a running foot or a page number where a block of any of these kinds has it, since a library that knows no page
numbers writes them into the foot. A table or a figure is found where the boxes share half of their joint area.
"""

import re
import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

import msgspec
from rapidfuzz import fuzz

from libs.page.block import RUNNING_KINDS, Block, BlockKind, Rect

_FILE = Path(__file__).with_suffix(".toml")

#: Left, top, right and bottom in percent of the page.
Percent: TypeAlias = tuple[float, float, float, float]

# How alike two texts are, of 100, from which they are the same: OCR misreads a letter or two of a dozen.
_SAME = 80
# Shorter texts are compared as a whole: anything is a part of something.
_WHOLE = 4
# The shared area, as a share of the joint one, from which two boxes are the same: the usual one for detection.
_SAME_BOX = 0.5
# The share of a block that lies in an open box.
_IN_OPEN = 0.6


class Kind(StrEnum):
    """What is scored apart."""

    HEADING = "headings"
    ITEM = "list items"
    CAPTION = "captions"
    FOOTNOTE = "footnotes"
    RUNNING = "running heads and feet"
    NUMBER = "page numbers"
    TABLE = "tables"
    FIGURE = "figures"


_KINDS = {
    Kind.HEADING: frozenset({BlockKind.TITLE, BlockKind.HEADING}),
    Kind.ITEM: frozenset({BlockKind.LIST_ITEM}),
    Kind.CAPTION: frozenset({BlockKind.CAPTION}),
    Kind.FOOTNOTE: frozenset({BlockKind.FOOTNOTE}),
}
_PLACED = {Kind.TABLE: BlockKind.TABLE, Kind.FIGURE: BlockKind.FIGURE}


class Truth(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one page has; `block_truths.toml` describes the fields."""

    pdf: str
    page: int
    headings: tuple[tuple[int, str], ...] = ()
    items: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    footnotes: tuple[str, ...] = ()
    running: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    tables: tuple[Percent, ...] = ()
    figures: tuple[Percent, ...] = ()
    open: tuple[str, ...] = ()
    open_boxes: tuple[Percent, ...] = ()

    @property
    def texts(self) -> dict[Kind, tuple[str, ...]]:
        """The first words of each block that is told by them."""
        headings = tuple(words for _, words in self.headings)
        return {
            Kind.HEADING: headings,
            Kind.ITEM: self.items,
            Kind.CAPTION: self.captions,
            Kind.FOOTNOTE: self.footnotes,
        }


class Tally(msgspec.Struct, kw_only=True):
    """Counts of one kind, over pages."""

    truths: int = 0
    truths_found: int = 0
    found: int = 0
    found_right: int = 0

    @property
    def recall(self) -> float | None:
        """The share of what is there that was found; None where nothing is."""
        return self.truths_found / self.truths if self.truths else None

    @property
    def precision(self) -> float | None:
        """The share of what was found that is there; None where nothing was found."""
        return self.found_right / self.found if self.found else None


class Scores:
    """Scores found blocks against truths, page by page."""

    def __init__(self) -> None:
        self.tallies: dict[Kind, Tally] = {kind: Tally() for kind in Kind}
        #: What was missed, and what was found wrongly, a line each.
        self.faults: list[str] = []
        #: Pairs of headings of a page that have different levels, and those of which the found levels differ likewise.
        self.pairs = self.pairs_right = 0

    def add(self, truth: Truth, blocks: Sequence[Block], size: tuple[float, float]) -> None:
        """Count the blocks of a page, whose boxes are in pixels of a page of this width and height."""
        page = _Page(truth, size)
        for kind, words in truth.texts.items():
            matched = self._count(page, kind, words, [block for block in blocks if block.kind in _KINDS[kind]])
            if kind is Kind.HEADING:
                self._compare_levels(truth, matched)
        self._count_running(page, [block for block in blocks if block.kind in RUNNING_KINDS])
        for kind, boxes in ((Kind.TABLE, truth.tables), (Kind.FIGURE, truth.figures)):
            self._count_placed(page, kind, boxes, [block for block in blocks if block.kind is _PLACED[kind]])

    def _count(self, page: "_Page", kind: Kind, words: Sequence[str], found: Sequence[Block]) -> list[Block | None]:
        matched: list[Block | None] = []
        rest = list(found)
        for text in words:
            block = max(rest, key=lambda block: _likeness(block.text, text), default=None)
            if block is not None and not _begins(block.text, text):
                block = None
            matched.append(block)
            if block is None:
                self._fault(page, kind, f"missed {text!r}")
            else:
                rest.remove(block)
        wrong = [block for block in rest if not page.is_open(block)]
        for block in wrong:
            self._fault(page, kind, f"wrong {block.text[:60]!r}")
        right = sum(block is not None for block in matched)
        self._tally(kind, truths=len(words), truths_found=right, found=right + len(wrong), found_right=right)
        return matched

    def _count_running(self, page: "_Page", found: Sequence[Block]) -> None:
        truth = page.truth
        for kind, texts in ((Kind.RUNNING, truth.running), (Kind.NUMBER, truth.numbers)):
            hits = [text for text in texts if any(_has(block.text, text) for block in found)]
            self._tally(kind, truths=len(texts), truths_found=len(hits))
            for text in texts:
                if text not in hits:
                    self._fault(page, kind, f"missed {text!r}")
        for block in found:
            kind = Kind.NUMBER if block.kind is BlockKind.PAGE_NUMBER else Kind.RUNNING
            is_right = any(_has(block.text, text) for text in (*truth.running, *truth.numbers))
            if is_right or not page.is_open(block):
                self._tally(kind, found=1, found_right=int(is_right))
                if not is_right:
                    self._fault(page, kind, f"wrong {block.text[:60]!r}")

    def _count_placed(self, page: "_Page", kind: Kind, boxes: Sequence[Percent], found: Sequence[Block]) -> None:
        rest = list(found)
        right = 0
        for percent in boxes:
            box = page.pixels(percent)
            block = next((block for block in rest if block.box and _overlap(block.box, box) >= _SAME_BOX), None)
            if block is None:
                self._fault(page, kind, f"missed {percent}")
            else:
                right += 1
                rest.remove(block)
        wrong = [block for block in rest if not page.is_open(block)]
        for block in wrong:
            self._fault(page, kind, f"wrong {block.box and page.percent(block.box)}")
        self._tally(kind, truths=len(boxes), truths_found=right, found=right + len(wrong), found_right=right)

    def _compare_levels(self, truth: Truth, matched: Sequence[Block | None]) -> None:
        known = [
            (level, block.level)
            for (level, _), block in zip(truth.headings, matched, strict=True)
            if block is not None and block.level is not None
        ]
        for (one, found), (other, other_found) in combinations(known, 2):
            if one != other:
                self.pairs += 1
                self.pairs_right += (one < other) == (found < other_found) and found != other_found

    def _tally(self, kind: Kind, **counts: int) -> None:
        for name, count in counts.items():
            setattr(self.tallies[kind], name, getattr(self.tallies[kind], name) + count)

    def _fault(self, page: "_Page", kind: Kind, fault: str) -> None:
        self.faults.append(f"{page.truth.pdf} {page.truth.page}: {kind}: {fault}")


class _Page:
    """A truth on a page of a size in pixels."""

    def __init__(self, truth: Truth, size: tuple[float, float]) -> None:
        self.truth = truth
        self._width, self._height = size

    def pixels(self, box: Percent) -> Rect:
        left, top, right, bottom = box
        return (
            left * self._width / 100,
            top * self._height / 100,
            right * self._width / 100,
            bottom * self._height / 100,
        )

    def percent(self, box: Rect) -> tuple[int, ...]:
        left, top, right, bottom = box
        x, y = 100 / self._width, 100 / self._height
        return round(left * x), round(top * y), round(right * x), round(bottom * y)

    def is_open(self, block: Block) -> bool:
        """Whether the block counts neither way."""
        if block.text and any(_begins(block.text, text) for text in self.truth.open):
            return True
        box = block.box
        return box is not None and any(
            _shared(box, self.pixels(other)) >= _IN_OPEN * _area(box) for other in self.truth.open_boxes
        )


def truths() -> tuple[Truth, ...]:
    """All pages that have one."""
    return msgspec.toml.decode(_FILE.read_bytes(), type=dict[str, tuple[Truth, ...]])["page"]


def _plain(text: str) -> str:
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())


def _begins(text: str, words: str) -> bool:
    """Whether the text begins with the words, but for a marker."""
    return _likeness(text, words) >= _SAME


def _likeness(text: str, words: str) -> float:
    """How like the words, of 100, the beginning of the text is, but for a marker."""
    text, words = _plain(text), _plain(words)
    if len(words) < _WHOLE:
        return 100.0 if text == words else 0.0
    starts = {text, text.lstrip("0123456789")}
    # Of two that begin alike the one that has no more.
    return max(fuzz.ratio(words, start[: len(words)]) for start in starts) - (0 if len(text) == len(words) else 1e-6)


def _has(text: str, words: str) -> bool:
    """Whether one has the other in it."""
    if len(_plain(words)) < _WHOLE:
        return words.casefold() in re.findall(r"\w+", text.casefold()) or _plain(text) == _plain(words)
    text, words = _plain(text), _plain(words)
    return len(text) >= _WHOLE and fuzz.partial_ratio(words, text) >= _SAME


def _area(box: Rect) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _shared(box: Rect, other: Rect) -> float:
    return _area((max(box[0], other[0]), max(box[1], other[1]), min(box[2], other[2]), min(box[3], other[3])))


def _overlap(box: Rect, other: Rect) -> float:
    shared = _shared(box, other)
    return shared / (_area(box) + _area(other) - shared) if shared else 0.0
