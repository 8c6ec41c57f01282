"""The items of a DoclingDocument, version 1.3.0, as `docling-core` reads them.

Boxes are in points for a PDF and in pixels for a picture. Those of items count from the page's lower left corner and
those of cells from its upper left one, as Docling itself writes them.
"""

import msgspec

#: The version of the document that is written.
VERSION = "1.3.0"
#: The root of the items, those of running heads included.
BODY = "#/body"


class Ref(msgspec.Struct, frozen=True):
    """Names an item by its place in the document."""

    ref: str = msgspec.field(name="$ref")


class Box(msgspec.Struct, frozen=True):
    """A place on a page."""

    l: float  # noqa: E741  # the contract's names
    t: float
    r: float
    b: float
    coord_origin: str


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """The place of an item; the whole page where only that is known."""

    page_no: int
    bbox: Box
    #: The item's text from its first character to its last.
    charspan: tuple[int, int]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """What every item has."""

    self_ref: str
    parent: Ref | None
    children: tuple[Ref, ...]
    content_layer: str
    label: str


class Text(Item, frozen=True, kw_only=True, omit_defaults=True):
    """A text; the members that are not set belong to items of other labels."""

    prov: tuple[Provenance, ...]
    #: As printed.
    orig: str
    text: str
    #: Of a section's heading, from 1, which Markdown writes as "##".
    level: int | None = None
    #: Of a list's item.
    enumerated: bool | None = None
    marker: str | None = None
    #: Of code.
    code_language: str | None = None


class Cell(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cell of a table."""

    text: str
    row_span: int
    col_span: int
    start_row_offset_idx: int
    end_row_offset_idx: int
    start_col_offset_idx: int
    end_col_offset_idx: int
    column_header: bool
    row_header: bool
    row_section: bool = False
    bbox: Box | None = None


class TableData(msgspec.Struct, frozen=True, kw_only=True):
    """The cells of a table, row by row."""

    table_cells: tuple[Cell, ...]
    num_rows: int
    num_cols: int


class Table(Item, frozen=True, kw_only=True):
    """A table."""

    prov: tuple[Provenance, ...]
    captions: tuple[Ref, ...]
    data: TableData


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What is said about a picture."""

    text: str
    #: What says it.
    provenance: str
    kind: str = "description"


class Picture(Item, frozen=True, kw_only=True):
    """A picture."""

    prov: tuple[Provenance, ...]
    captions: tuple[Ref, ...]
    annotations: tuple[Description, ...]


class Group(Item, frozen=True, kw_only=True):
    """A list, or the root of all items."""

    name: str


class Size(msgspec.Struct, frozen=True):
    """The sides of a page; 0 where they are not known."""

    width: float
    height: float


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page."""

    page_no: int
    size: Size


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """The file that was read."""

    filename: str
    mimetype: str
    #: 64 bits.
    binary_hash: int


def root(name: str, layer: str) -> Group:
    """One of the two roots."""
    return Group(
        self_ref=f"#/{name}", parent=None, children=(), content_layer=layer, label="unspecified", name="_root_"
    )
