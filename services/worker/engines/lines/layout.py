"""The layout of a page: its lines into blocks, with their boxes in coordinates of the stored page."""

from collections.abc import Sequence
from statistics import median

import msgspec
import numpy as np

from libs.page.block import Block, BlockKind, Cell, Line, Rect, Word, enclosing, mean_confidence
from services.worker.engines.lines.block import Ruled, blocks
from services.worker.engines.lines.figures import figures, with_figures
from services.worker.engines.lines.grid import RuledTable, frames, ruled_tables
from services.worker.engines.lines.header import headed
from services.worker.engines.lines.line_box import level
from services.worker.engines.lines.open_table import is_rising, open_tables
from services.worker.engines.lines.order import regions
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose
from services.worker.engines.lines.running import set_apart

# Lines in a frame at least, and the share of the page's lines at most: less is a label, more the frame of the page.
_MIN_FRAMED, _MAX_FRAMED_SHARE = 3, 0.7
# From line to line of what stands for a table in the order of the page, in line heights, and its lines at most.
_STEP, _MAX_STAND_INS = 1.3, 200
# Its text: as long as a line of prose, so that a gutter may run beside it.
_PROSE = "a line of prose as long as those of a column"


def lay_out(page: PageLines) -> tuple[Block, ...]:
    """The blocks of a page in reading order; every line is in exactly one of them."""
    bold = frozenset(id(page.lines[at]) for at in page.bold)
    return tuple(_as_stored(block, page.pose, bold) for block in _blocks(page, bold))


def _blocks(page: PageLines, bold: frozenset[int]) -> list[Block]:
    """The blocks on the upright page; `bold` has the `id` of each line in bold."""
    unit = median(box.height for box in level(page.lines)) if page.lines else 0.0
    tables = ruled_tables(page.rules, page.lines, unit)
    rest = _without(page.lines, tables)
    rising = [line for line in rest if is_rising(line)]
    level_lines = [line for line in rest if not is_rising(line)]
    tables.extend(open_tables(page.rules, level_lines, unit, (*page.slanted, *rising)))
    running = set_apart(page, {id(line) for table in tables for line in table.lines})
    # In the order of the page a table or a frame is a paragraph of its size, which gutters run around.
    known: list[tuple[Rect, Ruled]] = [(table.box, _table(table)) for table in tables]
    lines = list(running.text)
    for box in frames(page.rules, unit):
        inside = [line for line in lines if _is_in(line, box)]
        if _MIN_FRAMED <= len(inside) <= _MAX_FRAMED_SHARE * len(lines):
            known.append((box, tuple(regions(inside))))
            lines = [line for line in lines if not _is_in(line, box)]
    ruled: dict[int, Ruled] = {}
    for box, content in known:
        stand_ins = _stand_ins(box, unit)
        lines.extend(stand_ins)
        ruled |= dict.fromkeys(map(id, stand_ins), content)
    height = page.pose.size()[1]
    found = [*running.head, *blocks(regions(lines), ruled, bold=bold, page_height=height), *running.foot]
    return with_figures(found, figures(page.pictures, page.lines, page.pose.size(), unit))


def _without(lines: tuple[Line, ...], tables: Sequence[RuledTable]) -> tuple[Line, ...]:
    """The lines that are in none of the tables."""
    taken = {id(line) for table in tables for line in table.lines}
    return tuple(line for line in lines if id(line) not in taken)


def _is_in(line: Line, box: Rect) -> bool:
    """Whether the middle of the line is in the box."""
    x, y = (sum(point[axis] for point in line.box) / len(line.box) for axis in (0, 1))
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _stand_ins(box: Rect, unit: float) -> list[Line]:
    """Lines of prose that fill the box, `unit` high; in the order of the page they stand for what is in it."""
    left, top, right, bottom = box
    count = max(1, min(round((bottom - top) / (_STEP * unit)), _MAX_STAND_INS))
    step = (bottom - top) / count
    found = []
    for at in range(count):
        middle = top + (at + 0.5) * step
        y0, y1 = max(top, middle - unit / 2), min(bottom, middle + unit / 2)
        found.append(Line(text=_PROSE, box=((left, y0), (right, y0), (right, y1), (left, y1))))
    return found


def _table(table: RuledTable) -> Block:
    return Block(
        kind=BlockKind.TABLE,
        cells=table.cells,
        box=table.box,
        confidence=mean_confidence(table.lines),
        lines=table.lines,
    )


def _as_stored(block: Block, pose: Pose, bold: frozenset[int]) -> Block:
    lines = tuple(_stored_line(line, pose) for line in block.lines)
    cells = tuple(_stored_cell(cell, pose) for cell in headed(block.cells, block.lines, bold))
    box = enclosing(lines) or (None if block.box is None else _stored_rect(block.box, pose))
    return msgspec.structs.replace(block, lines=lines, cells=cells, box=box)


def _stored_line(line: Line, pose: Pose) -> Line:
    """The line with coordinates rounded as they are stored."""
    a, b, c, d = ((round(float(x), 1), round(float(y), 1)) for x, y in pose.to_stored(np.array(line.box)))
    confidence = None if line.confidence is None else round(line.confidence, 4)
    words = tuple(_stored_word(word, pose) for word in line.words)
    return Line(text=line.text, box=(a, b, c, d), confidence=confidence, words=words)


def _stored_word(word: Word, pose: Pose) -> Word:
    return msgspec.structs.replace(word, box=_stored_rect(word.box, pose))


def _stored_cell(cell: Cell, pose: Pose) -> Cell:
    return cell if cell.box is None else msgspec.structs.replace(cell, box=_stored_rect(cell.box, pose))


def _stored_rect(rect: Rect, pose: Pose) -> Rect:
    """The upright rectangle around the place of `rect` on the stored page."""
    left, top, right, bottom = rect
    corners = pose.to_stored(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]))
    (x0, y0), (x1, y1) = corners.min(axis=0), corners.max(axis=0)
    return round(float(x0), 1), round(float(y0), 1), round(float(x1), 1), round(float(y1), 1)
