"""Our pages as a DoclingDocument, a page at a time."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from libs.page import table
from libs.page.block import RUNNING_KINDS, Block, BlockKind, Rect
from libs.page.markdown import DEFAULT_LEVEL
from services.web.frontdoors.absent import note
from services.web.frontdoors.docling.items import (
    BODY,
    Box,
    Cell,
    Description,
    Group,
    Page,
    Picture,
    Provenance,
    Ref,
    Size,
    Table,
    TableData,
    Text,
)
from services.web.outputs.page import PageDocument

T = TypeVar("T", Text, Group, Table, Picture)

# Of a PDF.
_POINTS_PER_INCH = 72
_LABELS = {
    BlockKind.TITLE: "title",
    BlockKind.HEADING: "section_header",
    BlockKind.LIST_ITEM: "list_item",
    BlockKind.FORMULA: "formula",
    BlockKind.CAPTION: "caption",
    BlockKind.PAGE_HEADER: "page_header",
    BlockKind.PAGE_FOOTER: "page_footer",
    # Docling has no label for it.
    BlockKind.PAGE_NUMBER: "page_footer",
    BlockKind.FOOTNOTE: "footnote",
    BlockKind.CODE: "code",
}
_FLOATING = frozenset({BlockKind.TABLE, BlockKind.FIGURE})
# Their printed lines are one line of Markdown, in which Docling would write a line's end as it is.
_ON_ONE_LINE = frozenset({BlockKind.TITLE, BlockKind.HEADING, BlockKind.LIST_ITEM, BlockKind.CAPTION})


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many items the pages before have: items are named by their numbers."""

    texts: int = 0
    groups: int = 0
    tables: int = 0
    pictures: int = 0


class DoclingPage(msgspec.Struct, frozen=True, kw_only=True):
    """What a page adds to each part of the document."""

    page: Page
    #: The outermost items in reading order, running heads included.
    children: tuple[Ref, ...]
    texts: tuple[Text, ...]
    groups: tuple[Group, ...]
    tables: tuple[Table, ...]
    pictures: tuple[Picture, ...]
    #: With this page.
    counts: Counts


def docling_page(page: PageDocument, before: Counts) -> DoclingPage:
    """The page's part, after pages with so many items."""
    return _Building(page, before).built()


