"""What a render child and its parent send each other, and the limits that both hold.

The parent sends lines of JSON: one `OpenRequest`, then any number of `PagesRequest`. The child answers with frames: one
for the document, then one for each requested page, in order. Where the request has `searchable`, the later lines are
`PageText`, and after the end of the parent's side the child sends a `SearchableMade` and the PDF in pieces. Reasons
cross as codes of a closed set, so that no text of a hostile document's choice reaches a user or a log.
"""

import struct
from enum import IntEnum, StrEnum

import msgspec

from libs import textlayer
from libs.codec import BadMessage, Codec
from libs.page.block import Line
from services.serving.jail import Wall
from services.web.render.filetype import FileType

_HEADER = struct.Struct(">BII")
#: Bytes of a frame's header.
HEADER_BYTES = _HEADER.size
#: Bytes of a piece of a searchable PDF. Chosen: few system calls, little memory.
MAX_PIECE_BYTES = 1 << 20
#: Bytes of a payload other than a page's PNG or a piece. Chosen: several times a `DocumentOpened`.
MAX_SMALL_PAYLOAD = 1024


class RenderLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one document may cost. `MAX_*`, `RENDER_SECONDS` and `CHILD_MEMORY_BYTES` set the most important ones."""

    #: Wall-clock seconds until the number of pages is known.
    open_seconds: float = 60.0
    #: Wall-clock seconds a page.
    render_seconds: float = 30.0
    #: Seconds of processor time for opening or for any one page: the backstop where the parent is stuck.
    cpu_seconds: int = 60
    #: Bytes of address space of the child.
    memory_bytes: int = 2 * 1024**3
    #: Pages of a document; one with more is refused.
    max_pages: int = 5_000
    #: Pixels of a side of a page image; a larger page is rendered smaller.
    max_side: int = 10_000
    #: Pixels of a page image; a larger page is rendered smaller.
    max_pixels: int = 40_000_000
    #: Bytes of an image file's pixels before it is made smaller: one byte a pixel for grey and bilevel, four for all
    #: else. Twice this (a conversion) and the smaller copy fit in `memory_bytes`.
    max_decoded_bytes: int = 640_000_000
    #: Pages in a row that may each cost a child before the rest is given up. Eight times 30 s stays well inside a
    #: task's dispatch deadline of 600 s, and a few heavy drawings in a row are survived.
    max_lost_in_a_row: int = 8
    #: Wall-clock seconds until the text of all pages is in a searchable PDF, and again until its last byte is there.
    searchable_seconds: float = 240.0

    def max_searchable_bytes(self, file_bytes: int) -> int:
        """No searchable PDF of a file of so many bytes is larger: twice the file, and the pixels of one that has to be
        written without its own compression."""
        return 2 * file_bytes + self.max_decoded_bytes

    @property
    def max_png_bytes(self) -> int:
        """No page image within these limits is larger: raw RGB, a filter byte a row, deflate's overhead, the text."""
        raw = 3 * self.max_pixels + self.max_side
        return raw + raw // 100 + 65_536 + textlayer.MAX_CHUNK_BYTES


class Fault(StrEnum):
    """Why a document or a page could not be turned into an image. Its value is what the document's owner reads.

    Those named `PAGE_...` concern one page, all others the document.
    """

    #: The document needs a password.
    ENCRYPTED = "The PDF is protected by a password. Give its password, or remove it, and upload it again."
    #: It needs another password than the one that was given.
    WRONG_PASSWORD = "The password does not open the PDF. Upload it again with the right one."  # noqa: S105  # no password
    #: The signature is that of a PDF, the content is not.
    NOT_PDF = "The file begins like a PDF but is something else inside. Export it as a PDF and upload that."
    #: The document cannot be opened at all.
    DAMAGED = "The file is damaged or cut off and cannot be opened. Check it on your computer and upload it again."
    #: The document opens, and has no page.
    NO_PAGES = "No page can be found in the file; it may be cut off. Check it on your computer and upload it again."
    #: More pages than `max_pages`.
    TOO_MANY_PAGES = "The document has too many pages. Split it into smaller files and upload those."
    #: Opening the document reached `memory_bytes`.
    TOO_LARGE_TO_OPEN = "Opening the file takes more memory than allowed. Make it smaller and upload it again."
    #: The page cannot be drawn.
    PAGE_DAMAGED = "The page is damaged and cannot be drawn. Check it on your computer and upload a repaired file."
    #: Nothing is drawn on a page of a damaged document. Where nothing is damaged, such a page is blank.
    PAGE_MISSING = (
        "The file is damaged: this page's content is missing. Check it on your computer and upload a repaired file."
    )
    #: The page would have a side of less than one pixel.
    PAGE_EMPTY = "The page is less than one pixel wide or high. Choose a higher resolution or leave it out."
    #: An image file with more than `max_decoded_bytes`.
    PAGE_TOO_LARGE = "The picture has more pixels than allowed. Make it smaller and upload it again."
    #: Drawing the page reached `memory_bytes`.
    PAGE_MEMORY = "Drawing the page takes more memory than allowed. Export it with smaller images and upload it again."

    @property
    def code(self) -> str:
        """The fault as a word, as the job's record has it."""
        return self.name.lower()


