"""What a render child and its parent say to each other, and the limits they both hold.

The parent sends lines of JSON: one `OpenRequest`, then any number of `PagesRequest`. The child answers with
frames: one on the document, then one on each requested page, in order. Reasons cross as codes of a closed
set and never as text, so that a child taken over by a hostile document can put no words into our mouth.
"""

import struct
from enum import IntEnum, StrEnum

import msgspec

from libs import textlayer
from services.web.render.filetype import FileType

_HEADER = struct.Struct(">BII")
HEADER_BYTES = _HEADER.size
MAX_SMALL_PAYLOAD = 1024
"""Bytes that a payload without a picture may have."""


class RenderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one document may cost."""

    open_seconds: float = 60.0  # wall clock, until the number of pages is known
    render_seconds: float = 30.0  # wall clock, a page
    cpu_seconds: int = 60  # of processor time, for opening or for any one page: the backstop if the parent is stuck
    memory_bytes: int = 2 * 1024**3  # address space of the child
    max_pages: int = 5_000
    max_side: int = 10_000  # pixels of a page image; a larger page is made smaller
    max_pixels: int = 40_000_000  # of a page image; likewise
    # Of an image before it is made smaller: a byte a pixel for grey and bilevel, four for all else. Twice this (a
    # conversion) and the smaller copy fit in `memory_bytes`.
    max_decoded_bytes: int = 640_000_000
    # Pages in a row that may each cost a child before the rest is given up. Eight times thirty seconds stays
    # well inside a task's dispatch deadline of 600, and a few heavy drawings in a row survive.
    max_lost_in_a_row: int = 8

    @property
    def max_png_bytes(self) -> int:
        """No page image within these limits is larger: raw RGB, a filter byte a row, deflate's overhead, the text."""
        raw = 3 * self.max_pixels + self.max_side
        return raw + raw // 100 + 65_536 + textlayer.MAX_CHUNK_BYTES


class Fault(StrEnum):
    """Why a document or a page could not be turned into an image, and what its owner can do."""

    # of the document
    ENCRYPTED = "The PDF is protected by a password. Remove the password and upload it again."
    NOT_PDF = "The file begins like a PDF but is something else inside. Export it as a PDF and upload that."
    DAMAGED = "The file is damaged or cut off and cannot be opened. Check it on your computer and upload it again."
    NO_PAGES = "No page can be found in the file; it may be cut off. Check it on your computer and upload it again."
    TOO_MANY_PAGES = "The document has too many pages. Split it into smaller files and upload those."
    TOO_LARGE_TO_OPEN = "Opening the file takes more memory than allowed. Make it smaller and upload it again."
    # of a page
    PAGE_DAMAGED = "The page is damaged and cannot be drawn. Check it on your computer and upload a repaired file."
    PAGE_EMPTY = "The page is less than one pixel wide or high. Choose a higher resolution or leave it out."
    PAGE_TOO_LARGE = "The picture has more pixels than allowed. Make it smaller and upload it again."
    PAGE_MEMORY = "Drawing the page takes more memory than allowed. Export it with smaller images and upload it again."


class OpenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Open this file. `dpi` is for PDF pages; images keep their own pixels."""

    path: str
    file_type: FileType
    dpi: int
    limits: RenderLimits
    parent: int  # process id: a child that finds another parent has been orphaned already


class PagesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Render these 1-based pages, in this order."""

    pages: tuple[int, ...]


class DocumentOpened(msgspec.Struct, frozen=True, kw_only=True):
    """The document is open. `repaired`: it is damaged, and pages may be missing from the count."""

    total_pages: int
    repaired: bool


class Kind(IntEnum):
    """What a frame carries."""

    DOCUMENT = 0  # `DocumentOpened` as JSON
    DOCUMENT_FAULT = 1  # the name of a `Fault`; nothing follows
    PAGE = 2  # a PNG
    PAGE_FAULT = 3  # the name of a `Fault`


class BadFrame(ValueError):
    """The child talks nonsense."""


def encode_header(kind: Kind, page_no: int, length: int) -> bytes:
    """The header of a frame: its kind, its page (0 for the document) and the bytes of payload after it."""
    return _HEADER.pack(kind, page_no, length)


def decode_header(header: bytes, limits: RenderLimits) -> tuple[Kind, int, int]:
    """Read a header: kind, page and length, the length bounded by the kind. Raises `BadFrame`."""
    code, page_no, length = _HEADER.unpack(header)
    try:
        kind = Kind(code)
    except ValueError as error:
        raise BadFrame(f"frame of unknown kind {code}") from error
    if length > (limits.max_png_bytes if kind is Kind.PAGE else MAX_SMALL_PAYLOAD):
        raise BadFrame(f"{kind.name} frame of {length} bytes")
    return kind, page_no, length


def decode_opened(payload: bytes, limits: RenderLimits) -> DocumentOpened:
    """Read the payload of a DOCUMENT frame. Raises `BadFrame`."""
    try:
        opened = _opened_decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadFrame("not a document") from error
    if not 1 <= opened.total_pages <= limits.max_pages:
        raise BadFrame(f"a document of {opened.total_pages} pages")
    return opened


def decode_fault(payload: bytes) -> Fault:
    """Read the payload of a fault frame. Raises `BadFrame`."""
    try:
        return Fault[payload.decode("ascii")]
    except (KeyError, UnicodeDecodeError) as error:
        raise BadFrame("an unknown fault") from error


_opened_decoder = msgspec.json.Decoder(DocumentOpened)