class _Building:
    """Items of a page as they are added; they are frozen at the end, when all their children are known."""

    def __init__(self, page: PageDocument, before: Counts) -> None:
        self._page = page
        self._before = before
        self._per_unit = page.dpi / _POINTS_PER_INCH if page.dpi else 1.0
        self._size = Size(self._length(page.width or 0), self._length(page.height or 0))
        self._children: dict[str, list[Ref]] = {BODY: []}
        self._texts: list[Text] = []
        self._groups: list[Group] = []
        self._tables: list[Table] = []
        self._pictures: list[Picture] = []

    def built(self) -> DoclingPage:
        said = note(self._page)
        if said is not None:
            self._text(Block(kind=BlockKind.PARAGRAPH, text=said), BODY)
        self._add(self._page.blocks if said is None else ())
        before = self._before
        return DoclingPage(
            page=Page(page_no=self._page.page_no, size=self._size),
            children=tuple(self._children[BODY]),
            texts=tuple(self._with_children(item) for item in self._texts),
            groups=tuple(self._with_children(item) for item in self._groups),
            tables=tuple(self._with_children(item) for item in self._tables),
            pictures=tuple(self._with_children(item) for item in self._pictures),
            counts=Counts(
                texts=before.texts + len(self._texts),
                groups=before.groups + len(self._groups),
                tables=before.tables + len(self._tables),
                pictures=before.pictures + len(self._pictures),
            ),
        )

    def _add(self, blocks: Sequence[Block]) -> None:
        captions = _captions(blocks)
        taken = set(captions.values())
        # The lists that are open, each with its depth and its last item.
        lists: list[tuple[int, str, str]] = []
        for at, block in enumerate(blocks):
            if block.kind is BlockKind.LIST_ITEM:
                self._list_item(block, lists)
                continue
            lists.clear()
            if _floats(block):
                self._floating(block, blocks[captions[at]] if at in captions else None)
            elif at not in taken and (block.text or block.latex):
                self._text(block, BODY)

    def _list_item(self, block: Block, lists: list[tuple[int, str, str]]) -> None:
        """Add the item to the list of its depth, which is opened in the item before if there is none."""
        level = block.level or 1
        while lists and lists[-1][0] > level:
            lists.pop()
        if not lists or lists[-1][0] < level:
            parent = lists[-1][2] if lists else BODY
            ref = f"#/groups/{self._before.groups + len(self._groups)}"
            self._groups.append(
                Group(self_ref=ref, parent=Ref(parent), children=(), content_layer="body", label="list", name="list")
            )
            self._children.setdefault(parent, []).append(Ref(ref))
            lists.append((level, ref, ""))
        group = lists[-1][1]
        lists[-1] = (lists[-1][0], group, self._text(block, group))

    def _text(self, block: Block, parent: str) -> str:
        ref = f"#/texts/{self._before.texts + len(self._texts)}"
        shown = " ".join(block.text.split()) if block.kind in _ON_ONE_LINE else block.text
        listed = block.kind is BlockKind.LIST_ITEM
        text = block.latex or shown
        heading = block.kind is BlockKind.HEADING
        self._texts.append(
            Text(
                self_ref=ref,
                parent=Ref(parent),
                children=(),
                content_layer="furniture" if block.kind in RUNNING_KINDS else "body",
                label=_label(block),
                prov=self._places(block.box, len(text)),
                orig=f"{block.marker} {block.text}".strip() if listed else block.text or text,
                text=text,
                # A title is Markdown's first level, and Docling's first heading its second.
                level=max(1, (block.level or DEFAULT_LEVEL) - 1) if heading else None,
                enumerated=any(map(str.isalnum, block.marker)) if listed else None,
                marker=(block.marker or "-") if listed else None,
                code_language="unknown" if block.kind is BlockKind.CODE else None,
            )
        )
        self._children.setdefault(parent, []).append(Ref(ref))
        return ref

    def _floating(self, block: Block, caption: Block | None) -> None:
        is_table = block.kind is BlockKind.TABLE
        number = self._before.tables + len(self._tables) if is_table else self._before.pictures + len(self._pictures)
        ref = f"#/{'tables' if is_table else 'pictures'}/{number}"
        self._children[BODY].append(Ref(ref))
        captions = (Ref(self._text(caption, ref)),) if caption is not None else ()
        item: dict[str, Any] = {
            "self_ref": ref,
            "parent": Ref(BODY),
            "children": (),
            "content_layer": "body",
            "prov": self._places(block.box, 0),
            "captions": captions,
        }
        if is_table:
            self._tables.append(Table(label="table", data=self._data(block), **item))
            return
        described = (Description(text=block.text, provenance=self._page.engine or ""),) if block.text else ()
        self._pictures.append(Picture(label="picture", annotations=described, **item))

    def _data(self, block: Block) -> TableData:
        cells = []
        for cell in sorted(block.cells, key=lambda cell: (cell.row, cell.column)):
            heads_row = table.heads_row(block.cells, cell)
            cells.append(
                Cell(
                    text=cell.text,
                    row_span=cell.row_span,
                    col_span=cell.column_span,
                    start_row_offset_idx=cell.row,
                    end_row_offset_idx=cell.row + cell.row_span,
                    start_col_offset_idx=cell.column,
                    end_col_offset_idx=cell.column + cell.column_span,
                    column_header=cell.header and not heads_row,
                    row_header=heads_row,
                    bbox=self._from_top(cell.box) if cell.box else None,
                )
            )
        return TableData(
            table_cells=tuple(cells),
            num_rows=max(cell.end_row_offset_idx for cell in cells),
            num_cols=max(cell.end_col_offset_idx for cell in cells),
        )

    def _places(self, box: Rect | None, length: int) -> tuple[Provenance, ...]:
        """The place of the box; the whole page where it is not known, so that a client learns the page."""
        bbox = Box(0.0, self._size.height, self._size.width, 0.0, "BOTTOMLEFT")
        if box is not None:
            top = self._from_top(box)
            height = self._size.height
            bbox = Box(top.l, round(height - top.t, 4), top.r, round(height - top.b, 4), "BOTTOMLEFT")
        return (Provenance(page_no=self._page.page_no, bbox=bbox, charspan=(0, length)),)

    def _from_top(self, box: Rect) -> Box:
        """The box within the page: Docling warns of one that reaches beyond, as a line's may by a pixel."""
        left, top, right, bottom = map(self._length, box)
        width, height = self._size.width, self._size.height
        return Box(
            _within(left, width), _within(top, height), _within(right, width), _within(bottom, height), "TOPLEFT"
        )

    def _length(self, pixels: float) -> float:
        return round(pixels / self._per_unit, 4)

    def _with_children(self, item: T) -> T:
        children = self._children.get(item.self_ref)
        return msgspec.structs.replace(item, children=tuple(children)) if children else item


def _within(value: float, most: float) -> float:
    return min(max(0.0, value), most)


def _label(block: Block) -> str:
    if block.kind is BlockKind.CHECK_BOX:
        return "checkbox_selected" if block.checked else "checkbox_unselected"
    return _LABELS.get(block.kind, "text")


def _floats(block: Block) -> bool:
    """Whether it is an item that may have a caption. A table without cells is a text."""
    return block.kind in _FLOATING and (bool(block.cells) or block.kind is BlockKind.FIGURE)


def _captions(blocks: Sequence[Block]) -> dict[int, int]:
    """The captions of tables and figures by their places: the one below, else the one above that is no other's."""
    found: dict[int, int] = {}
    for at, block in enumerate(blocks):
        if _floats(block):
            for near in (at + 1, at - 1):
                is_caption = 0 <= near < len(blocks) and blocks[near].kind is BlockKind.CAPTION and blocks[near].text
                if is_caption and near not in found.values():
                    found[at] = near
                    break
    return found
