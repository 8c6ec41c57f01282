"""Where the text of a page stands on its image: the lines that a searchable PDF has."""

from collections.abc import Iterator, Sequence

from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.page.block import Block, BlockKind, Line, Rect, Source, lines_of
from libs.page.text import to_text
from services.web.outputs.page import blocks_of
from services.web.render.protocol import PageText

# The share of the page's sides that text without places leaves free, and the height of its lines as a share of the
# page's height where it has few. Chosen: about the margins and the lines of a printed page.
_MARGIN = 0.06
_LINE_HEIGHT = 0.018
# The width of a character as a share of its line's height. Chosen: about that of print.
_CHARACTER = 0.5
# Of a page whose size is not known, for text without places: only shares of it count.
_ANY_SIZE = (1000, 1414)


def page_text(outcome: PageOutcome) -> PageText | None:
    """The lines to put into the page, in reading order, and the size that their places refer to.

    None for a page that was not read, is blank, or whose text is the document's own. Where an engine knows no lines,
    the text is laid over its block, or over the whole page: a search then finds the page, not the place.
    """
    if outcome.status is not OutcomeStatus.COMPLETED or outcome.blank or outcome.source is Source.TEXT_LAYER:
        return None
    blocks = blocks_of(outcome)
    width, height = outcome.width, outcome.height
    if known := outcome.lines or lines_of(blocks):
        lines = (*known, *_of_blocks(blocks))
    else:
        width, height = (width, height) if width and height else _ANY_SIZE
        left, top = _MARGIN * width, _MARGIN * height
        text = to_text(blocks, headers=True)
        lines = tuple(_laid(text, (left, top, width - left, height - top), _LINE_HEIGHT * height))
    return PageText(page_no=outcome.page_no, width=width, height=height, lines=lines) if lines else None


def _of_blocks(blocks: Sequence[Block]) -> Iterator[Line]:
    """The text of blocks that have a place and no lines, where others of the page have lines."""
    for block in blocks:
        if block.box is not None and not block.lines and block.kind is not BlockKind.FIGURE:
            yield from _laid(to_text([block], headers=True), block.box, block.box[3] - block.box[1])


def _laid(text: str, box: Rect, height: float) -> Iterator[Line]:
    """The lines of the text one below the other in the box, each at most so high."""
    lines = [" ".join(line.split()) for line in text.split("\n") if line.strip()]
    left, top, right, bottom = box
    step = min(height, (bottom - top) / max(1, len(lines)))
    for number, line in enumerate(lines):
        upper, lower = top + number * step, top + (number + 1) * step
        end = min(right, left + len(line) * _CHARACTER * step)
        yield Line(text=line, box=((left, upper), (end, upper), (end, lower), (left, lower)))
