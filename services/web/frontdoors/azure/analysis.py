"""Azure Document Intelligence's `analyzeResult` of a document, a page at a time.

The wire contract is that of API version 2024-11-30. Places are in inches for a PDF and in pixels for a picture.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from libs.page.block import Block, BlockKind, Cell, Confidence, Corners, Rect
from libs.page.table import heads_row
from services.web.frontdoors.absent import failure, note
from services.web.frontdoors.azure.content import ContentFormat, Stretch, WrittenBlock, WrittenLine, WrittenPage, write
from services.web.frontdoors.azure.offsets import Offsets, StringIndex
from services.web.frontdoors.printed import corners_of
from services.web.outputs.page import PageDocument

#: The version of the interface that is answered.
API_VERSION = "2024-11-30"
#: What stands between two pages in `content`.
SEPARATORS = {ContentFormat.TEXT: "\n\n", ContentFormat.MARKDOWN: "\n\n<!-- PageBreak -->\n\n"}
#: For a word whose engine does not say how sure it is: the field is required. Chosen: the middle.
UNKNOWN_CONFIDENCE = 0.5

_ROLES = {
    BlockKind.TITLE: "title",
    BlockKind.HEADING: "sectionHeading",
    BlockKind.PAGE_HEADER: "pageHeader",
    BlockKind.PAGE_FOOTER: "pageFooter",
    BlockKind.PAGE_NUMBER: "pageNumber",
    BlockKind.FOOTNOTE: "footnote",
    BlockKind.FORMULA: "formulaBlock",
}

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


class PageAnalysis(msgspec.Struct, frozen=True, kw_only=True):
    """What a page adds to each part of the answer."""

    #: With the separator from the page before.
    content: str
    #: Where `content` ends in that of the document, in the units of the offsets.
    end: int
    page: AnalyzedPage
    paragraphs: tuple[Paragraph, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    warnings: tuple[Warned, ...]


class AnalyzeResult(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The whole answer."""

    api_version: str
    model_id: str
    string_index_type: StringIndex
    content_format: ContentFormat
    content: str
    pages: tuple[AnalyzedPage, ...]
    paragraphs: tuple[Paragraph, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    warnings: tuple[Warned, ...]
    #: Neither is recognised.
    styles: tuple[Any, ...] = ()
    languages: tuple[Any, ...] = ()


def analyze_result(
    pages: Iterable[PageDocument],
    *,
    model_id: str,
    content_format: ContentFormat = ContentFormat.TEXT,
    string_index: StringIndex = StringIndex.CODE_POINTS,
) -> AnalyzeResult:
    """The answer for these pages, which are in order."""
    found = list(analyzed(pages, content_format, string_index))
    return AnalyzeResult(
        api_version=API_VERSION,
        model_id=model_id,
        string_index_type=string_index,
        content_format=content_format,
        content="".join(each.content for each in found),
        pages=tuple(each.page for each in found),
        paragraphs=tuple(paragraph for each in found for paragraph in each.paragraphs),
        tables=tuple(table for each in found for table in each.tables),
        figures=tuple(figure for each in found for figure in each.figures),
        warnings=tuple(warning for each in found for warning in each.warnings),
    )


def analyzed(
    pages: Iterable[PageDocument],
    content_format: ContentFormat = ContentFormat.TEXT,
    string_index: StringIndex = StringIndex.CODE_POINTS,
) -> Iterator[PageAnalysis]:
    """Each page's part of the answer, so that no caller has to hold all of them."""
    end: int | None = None
    for page in pages:
        found = analyze_page(page, end, content_format, string_index)
        yield found
        end = found.end


def analyze_page(
    page: PageDocument, before: int | None, content_format: ContentFormat, string_index: StringIndex
) -> PageAnalysis:
    """The page's part. `before` is the `end` of the page before, None for the first."""
    separator = "" if before is None else SEPARATORS[content_format]
    said = note(page)
    written = write(page.blocks, content_format) if said is None else WrittenPage(said, ())
    offsets = Offsets(separator + written.text, string_index, before or 0)
    analysis = _Analysis(page, _Spans(offsets, len(separator)), written)
    return PageAnalysis(
        content=separator + written.text,
        end=offsets.end,
        page=analysis.page(),
        paragraphs=tuple(analysis.paragraphs()),
        tables=tuple(analysis.tables()),
        figures=tuple(analysis.figures()),
        warnings=tuple(_warned(page)),
    )


def _warned(page: PageDocument) -> Iterator[Warned]:
    target = f"/pages/{page.page_no}"
    if (reason := failure(page)) is not None:
        yield Warned(code="PageFailed", message=reason, target=target)
    for warning in page.warnings:
        yield Warned(code="PageToCheck", message=warning, target=target)


class _Spans:
    """Parts of the document's content by parts of the page's text."""

    def __init__(self, offsets: Offsets, separator: int) -> None:
        self._offsets = offsets
        self._separator = separator

    def of(self, at: Stretch) -> Span:
        start, end = self._offsets.at(at.start + self._separator), self._offsets.at(at.end + self._separator)
        return Span(start, end - start)

    def all(self, at: Sequence[Stretch]) -> tuple[Span, ...]:
        """One span from the first to the last; none where there are none."""
        return (self.of(Stretch(at[0].start, max(each.end for each in at))),) if at else ()


class _Analysis:
    """The parts of a page."""

    def __init__(self, page: PageDocument, spans: _Spans, written: WrittenPage) -> None:
        self._document = page
        self._spans = spans
        self._written = written
        self._per_unit = float(page.dpi or 1)

    def page(self) -> AnalyzedPage:
        page = self._document
        lines = [line for block in self._written.blocks for line in block.lines]
        written = [self._line(line) for line in lines]
        words = [self._word(line, at) for line in lines for at in range(len(line.words))]
        whole = Stretch(0, len(self._written.text))
        if failure(page) is not None:
            # Clients that read lines, and not `content`, see it too.
            written.append(TextLine(content=self._written.text, spans=(self._spans.of(whole),)))
        return AnalyzedPage(
            page_number=page.page_no,
            spans=(self._spans.of(whole),) if self._written.text else (),
            words=tuple(words),
            lines=tuple(written),
            unit="inch" if page.dpi else "pixel",
            angle=_angle(page),
            width=page.width and self._length(page.width),
            height=page.height and self._length(page.height),
            selection_marks=tuple(self._marks()),
        )

    def paragraphs(self) -> Iterator[Paragraph]:
        for block in self._written.blocks:
            if not block.cells and block.lines:
                yield Paragraph(
                    content=_content(block),
                    spans=(self._spans.of(block.at),),
                    bounding_regions=self._regions(block.block.box),
                    role=_ROLES.get(block.block.kind),
                )

    def tables(self) -> Iterator[Table]:
        blocks = self._written.blocks
        for at, block in enumerate(blocks):
            if block.cells:
                cells = [self._cell(block.block, cell, lines) for cell, lines in block.cells]
                covered = {place for cell, _ in block.cells for place in _places(cell)}
                rows = max(row for row, _ in covered) + 1
                columns = max(column for _, column in covered) + 1
                empty = (
                    TableCell(row_index=row, column_index=column, content="", spans=())
                    for row in range(rows)
                    for column in range(columns)
                    if (row, column) not in covered
                )
                yield Table(
                    row_count=rows,
                    column_count=columns,
                    cells=tuple(sorted((*cells, *empty), key=lambda cell: (cell.row_index, cell.column_index))),
                    spans=(self._spans.of(block.at),),
                    bounding_regions=self._regions(block.block.box),
                    caption=self._caption(blocks, at),
                )

    def figures(self) -> Iterator[Figure]:
        written = {id(each.block): at for at, each in enumerate(self._written.blocks)}
        figures = [block for block in self._document.blocks if block.kind is BlockKind.FIGURE]
        for number, block in enumerate(figures, 1):
            at = written.get(id(block))
            yield Figure(
                id=f"{self._document.page_no}.{number}",
                spans=() if at is None else (self._spans.of(self._written.blocks[at].at),),
                bounding_regions=self._regions(block.box),
                caption=None if at is None else self._caption(self._written.blocks, at),
            )

    def _line(self, line: WrittenLine) -> TextLine:
        return TextLine(
            content=line.line.text, spans=(self._spans.of(line.at),), polygon=self._polygon(line.line.corners)
        )

    def _word(self, line: WrittenLine, at: int) -> Word:
        word, place = line.words[at]
        return Word(
            content=word.text,
            span=self._spans.of(place),
            confidence=_sure(word.confidence),
            polygon=self._polygon(word.corners),
        )

    def _marks(self) -> Iterator[SelectionMark]:
        for block in self._written.blocks:
            if block.mark is not None:
                box = block.block.box
                yield SelectionMark(
                    state="selected" if block.block.checked else "unselected",
                    span=self._spans.of(block.mark),
                    confidence=_sure(block.block.confidence),
                    polygon=self._polygon(corners_of(box) if box else None),
                )

    def _cell(self, table: Block, cell: Cell, lines: Sequence[WrittenLine]) -> TableCell:
        return TableCell(
            row_index=cell.row,
            column_index=cell.column,
            row_span=cell.row_span,
            column_span=cell.column_span,
            kind=_kind(table, cell),
            content="\n".join(line.line.text for line in lines),
            spans=self._spans.all([line.at for line in lines]),
            bounding_regions=self._regions(cell.box) if cell.box else (),
        )

    def _caption(self, blocks: Sequence[WrittenBlock], at: int) -> Caption | None:
        """The caption below, else the one above."""
        for near in (*blocks[at + 1 : at + 2], *blocks[max(0, at - 1) : at]):
            if near.block.kind is BlockKind.CAPTION:
                return Caption(
                    content=_content(near),
                    spans=(self._spans.of(near.at),),
                    bounding_regions=self._regions(near.block.box),
                )
        return None

    def _regions(self, box: Rect | None) -> tuple[Region, ...]:
        """The place of the box; the whole page where it is not known, so that a client learns the page."""
        if box is None:
            box = (0, 0, self._document.width or 0, self._document.height or 0)
        polygon = self._polygon(corners_of(box))
        return (Region(page_number=self._document.page_no, polygon=polygon or ()),)

    def _polygon(self, corners: Corners | None) -> Polygon | None:
        return None if corners is None else tuple(self._length(value) for point in corners for value in point)

    def _length(self, pixels: float) -> float:
        return round(pixels / self._per_unit, 4)


def _content(block: WrittenBlock) -> str:
    return "\n".join(line.line.text for line in block.lines)


def _sure(confidence: Confidence) -> float:
    return UNKNOWN_CONFIDENCE if confidence is None else round(confidence, 4)


def _angle(page: PageDocument) -> float:
    """Text that has to be turned clockwise to stand upright is turned the other way."""
    angle = -(page.rotation + page.skew) % 360
    return round(angle - 360 if angle > 180 else angle, 2)


def _kind(table: Block, cell: Cell) -> str | None:
    if not cell.header:
        return None
    return "rowHeader" if heads_row(table.cells, cell) else "columnHeader"


def _places(cell: Cell) -> Iterator[tuple[int, int]]:
    for row in range(cell.row, cell.row + cell.row_span):
        for column in range(cell.column, cell.column + cell.column_span):
            yield row, column
