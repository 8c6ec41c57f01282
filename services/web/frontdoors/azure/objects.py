"""The objects of Azure Document Intelligence's `analyzeResult`, as they are sent.

The wire contract is that of API version 2024-11-30. Places are in inches for a PDF and in pixels for a picture.
"""

import msgspec

#: The version of the interface that is answered.
API_VERSION = "2024-11-30"
#: x and y of four corners, clockwise from the start of the text.
Polygon = tuple[float, ...]


class Span(msgspec.Struct, frozen=True):
    """A part of `content`."""

    offset: int
    length: int


class Region(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A place on a page."""

    page_number: int
    polygon: Polygon


class Word(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A word of a page."""

    content: str
    span: Span
    confidence: float
    #: Missing where its place is not known, as of a model's text.
    polygon: Polygon | None = None


class SelectionMark(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A check box."""

    #: "selected" or "unselected".
    state: str
    span: Span
    confidence: float
    polygon: Polygon | None = None


class TextLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A line of a page."""

    content: str
    spans: tuple[Span, ...]
    polygon: Polygon | None = None


class AnalyzedPage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A page; its sides are missing where they are not known, as of a page that could not be rendered."""

    page_number: int
    spans: tuple[Span, ...]
    words: tuple[Word, ...]
    lines: tuple[TextLine, ...]
    unit: str
    #: Of the text against the page, clockwise, in degrees above -180 up to 180.
    angle: float = 0.0
    width: float | None = None
    height: float | None = None
    selection_marks: tuple[SelectionMark, ...] = ()


class Paragraph(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A block that is no table."""

    content: str
    spans: tuple[Span, ...]
    bounding_regions: tuple[Region, ...]
    role: str | None = None


class TableCell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A cell of a table; every place of the table is covered by one."""

    row_index: int
    column_index: int
    content: str
    spans: tuple[Span, ...]
    #: "columnHeader" or "rowHeader"; missing for content.
    kind: str | None = None
    row_span: int = 1
    column_span: int = 1
    bounding_regions: tuple[Region, ...] = ()


class Caption(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The caption of a table or a figure."""

    content: str
    spans: tuple[Span, ...]
    bounding_regions: tuple[Region, ...]


class Table(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A table."""

    row_count: int
    column_count: int
    cells: tuple[TableCell, ...]
    spans: tuple[Span, ...]
    bounding_regions: tuple[Region, ...]
    caption: Caption | None = None


class Figure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """A figure."""

    #: The page and the figure's number on it, from 1: "3.1".
    id: str
    spans: tuple[Span, ...]
    bounding_regions: tuple[Region, ...]
    caption: Caption | None = None


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """What the client should know of a page."""

    code: str
    message: str
    target: str
