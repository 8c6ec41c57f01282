"""A document as a searchable PDF: what is read on its pages becomes invisible text in them.

A PDF keeps every byte: what is new follows its end, as ISO 32000-1, 7.5.6 (incremental updates) says. Only a damaged
one, or one with bytes before its header, is written anew, with the objects that it has. An image file becomes a PDF
with its pictures as pages. What is added to a page is one content stream before its own, and a font.
"""

import contextlib
import itertools
import zlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import pymupdf

from services.web.render.child.glyphless import DEFAULT_WIDTH, GLYPHS, PROGRAM, Codes, widths
from services.web.render.child.invisible_text import Matrix, operators
from services.web.render.child.pdf import add_stream, open_pdf, page_scale
from services.web.render.filetype import FileType
from services.web.render.protocol import OpenRequest, PageText, SearchableMade

# PyMuPDF is typed in part only.
mupdf: Any = pymupdf
_pdf: Any = pymupdf.mupdf

# Of the font among a page's resources, where it is free.
_FONT_NAME = "GnosisText"
_HEADER = b"%PDF-"
# The text rendering mode of text that is not seen (ISO 32000-1, 9.3.6).
_INVISIBLE = 3
# Of MuPDF's three ways to treat encryption: as the document has it.
_KEEP_ENCRYPTION = _pdf.PDF_ENCRYPT_KEEP
_DEFLATE_LEVEL = 9


def opener(request: OpenRequest) -> Callable[[], "SearchableDocument"]:
    """What opens the document. Everything that it needs is imported when this returns."""
    mupdf.TOOLS.mupdf_display_errors(False)
    mupdf.TOOLS.mupdf_display_warnings(False)
    if request.file_type is FileType.PDF:
        return lambda: SearchableDocument(request, *open_pdf(request.descriptor, request.password))
    from services.web.render.child.image import import_decoders
    from services.web.render.child.paper import Paper

    import_decoders(request.file_type)

    def of_pictures() -> SearchableDocument:
        paper = Paper(request.descriptor, request.file_type, request.dpi, request.limits)
        return SearchableDocument(request, None, paper.document, paper)

    return of_pictures


class Growing(Protocol):
    """The pages of a document that is still being made; `paper.Paper` is one."""

    total_pages: int

    def add_up_to(self, page_no: int) -> None:
        """Add the pages up to this one."""
        ...


