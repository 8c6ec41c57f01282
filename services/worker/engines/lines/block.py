"""Blocks of a page: the rows of a region gathered into paragraphs, headings, list items and tables.

Lengths are in units of the body text's height unless noted, so that they hold at any DPI. How the values were found is
not recorded; each comment says what the value trades off, and `bench.accuracy` shows what a change does.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from libs.page.block import Block, BlockKind, Cell, Line, enclosing, mean_confidence
from services.worker.engines.lines import hyphen, program, table
from services.worker.engines.lines.kind import begins_note, is_caption, is_large, is_small, level_of, section_level
from services.worker.engines.lines.line_box import LineBox, Row, middle_of
from services.worker.engines.lines.listing import EMPTY_BOXES, TICKED_BOXES, Item, items
from services.worker.engines.lines.order import Region
from services.worker.engines.lines.paragraph import begins_block, height_of, is_apart, text_of, usual_step

# Share of the page's characters that may be bold where bold says anything.
_MAX_BOLD_SHARE = 0.5
# The step from a heading to its text, in usual steps. Chosen: a little more than from line to line.
_HEADING_STEP = 1.1
# Space at the right of a heading that does not go on in the next row, in body heights. Chosen: a word of ten letters.
_HEADING_ROOM = 5.0
# Share of the page's height below which footnotes begin.
_NOTES_FROM = 0.5
# Lines on a page below which no body text can be told from headings.
_MIN_LINES_FOR_HEADINGS = 3
# Lines below which a page may be a title page, and the share of its characters that are no larger than what is no title
# there.
_MIN_LINES_OF_TEXT = 12
_TITLE_PAGE_SHARE = 0.15

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
    #: The `id` of each line in bold, where bold stands out from the text.
    bold: frozenset[int]
    #: In pixels; 0 where it is not known.
    height: float
    #: Whether it has a few lines, of which the title may be the most.
    is_title_page: bool


def blocks(
    parts: Sequence[Region],
    ruled: Mapping[int, Ruled] | None = None,
    *,
    bold: frozenset[int] = frozenset(),
    page_height: float = 0.0,
) -> list[Block]:
    """The blocks of a page's regions, in order; every line is in exactly one of them.

    `ruled` are tables, and the regions in a frame, by the `id` of the lines that stand for them in the regions; `bold`
    has the `id` of each line in bold. Boxes stay in the coordinates of the lines.
    """
    ruled = ruled or {}
    framed = [
        part for parts in {id(r): r for r in ruled.values() if not isinstance(r, Block)}.values() for part in parts
    ]
    boxes = [box for part in (*parts, *framed) for row in part.rows for box in row if id(box.line) not in ruled]
    is_title_page = len(boxes) < _MIN_LINES_OF_TEXT
    page = _Page(
        body=body_height(boxes, _TITLE_PAGE_SHARE if is_title_page else 0.5) if boxes else 0.0,
        headings=len(boxes) >= _MIN_LINES_FOR_HEADINGS,
        words=hyphen.words_of(box.line.text for box in boxes),
        bold=bold if _share(boxes, bold) <= _MAX_BOLD_SHARE else frozenset(),
        height=page_height,
        is_title_page=is_title_page,
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


def _share(boxes: Sequence[LineBox], bold: frozenset[int]) -> float:
    """The share of the characters that are in bold lines."""
    total = sum(len(box.line.text) for box in boxes)
    return sum(len(box.line.text) for box in boxes if id(box.line) in bold) / total if total else 0.0


def _framed_blocks(parts: Sequence[Region], page: _Page) -> list[Block]:
    return [block for part in parts for block in _region_blocks(part.rows, page)]


def body_height(boxes: Sequence[LineBox], share: float = 0.5) -> float:
    """Height of the page's body text in pixels: the median over characters, not over lines, or another `share`."""
    weighted = sorted((b.height, len(b.line.text)) for b in boxes)
    least, passed = sum(n for _, n in weighted) * share, 0
    for height, n in weighted:
        passed += n
        if passed >= least:
            return height
    return weighted[-1][0]


def _region_blocks(rows: Sequence[Row], page: _Page) -> list[Block]:
    found: list[Block] = []
    start = 0
    for lines in program.programs(rows):
        found.extend(_blocks_between(rows[start : lines.start], page))
        start = lines.stop
        printed = rows[lines.start : start]
        found.append(_block(BlockKind.CODE, printed, text=program.text_of(printed)))
    found.extend(_blocks_between(rows[start:], page))
    return found


