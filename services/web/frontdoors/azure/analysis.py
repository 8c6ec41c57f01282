"""Azure Document Intelligence's `analyzeResult` of a document, a page at a time."""

from collections.abc import Iterator, Sequence

import msgspec

from libs.page.block import Block, BlockKind, Cell, Confidence, Corners, Rect
from libs.page.table import heads_row
from services.web.frontdoors.absent import failure, note
from services.web.frontdoors.azure.content import ContentFormat, Stretch, WrittenBlock, WrittenLine, WrittenPage, write
from services.web.frontdoors.azure.objects import (
    AnalyzedPage,
    Caption,
    Figure,
    Paragraph,
    Polygon,
    Region,
    SelectionMark,
    Span,
    Table,
    TableCell,
    TextLine,
    Warned,
    Word,
)
from services.web.frontdoors.azure.offsets import Offsets, StringIndex
from services.web.frontdoors.printed import corners_of
from services.web.outputs.page import PageDocument

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
