"""Image files as PDFs: each picture a page of its size, without loss, and compressed as the file has it where PDF can.

A JPEG stream stays as it is, and so do the rows of a plain PNG. Bilevel pictures are compressed as fax machines do
(CCITT group 4), all others by deflate.
"""

import io
import mmap
import struct
from collections.abc import Iterator
from typing import Any, TypedDict

import msgspec
import pymupdf
from PIL import Image, TiffImagePlugin

from libs.png.header import png_size
from services.web.render.child.image import ImageSource, orientation, plausible_dpi
from services.web.render.child.pdf import add_stream
from services.web.render.filetype import FileType
from services.web.render.protocol import RenderLimits

# PyMuPDF is typed in part only.
mupdf: Any = pymupdf
_pdf: Any = pymupdf.mupdf

_POINTS_PER_INCH = 72
# Points of a side of a page (ISO 32000-1, annex C).
_MAX_SIDE, _MIN_SIDE = 14_400, 3
# The size of the page for a picture that cannot be decoded: A4.
_EMPTY = (595.0, 842.0)

# How the unit square is set upright, by the EXIF orientation (tag 274): a b c d e f.
_TURNS = {
    2: (-1, 0, 0, 1, 1, 0),
    3: (-1, 0, 0, -1, 1, 1),
    4: (1, 0, 0, -1, 0, 1),
    5: (0, -1, -1, 0, 1, 1),
    6: (0, -1, 1, 0, 0, 1),
    7: (0, 1, 1, 0, 0, 0),
    8: (0, 1, -1, 0, 1, 0),
}
_SIDEWAYS = 5
_COLOURS = {"L": ("DeviceGray", b"GRAY", 1), "RGB": ("DeviceRGB", b"RGB ", 3), "CMYK": ("DeviceCMYK", b"CMYK", 4)}
# Of an ICC profile (ICC.1:2022, 7.2): where its colour space stands.
_ICC_SPACE = slice(16, 20)
_PNG_HEAD = struct.Struct(">I4s")
_IHDR = struct.Struct(">IIBBBBB")
_PNG_GREY, _PNG_RGB, _PNG_INDEXED = 0, 2, 3


class _Rows(TypedDict):
    """The fields of a `_Picture` that a PNG file decides."""

    content: bytes
    entries: str
    colours: str


class _Picture(msgspec.Struct, frozen=True, kw_only=True):
    """A picture as PDF stores it."""

    #: Compressed, as `entries` say.
    content: bytes
    #: Of the image's dictionary, besides type, size and colour space.
    entries: str
    #: The colour space, as PDF writes it.
    colours: str
    #: Pixels, before it is set upright.
    width: int
    height: int
    turn: int
    dpi: float
    profile: bytes = b""
    #: Components of a colour.
    components: int = 1


class Paper:
    """A new PDF whose pages are the pictures of an image file; they are decoded as they are added."""

    def __init__(self, descriptor: int, file_type: FileType, dpi: int, limits: RenderLimits) -> None:
        """`dpi` is the resolution of pictures that state none. Raises `RenderError`."""
        with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as view:
            self._content = bytes(view) if file_type in (FileType.JPEG, FileType.PNG) else b""
        self._source = ImageSource(descriptor, file_type, limits)
        self._dpi = dpi
        #: The PDF, which has the pages that were added.
        self.document: Any = mupdf.open()
        self.total_pages = self._source.total_pages

    def add_up_to(self, page_no: int) -> None:
        """Add the pages up to this one; an empty page for a picture that cannot be decoded.

        Raises `MemoryError`, and what MuPDF raises for want of memory: a page that is left empty by that would be lost
        without a word.
        """
        for number in range(self.document.page_count + 1, page_no + 1):
            try:
                picture = _picture(self._source, number, self._content, self._dpi)
            except MemoryError:
                raise
            except Exception:  # decoders raise anything for damage
                picture = None
            _add_page(self.document, picture)


def _picture(source: ImageSource, page_no: int, content: bytes, dpi: int) -> _Picture:
    image = source.seek(page_no)
    width, height = image.size
    dots = plausible_dpi(image) or float(dpi)
    if image.format in ("JPEG", "MPO") and image.mode in _COLOURS:
        colour, space, components = _COLOURS[image.mode]
        # Adobe's programs write CMYK with 0 for full ink.
        inverted = "/Decode[1 0 1 0 1 0 1 0]" if image.mode == "CMYK" and "adobe" in image.info else ""
        profile = image.info.get("icc_profile") or b""
        return _Picture(
            content=content,
            entries=f"/BitsPerComponent 8/Filter/DCTDecode{inverted}",
            colours=f"/{colour}",
            width=width,
            height=height,
            turn=orientation(image),
            dpi=dots,
            profile=profile if profile[_ICC_SPACE] == space else b"",
            components=components,
        )
    if image.format == "PNG" and (rows := _png_rows(content)) is not None:
        return _Picture(**rows, width=width, height=height, turn=orientation(image), dpi=dots)
    if image.mode == "1":
        return _Picture(
            content=_group4(image),
            # libtiff writes a fax's black for the value 1, which is white here.
            entries="/BitsPerComponent 1/Filter/CCITTFaxDecode"
            f"/DecodeParms<</K -1/Columns {width}/Rows {height}/BlackIs1 true>>",
            colours="/DeviceGray",
            width=width,
            height=height,
            turn=orientation(image),
            dpi=dots,
        )
    # As the page image: 8 bits, upright, flattened on white, and smaller where it would pass the limits.
    png = source.page_png(page_no)
    rows = _png_rows(png)
    assert rows is not None
    upright_width, upright_height = png_size(png)
    shrunk = max(upright_width, upright_height) / max(width, height)
    return _Picture(**rows, width=upright_width, height=upright_height, turn=1, dpi=dots * shrunk)