def _blocks_between(rows: Sequence[Row], page: _Page) -> list[Block]:
    found: list[Block] = []
    start = 0
    while start < len(rows):
        stop, columns = table.table_at(rows, start, page.body)
        if stop:
            found.append(
                _block(BlockKind.TABLE, rows[start:stop], cells=table.cells(rows[start:stop], columns, page.body))
            )
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
    step = usual_step(rows)
    marked = items(rows, page.body)
    groups: list[list[int]] = []
    for i, row in enumerate(rows):
        following = rows[i + 1] if i + 1 < len(rows) else None
        if groups and i not in marked:
            before = rows[groups[-1][-1]]
            item = rows[groups[-1][0]] if groups[-1][0] in marked else None
            turns_bold = item is None and _is_bold(row, page) != _is_bold(before, page)
            is_headed = len(groups[-1]) == 1 and item is None and _heads(rows, groups[-1][0], step, right, page)
            if not (turns_bold or is_headed) and not begins_block(
                row, before, following, item, (left, right), step, page.body
            ):
                groups[-1].append(i)
                continue
        groups.append([i])
    found = [
        _text_block([rows[i] for i in group], marked.get(group[0]), page, alone=_is_alone(rows, group, step))
        for group in groups
    ]
    return _with_notes(found, [[rows[i] for i in group] for group in groups], page)


def _heads(rows: Sequence[Row], at: int, step: float, right: float, page: _Page) -> bool:
    """Whether the row is a whole heading: by its number or name, not by its size, with space above and room for a word.

    `right` is where the region ends: a heading that goes on in the next row has filled its own.
    """
    row = rows[at]
    return (
        section_level(text_of(row)) is not None
        and not is_large(height_of(row) / page.body)
        and right - row[-1].right > _HEADING_ROOM * page.body
        and (at == 0 or is_apart(row, rows[at - 1], step))
    )


def _is_alone(rows: Sequence[Row], group: Sequence[int], step: float) -> bool:
    """Whether the group of rows stands apart from the rows above it in the region, and a little from those below."""
    first, last = group[0], group[-1]
    return (first == 0 or is_apart(rows[first], rows[first - 1], step)) and (
        last + 1 == len(rows) or middle_of(rows[last + 1]) - middle_of(rows[last]) > _HEADING_STEP * step
    )


def _is_bold(row: Row, page: _Page) -> bool:
    return all(id(box.line) in page.bold for box in row)


def _with_notes(found: list[Block], groups: Sequence[Sequence[Row]], page: _Page) -> list[Block]:
    """The blocks of a region, those at its end that are small and begin with the mark of a note as footnotes."""
    first = None
    for at in range(len(found) - 1, 0, -1):
        is_low = groups[at][0][0].middle > _NOTES_FROM * page.height > 0
        smaller = all(is_small(height_of(row) / page.body) for row in groups[at])
        if found[at].kind is not BlockKind.PARAGRAPH or not is_low or not smaller:
            break
        if begins_note(found[at].text):
            first = at
    if first is None:
        return found
    return [
        *found[:first],
        *(msgspec.structs.replace(block, kind=BlockKind.FOOTNOTE) for block in found[first:]),
    ]


def _text_block(group: Sequence[Row], item: Item | None, page: _Page, *, alone: bool) -> Block:
    lines = [text_of(row) for row in group]
    if page.headings and (item is None or item.counts):
        size = min(height_of(row) for row in group) / page.body
        bold = all(_is_bold(row, page) for row in group)
        level = level_of(lines, size, bold=bold, alone=alone and item is None, title_page=page.is_title_page)
        if level is not None and (level == 1 or not is_caption("\n".join(lines))):
            kind = BlockKind.TITLE if level == 1 else BlockKind.HEADING
            return _block(kind, group, text="\n".join(hyphen.join(lines, page.words)), level=level)
    if item is not None and item.marker:
        lines[0] = lines[0][len(item.marker) :].strip()
        text = "\n".join(hyphen.join(lines, page.words))
        if item.marker in EMPTY_BOXES + TICKED_BOXES:
            return _block(BlockKind.CHECK_BOX, group, text=text, level=item.level, checked=item.marker in TICKED_BOXES)
        return _block(BlockKind.LIST_ITEM, group, text=text, marker=item.marker, level=item.level)
    text = "\n".join(hyphen.join(lines, page.words))
    return _block(BlockKind.CAPTION if is_caption(text) else BlockKind.PARAGRAPH, group, text=text)


def _block(
    kind: BlockKind,
    rows: Sequence[Row],
    *,
    text: str = "",
    level: int | None = None,
    marker: str = "",
    checked: bool | None = None,
    cells: tuple[Cell, ...] = (),
) -> Block:
    """A block of these rows, with their box and confidence."""
    lines: tuple[Line, ...] = tuple(box.line for row in rows for box in row)
    return Block(
        kind=kind,
        text=text,
        level=level,
        marker=marker,
        checked=checked,
        cells=cells,
        box=enclosing(lines),
        confidence=mean_confidence(lines),
        lines=lines,
    )
