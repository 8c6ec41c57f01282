"""The layout of a page: its lines into blocks, with their boxes in coordinates of the stored page."""

from statistics import median

import msgspec
import numpy as np

from libs.page.block import Block, BlockKind, Cell, Line, Rect, Word, enclosing, mean_confidence
from services.worker.engines.lines.block import blocks
from services.worker.engines.lines.grid import RuledTable, ruled_tables
from services.worker.engines.lines.header import headed
from services.worker.engines.lines.line_box import level
from services.worker.engines.lines.order import regions
from services.worker.engines.lines.page_reader import PageLines
from services.worker.engines.lines.pose import Pose
from services.worker.engines.lines.running import set_apart


def lay_out(page: PageLines) -> tuple[Block, ...]:
    """The blocks of a page in reading order; every line is in exactly one of them."""
    return tuple(_as_stored(block, page.pose) for block in _blocks(page))


def _blocks(page: PageLines) -> list[Block]:
    tables = _ruled(page) if page.rules and page.lines else []
    taken = {id(line) for table in tables for line in table.lines}
    rest = tuple(line for line in page.lines if id(line) not in taken)
    running = set_apart(msgspec.structs.replace(page, lines=rest))
    # In the order of the page a table is one line, as wide and as high as its rules.
    stand_ins = [_stand_in(table.box) for table in tables]
    ruled = {id(line): _table(table) for line, table in zip(stand_ins, tables, strict=True)}
    return [*running.head, *blocks(regions([*running.text, *stand_ins]), ruled), *running.foot]


def _ruled(page: PageLines) -> list[RuledTable]:
    return ruled_tables(page.rules, page.lines, median(box.height for box in level(page.lines)))


def _stand_in(box: Rect) -> Line:
    left, top, right, bottom = box
    return Line(text="", box=((left, top), (right, top), (right, bottom), (left, bottom)))


def _table(table: RuledTable) -> Block:
    return Block(
        kind=BlockKind.TABLE,
        cells=table.cells,
        box=table.box,
        confidence=mean_confidence(table.lines),
        lines=table.lines,
    )


def _as_stored(block: Block, pose: Pose) -> Block:
    lines = tuple(_stored_line(line, pose) for line in block.lines)
    cells = tuple(_stored_cell(cell, pose) for cell in headed(block.cells))
    return msgspec.structs.replace(block, lines=lines, cells=cells, box=enclosing(lines) or block.box)


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