class SearchableDocument:
    """A PDF that takes the text of its pages."""

    def __init__(
        self, request: OpenRequest, original: memoryview | None, document: Any, growing: Growing | None = None
    ) -> None:
        """`original` are the bytes of the PDF's file; None where it has none yet, and is `growing`."""
        self._document = document
        self._original = original
        self._growing = growing
        self._dpi = request.dpi
        self._limits = request.limits
        self._file: Any = mupdf._as_pdf_document(document)
        self._codes = Codes()
        self._font: Any = None
        self._written: set[int] = set()
        self.total_pages: int = growing.total_pages if growing else document.page_count
        self.repaired: bool = document.is_repaired

    def add(self, page: PageText) -> None:
        """Put the lines into the page; nothing into one that is no object of its own, or is in the document twice."""
        if self._growing:
            self._growing.add_up_to(page.page_no)
        leaf = _pdf.pdf_lookup_page_obj(self._file, page.page_no - 1)
        number = _pdf.pdf_to_num(leaf)
        if not number or number in self._written:
            return
        _, fonts = self._resources(leaf)
        name = next(name for name in _names() if not _pdf.pdf_dict_gets(fonts, name).m_internal)
        stream = operators(page.lines, self._to_page(leaf, page), self._codes, name)
        if not stream:
            return
        # Only now, since a page without a new text keeps its old one.
        with contextlib.suppress(Exception):  # MuPDF raises anything for damage: the old layer then stays
            self._remove_old_layer(leaf, page.page_no)
        resources, fonts = self._resources(leaf)
        self._written.add(number)
        if self._font is None:
            self._font = _pdf.pdf_add_object(self._file, _pdf.pdf_new_dict(self._file, 8))
        _pdf.pdf_dict_puts(fonts, name, self._font)
        _pdf.pdf_dict_puts(resources, "Font", fonts)
        _pdf.pdf_dict_puts(leaf, "Resources", resources)
        _pdf.pdf_dict_puts(leaf, "Contents", self._with(self._stream(stream), _pdf.pdf_dict_gets(leaf, "Contents")))

    def write(self, begin: Callable[[SearchableMade], None], piece: Callable[[bytes], None]) -> None:
        """Write what follows the original bytes, or where that is impossible the whole file."""
        if self._growing:
            self._growing.add_up_to(self.total_pages)
        if self._font is not None:
            self._complete_font()
        elif self._original is not None:
            begin(SearchableMade(appended=True))
            return
        if (appended := self._appended()) is not None:
            begin(SearchableMade(appended=True))
            piece(appended)
            return
        begin(SearchableMade(appended=False))
        self._write(piece, incremental=False)

    def _appended(self) -> bytes | None:
        """The bytes to append; None where the document cannot be continued."""
        if self._original is None or self._original[: len(_HEADER)] != _HEADER or self._document.is_repaired:
            return None
        length = len(self._original)
        new = bytearray()
        seen = 0

        def keep(written: bytes) -> None:
            nonlocal seen
            new.extend(written[max(0, length - seen) :])
            seen += len(written)

        try:
            self._write(keep, incremental=True)
        except Exception:
            # MuPDF looks at every object before it writes. Where it finds damage it repairs that and does not append;
            # it raises a class of its own for each fault.
            return None
        return bytes(new)

    def _write(self, take: Callable[[bytes], object], *, incremental: bool) -> None:
        options = _pdf.PdfWriteOptions()
        options.do_incremental = int(incremental)
        options.do_compress = int(incremental)  # what is new
        options.do_encrypt = _KEEP_ENCRYPTION
        output = mupdf.JM_new_output_fileptr(_Taken(take))
        _pdf.pdf_write_document(self._file, output, options)
        output.fz_close_output()

    def _remove_old_layer(self, leaf: Any, page_no: int) -> None:
        """Remove the text of an earlier OCR, so that a search does not find each word twice.

        Only from a page without any visible text, so that nothing that is seen is written anew, and not where the owner
        has marked parts to be redacted, which would be done along with it.
        """
        page = self._document.load_page(page_no - 1)
        kinds = {span["type"] for span in page.get_texttrace()}
        if kinds != {_INVISIBLE} or next(page.annots(types=[mupdf.PDF_ANNOT_REDACT]), None) is not None:
            return
        annotations = _pdf.pdf_dict_gets(leaf, "Annots")
        kept = _pdf.pdf_copy_array(annotations) if _pdf.pdf_is_array(annotations) else None
        try:
            page.add_redact_annot(page.rect, fill=False, cross_out=False)
            page.apply_redactions(
                images=mupdf.PDF_REDACT_IMAGE_NONE,
                graphics=mupdf.PDF_REDACT_LINE_ART_NONE,
                text=_pdf.PDF_REDACT_TEXT_REMOVE_INVISIBLE,
            )
        finally:
            # A redaction takes the links within it away, and one that fails leaves its own mark on the page.
            if kept is None:
                _pdf.pdf_dict_dels(leaf, "Annots")
            else:
                _pdf.pdf_dict_puts(leaf, "Annots", kept)

    def _resources(self, leaf: Any) -> tuple[Any, Any]:
        """Copies of the page's resources and of the fonts among them."""
        resources = _copy(_pdf.pdf_dict_get_inheritable(leaf, mupdf.PDF_NAME("Resources")), self._file)
        return resources, _copy(_pdf.pdf_dict_gets(resources, "Font"), self._file)

    def _to_page(self, leaf: Any, page: PageText) -> Matrix:
        """The mapping of the page image's pixels to the page's own coordinates: that of the rendering, turned round."""
        box, drawn = _pdf.FzRect(_pdf.FzRect.Fixed_UNIT), _pdf.FzMatrix()
        _pdf.pdf_page_obj_transform(leaf, box, drawn)
        area = _pdf.fz_transform_rect(box, drawn)
        width, height = area.x1 - area.x0, area.y1 - area.y0
        if page.width and page.height:
            across, down = width / page.width, height / page.height
        else:
            across = down = 1 / page_scale(width, height, self._dpi, self._limits)
        back = _pdf.fz_invert_matrix(drawn)
        return across * back.a, across * back.b, down * back.c, down * back.d, back.e, back.f

    def _with(self, ours: Any, contents: Any) -> Any:
        """An array of our stream and the page's own, which are as they were: ours comes first, in the initial state."""
        count = _pdf.pdf_array_len(contents) if _pdf.pdf_is_array(contents) else 0
        streams = _pdf.pdf_new_array(self._file, count + 2)
        _pdf.pdf_array_push(streams, ours)
        if _pdf.pdf_is_array(contents):
            for at in range(count):
                _pdf.pdf_array_push(streams, _pdf.pdf_array_get(contents, at))
        elif _pdf.pdf_is_stream(contents):
            _pdf.pdf_array_push(streams, contents)
        return streams

    def _stream(self, content: bytes, entries: str = "") -> Any:
        """A new stream, compressed."""
        return add_stream(self._file, zlib.compress(content, _DEFLATE_LEVEL), f"<<{entries}/Filter/FlateDecode>>")

    def _complete_font(self) -> None:
        program = self._stream(PROGRAM, f"/Length1 {len(PROGRAM)}")
        glyphs = self._stream(GLYPHS)
        to_unicode = self._stream(self._codes.to_unicode())
        program, glyphs, to_unicode = (f"{_pdf.pdf_to_num(one)} 0 R" for one in (program, glyphs, to_unicode))
        descriptor = self._object(
            "<</Type/FontDescriptor/FontName/GlyphLessFont/Flags 5/FontBBox[0 0 1000 1000]/ItalicAngle 0"
            f"/Ascent 1000/Descent 0/CapHeight 1000/StemV 80/FontFile2 {program}>>"
        )
        descendant = self._object(
            "<</Type/Font/Subtype/CIDFontType2/BaseFont/GlyphLessFont"
            "/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"
            f"/FontDescriptor {descriptor}/DW {DEFAULT_WIDTH}/W {widths()}/CIDToGIDMap {glyphs}>>"
        )
        font = mupdf.JM_pdf_obj_from_str(
            self._file,
            "<</Type/Font/Subtype/Type0/BaseFont/GlyphLessFont/Encoding/Identity-H"
            f"/DescendantFonts[{descendant}]/ToUnicode {to_unicode}>>",
        )
        _pdf.pdf_update_object(self._file, _pdf.pdf_to_num(self._font), font)

    def _object(self, source: str) -> str:
        added = _pdf.pdf_add_object(self._file, mupdf.JM_pdf_obj_from_str(self._file, source))
        return f"{_pdf.pdf_to_num(added)} 0 R"


class _Taken:
    """A file for MuPDF to write: it knows how much was written, and passes it on."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self._length = 0

    def write(self, content: bytes) -> int:
        self._take(content)
        self._length += len(content)
        return len(content)

    def tell(self) -> int:
        return self._length

    def seek(self, offset: int, whence: int) -> None:
        raise OSError("not a file")

    def truncate(self) -> None:
        raise OSError("not a file")


def _copy(dictionary: Any, file: Any) -> Any:
    """A dictionary with the same entries; an empty one for anything else."""
    return _pdf.pdf_copy_dict(dictionary) if _pdf.pdf_is_dict(dictionary) else _pdf.pdf_new_dict(file, 2)


def _names() -> Iterable[str]:
    yield _FONT_NAME
    yield from (f"{_FONT_NAME}{number}" for number in itertools.count(2))