class RenderError(Exception):
    """The document, or one page of it, cannot be turned into an image. Raised in the child; `fault` is what crosses."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.name)
        self.fault = fault


class OpenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Open the file behind a descriptor that the child has inherited."""

    descriptor: int
    file_type: FileType
    #: Dots per inch of PDF pages; images keep their own pixels.
    dpi: int
    limits: RenderLimits
    #: The parent's process id: a child that finds another parent is orphaned already.
    parent: int
    #: The walls of the jail that this machine supports: the child raises all of them, or exits.
    walls: tuple[Wall, ...] = ()
    #: Opens an encrypted PDF, as the user's or the owner's password; no other document looks at it.
    password: str | None = None
    #: Make a searchable PDF, in place of page images.
    searchable: bool = False


class PagesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Render these 1-based pages, in this order."""

    pages: tuple[int, ...]


class PageText(msgspec.Struct, frozen=True, kw_only=True):
    """Put these lines into a page as invisible text."""

    #: 1-based.
    page_no: int
    #: Of the page image that the lines' coordinates refer to, in pixels; 0 where it is not known.
    width: int
    height: int
    #: In reading order.
    lines: tuple[Line, ...]


class SearchableMade(msgspec.Struct, frozen=True, kw_only=True):
    """The searchable PDF follows."""

    #: What follows is to be appended to the document as it is; else it is a whole file.
    appended: bool


class DocumentOpened(msgspec.Struct, frozen=True, kw_only=True):
    """The document is open."""

    total_pages: int
    #: It is damaged, its pages were found by searching, and some may be missing from the count.
    repaired: bool


class FrameKind(IntEnum):
    """What a frame carries."""

    #: A `DocumentOpened` as JSON.
    DOCUMENT = 0
    #: The name of a `Fault`; no frame follows.
    DOCUMENT_FAULT = 1
    #: A PNG.
    PAGE = 2
    #: The name of a `Fault`.
    PAGE_FAULT = 3
    #: A `SearchableMade` as JSON.
    SEARCHABLE = 4
    #: Bytes of the searchable PDF; none after the last.
    PIECE = 5


class BadFrame(BadMessage):
    """The child sent something else than the protocol says."""


_open_requests = Codec(OpenRequest, BadMessage)
_pages_requests = Codec(PagesRequest, BadMessage)
_page_texts = Codec(PageText, BadMessage)
_opened = Codec(DocumentOpened, BadFrame)
_made = Codec(SearchableMade, BadFrame)


def encode_request(request: OpenRequest | PagesRequest | PageText) -> bytes:
    """A request as its line."""
    return msgspec.json.encode(request) + b"\n"


def decode_open_request(line: bytes) -> OpenRequest:
    """Read the first line. Raises `BadMessage`."""
    return _open_requests.decode(line)


def decode_pages_request(line: bytes) -> PagesRequest:
    """Read a later line. Raises `BadMessage`."""
    return _pages_requests.decode(line)


def decode_page_text(line: bytes) -> PageText:
    """Read a later line, where the request has `searchable`. Raises `BadMessage`."""
    return _page_texts.decode(line)


def encode_header(kind: FrameKind, page_no: int, length: int) -> bytes:
    """The header of a frame: its kind, its page (0 for the document) and the bytes of payload after it."""
    return _HEADER.pack(kind, page_no, length)


def decode_header(header: bytes, limits: RenderLimits) -> tuple[FrameKind, int, int]:
    """Read a header: kind, page and length, the length bounded by the kind. Raises `BadFrame`."""
    code, page_no, length = _HEADER.unpack(header)
    try:
        kind = FrameKind(code)
    except ValueError as error:
        raise BadFrame(f"frame of unknown kind {code}") from error
    largest = {FrameKind.PAGE: limits.max_png_bytes, FrameKind.PIECE: MAX_PIECE_BYTES}
    if length > largest.get(kind, MAX_SMALL_PAYLOAD):
        raise BadFrame(f"{kind.name} frame of {length} bytes")
    return kind, page_no, length


def encode_opened(opened: DocumentOpened) -> bytes:
    """The payload of a DOCUMENT frame."""
    return _opened.encode(opened)


def decode_opened(payload: bytes, limits: RenderLimits) -> DocumentOpened:
    """Read the payload of a DOCUMENT frame. Raises `BadFrame`."""
    opened = _opened.decode(payload)
    if not 1 <= opened.total_pages <= limits.max_pages:
        raise BadFrame(f"a document of {opened.total_pages} pages")
    return opened


def encode_made(made: SearchableMade) -> bytes:
    """The payload of a SEARCHABLE frame."""
    return _made.encode(made)


def decode_made(payload: bytes) -> SearchableMade:
    """Read the payload of a SEARCHABLE frame. Raises `BadFrame`."""
    return _made.decode(payload)


def encode_fault(fault: Fault) -> bytes:
    """The payload of a DOCUMENT_FAULT or PAGE_FAULT frame."""
    return fault.name.encode("ascii")


def decode_fault(payload: bytes) -> Fault:
    """Read the payload of a DOCUMENT_FAULT or PAGE_FAULT frame. Raises `BadFrame`."""
    try:
        return Fault[payload.decode("ascii")]
    except (KeyError, UnicodeDecodeError) as error:
        raise BadFrame("an unknown fault") from error
