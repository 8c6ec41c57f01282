"""Blocks of a page: the rows of a region gathered into paragraphs, headings, list items and tables.

Lengths are in units of the body text's height unless noted, so that they hold at any DPI. How the values were found is
not recorded; each comment says what the value trades off, and `bench.accuracy` shows what a change does.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import TypeAlias

import msgspec

from libs.page.block import Block, BlockKind, Cell, Line, enclosing, mean_confidence
from services.worker.engines.lines import hyphen, table
from services.worker.engines.lines.line_box import LineBox, Row
from services.worker.engines.lines.order import Region
from services.worker.engines.lines.table import middle_of

# Heights of a heading and of a title. Lower ones take capitals or a line with large accents for headings, higher ones
# miss headings that are only a little larger than the text.
_HEADING = 1.35
_TITLE = 1.9
# A heading has at most so many lines and characters, and at least so many letters: large text beyond it is a pull quote
# or an advertisement, below it a page number or an ornament.
_HEADING_ROWS = 3
_HEADING_CHARACTERS = 120
_HEADING_LETTERS = 3
# Lines on a page below which no body text can be told from headings.
_MIN_LINES_FOR_HEADINGS = 5
# A step from row to row that begins a paragraph, in usual steps of the region. The usual step counts as at least the
# second value times the lower row's height: in a region of few rows it may be that of overlapping boxes.
_PARAGRAPH_LEADING = 1.45
_MIN_LEADING = 1.15
# Indent of a paragraph's first row.
_INDENT = 0.8
# A last row is short where it ends this share of the region's width before the right margin; the row after it begins a
# paragraph if it starts within so many body heights of the left margin.
_SHORT_ROW_SHARE = 0.2
_NEAR_LEFT_MARGIN = 3

BULLETS = "•●▪■◦‣∙"
# What the last row of a paragraph may end with.
_SENTENCE_ENDS = '.!?:;”"»'


#: A table whose cells drawn rules make, or the regions that a frame encloses.
Ruled: TypeAlias = Block | tuple[Region, ...]


class _Page(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of the page as a whole."""

    #: Height of the body text, in pixels.
    body: float
    #: Whether headings can be told from body text.
    headings: bool
    #: `hyphen.words_of` the page.
    words: frozenset[str]


def blocks(parts: Sequence[Region], ruled: Mapping[int, Ruled] | None = None) -> list[Block]:
    """The blocks of a page's regions, in order; every line is in exactly one of them.

    `ruled` are tables, and the regions in a frame, by the `id` of the lines that stand for them in the regions. Boxes
    stay in the coordinates of the lines.
    """
    ruled = ruled or {}
    framed = [
        part for parts in {id(r): r for r in ruled.values() if not isinstance(r, Block)}.values() for part in parts
    ]
    boxes = [box for part in (*parts, *framed) for row in part.rows for box in row if id(box.line) not in ruled]
    page = _Page(
        body=body_height(boxes) if boxes else 0.0,
        headings=len(boxes) >= _MIN_LINES_FOR_HEADINGS,
        words=hyphen.words_of(box.line.text for box in boxes),
    )
    found: list[Block] = []
    written: set[int] = set()
    for part in parts:
        for rows, known in _pieces(part.rows, ruled, written):
            found.extend(_region_blocks(rows, page))
            for one in known:
                found.extend([one] if isinstance(one, Block) else _framed_blocks(one, page))
    return found


def _pieces(
    rows: Sequence[Row], ruled: Mapping[int, Ruled], written: set[int]
) -> Iterator[tuple[list[Row], list[Ruled]]]:
    """The rows up to the first line of each table or frame, and that, which is then `written`."""
    before: list[Row] = []
    for row in rows:
        rest = tuple(box for box in row if id(box.line) not in ruled)
        if rest:
            before.append(rest)
        known = {id(one): one for box in row if (one := ruled.get(id(box.line))) is not None}
        if fresh := [one for key, one in known.items() if key not in written]:
            written.update(known)
            yield before, fresh
            before = []
    yield before, []


def _framed_blocks(parts: Sequence[Region], page: _Page) -> list[Block]:
    return [block for part in parts for block in _region_blocks(part.rows, page)]


def body_height(boxes: Sequence[LineBox]) -> float:
    """Height of the page's body text in pixels: the median over characters, not over lines."""
    weighted = sorted((b.height, len(b.line.text)) for b in boxes)
    half, passed = sum(n for _, n in weighted) / 2, 0
    for height, n in weighted:
        passed += n
        if passed >= half:
            return height
    return weighted[-1][0]


