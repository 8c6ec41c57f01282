"""A page's blocks in reading order: every rendering of a page is made from them.

Boxes are in pixels of the page image as stored, with the origin at the top left corner.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

#: x and y in pixels of the page image as stored.
Point: TypeAlias = tuple[float, float]

#: The four corners of text that may be turned, clockwise from the start of the text.
Corners: TypeAlias = Annotated[
    tuple[Point, Point, Point, Point],
    Meta(description="The four corners (x, y) in pixels of the page image, clockwise from the start of the text."),
]

#: Left, top, right and bottom of an upright rectangle.
Rect: TypeAlias = Annotated[
    tuple[float, float, float, float],
    Meta(description="Left, top, right and bottom in pixels of the page image."),
]

#: How sure a recogniser is. The bounds are not checked on decoding, so that no stored page becomes unreadable.
Confidence: TypeAlias = Annotated[
    float | None,
    Meta(
        description="How sure the recogniser is; missing where it does not say.",
        extra_json_schema={"minimum": 0, "maximum": 1},
    ),
]


class Source(StrEnum):
    """Where the text of a page comes from."""

    #: Lines that an OCR engine recognised.
    OCR = "ocr"
    #: A generative model, which wrote the page.
    MODEL = "model"
    #: The document's own text.
    TEXT_LAYER = "text_layer"


class BlockKind(StrEnum):
    """What a block is on the page."""

    #: The title of the document or of a chapter.
    TITLE = "title"
    #: A heading; `Block.level` counts from 1, the highest.
    HEADING = "heading"
    #: Running text.
    PARAGRAPH = "paragraph"
    #: An item of a list; `Block.level` is its depth from 1, `Block.marker` the bullet or number as printed.
    LIST_ITEM = "list_item"
    #: `Block.cells` in rows and columns.
    TABLE = "table"
    #: A formula that is set apart.
    FORMULA = "formula"
    #: A picture; the text is a description of it.
    FIGURE = "figure"
    #: The caption of a figure or a table.
    CAPTION = "caption"
    #: A running head.
    PAGE_HEADER = "page_header"
    #: A running foot.
    PAGE_FOOTER = "page_footer"
    #: The page's printed number.
    PAGE_NUMBER = "page_number"
    #: A note at the foot of the page.
    FOOTNOTE = "footnote"
    #: A check box with its label; `Block.checked` says whether it is ticked.
    CHECK_BOX = "check_box"
    #: Lines of a program, or of a terminal.
    CODE = "code"


#: What belongs to the sheet and not to the text: left out of running text unless asked for.
RUNNING_KINDS = frozenset({BlockKind.PAGE_HEADER, BlockKind.PAGE_FOOTER, BlockKind.PAGE_NUMBER})


class Word(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A word of a line."""

    text: str
    box: Rect
    confidence: Confidence = None


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line of text as it stands on the page."""

    text: str
    box: Corners
    confidence: Confidence = None
    #: From left to right; empty where the source does not know them.
    words: Annotated[
        tuple[Word, ...], Meta(description="In reading order; missing where the source does not know them.")
    ] = ()


class Cell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cell of a table. Cells do not overlap; places that no cell covers are empty."""

    #: The first row that the cell covers, from 0.
    row: Annotated[
        int, Meta(description="The first row that the cell covers, from 0.", extra_json_schema={"minimum": 0})
    ]
    #: The first column that the cell covers, from 0.
    column: Annotated[
        int, Meta(description="The first column that the cell covers, from 0.", extra_json_schema={"minimum": 0})
    ]
    text: str = ""
    #: How many rows the cell covers.
    row_span: Annotated[int, Meta(description="How many rows the cell covers.", extra_json_schema={"minimum": 1})] = 1
    #: How many columns the cell covers.
    column_span: Annotated[
        int, Meta(description="How many columns the cell covers.", extra_json_schema={"minimum": 1})
    ] = 1
    #: The cell heads its column or its row.
    header: Annotated[bool, Meta(description="The cell heads its column or its row.")] = False
    box: Rect | None = None


class Block(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A block of a page: its kind, and its text or cells."""

    kind: BlockKind
    #: The text without markup, its printed lines separated by newlines; empty for a table, whose text is in its cells.
    text: Annotated[
        str,
        Meta(
            description="The text without markup, its printed lines separated by newlines. "
            "Missing for a table, whose text is in its cells."
        ),
    ] = ""
    #: Of a heading from 1, the highest; of a list item its depth from 1.
    level: Annotated[
        int | None, Meta(description="Of a heading from 1, the highest; of a list item its depth from 1.")
    ] = None
    #: The bullet or number of a list item, as printed.
    marker: Annotated[str, Meta(description="The bullet or number of a list item, as printed.")] = ""
    #: Of a check box.
    checked: Annotated[bool | None, Meta(description="Whether a check box is ticked.")] = None
    #: Of a table, row by row.
    cells: Annotated[tuple[Cell, ...], Meta(description="Of a table, row by row.")] = ()
    #: Of a formula, without delimiters.
    latex: Annotated[str, Meta(description="Of a formula, without delimiters.")] = ""
    #: The block as a model wrote it, with emphasis, links and formulas; empty where the source writes no Markdown.
    markdown: Annotated[
        str,
        Meta(
            description="The block as a model wrote it, with emphasis, links and formulas. "
            "Missing where the source writes no Markdown."
        ),
    ] = ""
    #: `None` where the source knows no places.
    box: Rect | None = None
    confidence: Confidence = None
    #: The lines that the block is made of, in reading order.
    lines: Annotated[tuple[Line, ...], Meta(description="The lines that the block is made of, in reading order.")] = ()


def lines_of(blocks: Iterable[Block]) -> tuple[Line, ...]:
    """The lines of all blocks, in reading order."""
    return tuple(line for block in blocks for line in block.lines)


def enclosing(lines: Sequence[Line]) -> Rect | None:
    """The upright rectangle around the lines; None where there are none."""
    points = [point for line in lines for point in line.box]
    if not points:
        return None
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return min(xs), min(ys), max(xs), max(ys)


def mean_confidence(lines: Sequence[Line]) -> float | None:
    """The mean over the characters of those lines that have a confidence; None where none has."""
    known = [(line.confidence, len(line.text)) for line in lines if line.confidence is not None]
    characters = sum(length for _, length in known)
    return round(sum(sure * length for sure, length in known) / characters, 4) if characters else None
