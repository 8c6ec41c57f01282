"""A page as elements of Unstructured, whose headings are the parents of what follows them."""

import hashlib
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from libs.page import table
from libs.page.block import RUNNING_KINDS, Block, BlockKind, Rect
from libs.page.markdown import DEFAULT_LEVEL
from services.web.frontdoors.absent import note
from services.web.outputs.page import PageDocument


class ElementType(StrEnum):
    """What an element is."""

    TITLE = "Title"
    NARRATIVE_TEXT = "NarrativeText"
    LIST_ITEM = "ListItem"
    TABLE = "Table"
    HEADER = "Header"
    FOOTER = "Footer"
    PAGE_NUMBER = "PageNumber"
    FORMULA = "Formula"
    FIGURE_CAPTION = "FigureCaption"
    IMAGE = "Image"
    CODE = "CodeSnippet"
    #: What is said of a page that could not be read.
    UNCATEGORIZED = "UncategorizedText"
    PAGE_BREAK = "PageBreak"


_TYPES = {
    BlockKind.TITLE: ElementType.TITLE,
    BlockKind.HEADING: ElementType.TITLE,
    BlockKind.LIST_ITEM: ElementType.LIST_ITEM,
    BlockKind.CHECK_BOX: ElementType.LIST_ITEM,
    BlockKind.TABLE: ElementType.TABLE,
    BlockKind.PAGE_HEADER: ElementType.HEADER,
    BlockKind.PAGE_FOOTER: ElementType.FOOTER,
    BlockKind.PAGE_NUMBER: ElementType.PAGE_NUMBER,
    BlockKind.FORMULA: ElementType.FORMULA,
    BlockKind.CAPTION: ElementType.FIGURE_CAPTION,
    BlockKind.FIGURE: ElementType.IMAGE,
    BlockKind.CODE: ElementType.CODE,
}
#: Levels and ids of the headings under which the next element stands, the highest first.
Outline = tuple[tuple[int, str], ...]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of the elements, and what stands on each."""

    filename: str
    filetype: str
    #: The number of the document's first page: a client may send a part of a document.
    first_page: int = 1
    languages: tuple[str, ...] = ()
    #: Whether elements have their places.
    coordinates: bool = False
    #: Whether an element stands between two pages.
    page_breaks: bool = False


class Coordinates(msgspec.Struct, frozen=True, kw_only=True):
    """A place on the page's image."""

    #: From the upper left corner on, against the clock.
    points: tuple[tuple[float, float], ...]
    layout_width: int
    layout_height: int
    system: str = "PixelSpace"


class Metadata(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an element besides its text."""

    filetype: str
    page_number: int
    filename: str
    languages: tuple[str, ...] = ()
    #: Of a title: its depth from 0.
    category_depth: int | None = None
    #: The title above it.
    parent_id: str | None = None
    #: Of a table.
    text_as_html: str | None = None
    coordinates: Coordinates | None = None
    detection_class_prob: float | None = None


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """A block."""

    type: ElementType
    #: 32 hexadecimal digits; the same whenever the same document is read.
    element_id: str
    text: str
    metadata: Metadata


def page_elements(page: PageDocument, asked: Asked, outline: Outline) -> tuple[list[Element], Outline]:
    """The elements of a page below these headings, and the headings for the next page."""
    building = _Page(page, asked, outline)
    elements = list(building.elements())
    return elements, building.outline


class _Page:
    def __init__(self, page: PageDocument, asked: Asked, outline: Outline) -> None:
        self._page = page
        self._asked = asked
        self._number = asked.first_page - 1 + page.page_no
        self.outline = outline

    def elements(self) -> Iterator[Element]:
        if self._asked.page_breaks and self._page.page_no > 1:
            yield self._element(-1, ElementType.PAGE_BREAK, "", self._metadata())
        if (said := note(self._page)) is not None:
            yield self._element(0, ElementType.UNCATEGORIZED, said, self._metadata())
            return
        for at, block in enumerate(self._page.blocks):
            if text := _text(block):
                yield self._of_block(at, block, text)

    def _of_block(self, at: int, block: Block, text: str) -> Element:
        level = _level(block)
        while level is not None and self.outline and self.outline[-1][0] >= level:
            self.outline = self.outline[:-1]
        under = self.outline[-1][1] if self.outline and block.kind not in RUNNING_KINDS else None
        metadata = msgspec.structs.replace(
            self._metadata(),
            category_depth=level,
            parent_id=under,
            text_as_html=table.to_html(block.cells) if block.cells else None,
            coordinates=self._coordinates(block.box) if self._asked.coordinates and block.box else None,
            detection_class_prob=block.confidence,
        )
        element = self._element(at, _TYPES.get(block.kind, ElementType.NARRATIVE_TEXT), text, metadata)
        if level is not None:
            self.outline = (*self.outline, (level, element.element_id))
        return element

    def _element(self, at: int, kind: ElementType, text: str, metadata: Metadata) -> Element:
        named = f"{self._asked.filename}\0{self._number}\0{at}\0{text}"
        digest = hashlib.sha256(named.encode(errors="surrogatepass")).hexdigest()[:32]
        return Element(type=kind, element_id=digest, text=text, metadata=metadata)

    def _metadata(self) -> Metadata:
        asked = self._asked
        return Metadata(
            filetype=asked.filetype, page_number=self._number, filename=asked.filename, languages=asked.languages
        )

    def _coordinates(self, box: Rect) -> Coordinates:
        left, top, right, bottom = box
        return Coordinates(
            points=((left, top), (left, bottom), (right, bottom), (right, top)),
            layout_width=self._page.width or 0,
            layout_height=self._page.height or 0,
        )


def _text(block: Block) -> str:
    if block.cells:
        return " ".join(cell.text for row in table.rows(block.cells) for cell in row if cell.text)
    if block.kind is BlockKind.CHECK_BOX:
        return f"{'☑' if block.checked else '☐'} {block.text}"
    return block.latex or block.text


def _level(block: Block) -> int | None:
    """The depth of a title from 0; None for what is none."""
    match block.kind:
        case BlockKind.TITLE:
            return 0
        case BlockKind.HEADING:
            return max(1, (block.level or DEFAULT_LEVEL) - 1)
    return None