def _region_blocks(rows: Sequence[Row], page: _Page) -> list[Block]:
    found: list[Block] = []
    start = 0
    while start < len(rows):
        stop, columns = table.table_at(rows, start, page.body)
        if stop:
            found.append(_block(BlockKind.TABLE, rows[start:stop], cells=table.cells(rows[start:stop], columns)))
            start = stop
            continue
        stop = start + 1
        while stop < len(rows) and not table.table_at(rows, stop, page.body)[0]:
            stop += 1
        found.extend(_text_blocks(rows[start:stop], page))
        start = stop
    return found


def _text_blocks(rows: Sequence[Row], page: _Page) -> list[Block]:
    if not rows:
        return []
    left = min(row[0].left for row in rows)
    right = max(row[-1].right for row in rows)
    step = _usual_step(rows)
    groups: list[list[Row]] = []
    for i, row in enumerate(rows):
        following = rows[i + 1] if i + 1 < len(rows) else None
        if not groups or _begins_block(row, groups[-1][-1], following, (left, right), step, page.body):
            groups.append([row])
        else:
            groups[-1].append(row)
    return [_text_block(group, page) for group in groups]


def _usual_step(rows: Sequence[Row]) -> float:
    """Median distance from row to row, in pixels."""
    steps = [middle_of(b) - middle_of(a) for a, b in pairwise(rows)]
    return median(steps) if steps else 0.0


def _height(row: Row) -> float:
    # Of the box with most text: a large initial or a bracket does not make its row a heading.
    return max(row, key=lambda b: len(b.line.text)).height


def _text(row: Row) -> str:
    return " ".join(box.line.text for box in row)


def _begins_block(
    row: Row, before: Row, after: Row | None, margins: tuple[float, float], usual_step: float, body: float
) -> bool:
    """True where `row` begins a block of its own instead of continuing the one of the row before."""
    if _text(row)[:1] in BULLETS:
        return True
    heights = sorted((_height(row), _height(before)))
    if heights[1] > _HEADING * heights[0]:
        return True
    step = middle_of(row) - middle_of(before)
    if step > _PARAGRAPH_LEADING * max(usual_step, _MIN_LEADING * heights[0]):
        return True
    indented = row[0].left - before[0].left > _INDENT * body
    if indented and (after is None or row[0].left - after[0].left > _INDENT * body):
        # In a list the rows after the bullet's are indented; in prose only the first row of a paragraph is.
        return _text(before)[:1] not in BULLETS
    short = margins[1] - before[-1].right > _SHORT_ROW_SHARE * (margins[1] - margins[0])
    ended = _text(before)[-1:] in _SENTENCE_ENDS
    return short and ended and row[0].left - margins[0] < _NEAR_LEFT_MARGIN * body


def _text_block(group: Sequence[Row], page: _Page) -> Block:
    lines = [_text(row) for row in group]
    if lines[0][:1] in BULLETS and len(lines[0]) > 1:
        marker, lines[0] = lines[0][0], lines[0][1:].strip()
        return _block(BlockKind.LIST_ITEM, group, text="\n".join(hyphen.join(lines, page.words)), marker=marker)
    text = "\n".join(hyphen.join(lines, page.words))
    letters = sum(character.isalpha() for line in lines for character in line)
    size = min(_height(row) for row in group) / page.body
    if (
        page.headings
        and size >= _HEADING
        and len(lines) <= _HEADING_ROWS
        and letters >= _HEADING_LETTERS
        and sum(map(len, lines)) <= _HEADING_CHARACTERS
    ):
        if size >= _TITLE:
            return _block(BlockKind.TITLE, group, text=text, level=1)
        return _block(BlockKind.HEADING, group, text=text, level=2)
    return _block(BlockKind.PARAGRAPH, group, text=text)


def _block(
    kind: BlockKind,
    rows: Sequence[Row],
    *,
    text: str = "",
    level: int | None = None,
    marker: str = "",
    cells: tuple[Cell, ...] = (),
) -> Block:
    """A block of these rows, with their box and confidence."""
    lines: tuple[Line, ...] = tuple(box.line for row in rows for box in row)
    return Block(
        kind=kind,
        text=text,
        level=level,
        marker=marker,
        cells=cells,
        box=enclosing(lines),
        confidence=mean_confidence(lines),
        lines=lines,
    )