def _png_rows(png: bytes) -> _Rows | None:
    """The compressed rows of a PNG and how PDF describes them; None where PDF has no word for its form."""
    compressed = bytearray()
    palette = b""
    head: tuple[int, ...] = ()
    for kind, body in _png_chunks(png):
        match kind:
            case b"IHDR" if len(body) == _IHDR.size:
                head = _IHDR.unpack(body)
            case b"PLTE":
                palette = bytes(body)
            case b"tRNS":
                return None  # its transparent pixels are to be white
            case b"IDAT":
                compressed += body
    if not head or not compressed:
        return None
    width, _, bits, colour, _, _, interlaced = head
    if interlaced or colour not in (_PNG_GREY, _PNG_RGB, _PNG_INDEXED) or (colour == _PNG_INDEXED and not palette):
        return None
    components = 3 if colour == _PNG_RGB else 1
    colours = {
        _PNG_GREY: "/DeviceGray",
        _PNG_RGB: "/DeviceRGB",
        _PNG_INDEXED: f"[/Indexed/DeviceRGB {len(palette) // 3 - 1}<{palette.hex()}>]",
    }[colour]
    # The predictors of PNG are PDF's own (ISO 32000-1, 7.4.4.4).
    entries = (
        f"/BitsPerComponent {bits}/Filter/FlateDecode"
        f"/DecodeParms<</Predictor 15/Colors {components}/BitsPerComponent {bits}/Columns {width}>>"
    )
    return _Rows(content=bytes(compressed), entries=entries, colours=colours)


def _png_chunks(png: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, at = memoryview(png), 8
    while at + _PNG_HEAD.size <= len(png):
        length, kind = _PNG_HEAD.unpack_from(png, at)
        yield kind, view[at + _PNG_HEAD.size : at + _PNG_HEAD.size + length]
        at += _PNG_HEAD.size + length + 4


def _group4(image: Image.Image) -> bytes:
    """The rows by CCITT group 4, in one strip."""
    image.load()
    buffer = io.BytesIO()
    kept, TiffImagePlugin.STRIP_SIZE = TiffImagePlugin.STRIP_SIZE, (image.width + 7) // 8 * image.height + 1
    try:
        # A picture of its own: the frame of a TIFF brings tags that contradict what is written.
        Image.frombytes("1", image.size, image.tobytes()).save(buffer, "TIFF", compression="group4")
    finally:
        TiffImagePlugin.STRIP_SIZE = kept
    with Image.open(buffer, formats=("TIFF",)) as written:
        tags = written.tag_v2  # type: ignore[attr-defined]  # a TIFF has it
        (offset,), (count,) = tags[TiffImagePlugin.STRIPOFFSETS], tags[TiffImagePlugin.STRIPBYTECOUNTS]
    return buffer.getvalue()[offset : offset + count]


def _add_page(document: Any, picture: _Picture | None) -> None:
    if picture is None:
        document.new_page(width=_EMPTY[0], height=_EMPTY[1])
        return
    width, height = float(picture.width), float(picture.height)
    a, b, c, d, e, f = _TURNS.get(picture.turn, (1, 0, 0, 1, 0, 0))
    if picture.turn >= _SIDEWAYS:
        width, height = height, width
    scale = _POINTS_PER_INCH / picture.dpi
    scale = max(min(scale, _MAX_SIDE / max(width, height)), _MIN_SIDE / min(width, height))
    width, height = width * scale, height * scale
    file = mupdf._as_pdf_document(document)
    size = f"/Width {picture.width}/Height {picture.height}"
    colours = picture.colours
    if picture.profile:
        profile = _reference(file, picture.profile, f"<</N {picture.components}/Alternate{colours}>>")
        colours = f"[/ICCBased {profile}]"
    image = _reference(
        file, picture.content, f"<</Type/XObject/Subtype/Image{size}/ColorSpace{colours}{picture.entries}>>"
    )
    matrix = " ".join(f"{one:.3f}" for one in (a * width, b * height, c * width, d * height, e * width, f * height))
    contents = _reference(file, f"q {matrix} cm /Picture Do Q\n".encode("ascii"), "<<>>")
    # After what takes memory: a page that lacks its picture must not count as added.
    page = document.new_page(width=width, height=height)
    document.xref_set_key(page.xref, "Resources", f"<</XObject<</Picture {image}>>>>")
    document.xref_set_key(page.xref, "Contents", contents)


def _reference(file: Any, content: bytes, dictionary: str) -> str:
    """Add a stream; a reference to it."""
    return f"{_pdf.pdf_to_num(add_stream(file, content, dictionary))} 0 R"
