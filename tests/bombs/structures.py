"""PDFs whose objects are the weapon: trees, tables, references, actions."""

import io
import zlib
from typing import Any

import numpy as np
import pymupdf

from tests.bombs.bomb import LIMITED, Makers
from tests.bombs.paper import Pdf, deflated

# Only a part of it is typed.
mupdf: Any = pymupdf


def many_pages() -> bytes:
    """100,000 pages."""
    document = Pdf().page()
    numbers = range(10, 100_010)
    for number in numbers:
        document.put(number, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] >>")
    kids = b" ".join(b"%d 0 R" % number for number in numbers)
    return document.put(2, b"<< /Type /Pages /Kids [%s] /Count 100000 >>" % kids).data()


def one_page_again_and_again() -> bytes:
    """100,000 pages, all the same object."""
    kids = b" ".join([b"3 0 R"] * 100_000)
    return Pdf().page().put(2, b"<< /Type /Pages /Kids [%s] /Count 100000 >>" % kids).data()


def many_pages_claimed() -> bytes:
    """A count of two billion over one page."""
    return Pdf().page().put(2, b"<< /Type /Pages /Kids [3 0 R] /Count 2000000000 >>").data()


def negative_pages() -> bytes:
    """A count below nothing."""
    return Pdf().page().put(2, b"<< /Type /Pages /Kids [3 0 R] /Count -7 >>").data()


def deep_page_tree() -> bytes:
    """A page 5,000 nodes down."""
    document = Pdf().page()
    for number in range(10, 5_010):
        document.put(number, b"<< /Type /Pages /Kids [%d 0 R] /Count 1 >>" % (number + 1))
    document.put(2, b"<< /Type /Pages /Kids [10 0 R] /Count 1 >>")
    return document.put(5_010, b"<< /Type /Page /Parent 5009 0 R /MediaBox [0 0 200 200] >>").data()


def circular_page_tree() -> bytes:
    """A page tree that contains itself."""
    return Pdf().page().put(2, b"<< /Type /Pages /Kids [2 0 R 2 0 R] /Count 2 >>").data()


def deep_arrays() -> bytes:
    """Arrays 200,000 deep in the page."""
    return Pdf().page(entries=b"/Deep " + b"[" * 200_000 + b"]" * 200_000).data()


def circular_objects() -> bytes:
    """References, lengths and streams of objects that lead back to themselves."""
    return (
        Pdf()
        .page(entries=b"/Resources 5 0 R /Annots 6 0 R")
        .put(5, b"5 0 R")
        .put(6, b"[6 0 R 7 0 R]")
        .put(7, b"<< /Type /Annot /Subtype /Widget /Parent 7 0 R /Rect 7 0 R /AP << /N 7 0 R >> >>")
        .put(4, b"<< /Length 4 0 R /Filter /FlateDecode >>\nstream\nx\nendstream")
        .data()
    )


def previous_tables() -> bytes:
    """A cross-reference table that names itself as the one before."""
    data = Pdf().page().data()
    start = data.index(b"xref\n")
    return data.replace(b"/Root", b"/Prev %d /Root" % start)


def noise() -> bytes:
    """A first line and then chance."""
    return b"%PDF-1.7\n" + np.random.default_rng(1).bytes(300_000)


def object_stream_bomb() -> bytes:
    """The page tree lies in an object stream that inflates to three gigabytes."""
    packed = deflated(3_000, b" ")
    document = Pdf().page()
    document.stream(5, packed, b"/Type /ObjStm /N 2 /First 20 /Filter /FlateDecode")
    sound = document.data()
    start = sound.rindex(b"xref\n0 ")
    rows = b"".join(bytes([1, *sound.index(b"\n%d 0 obj" % n).to_bytes(4, "big"), 0]) for n in (1, 4, 5))
    table = b"\x02\0\0\0\x05\0" + b"\x02\0\0\0\x05\x01"  # 2 and 3 lie in stream 5
    body = rows[:6] + table + rows[6:]
    entries = b"/Type /XRef /Size 7 /Index [1 5] /W [1 4 1] /Root 1 0 R"
    stream = b"6 0 obj\n<< /Length %d %s >>\nstream\n%s\nendstream\nendobj\n" % (len(body), entries, body)
    return sound[:start] + stream + b"startxref\n%d\n%%%%EOF\n" % start


def cross_reference_bomb() -> bytes:
    """A cross-reference stream of two billion entries, which inflates to gigabytes."""
    sound = Pdf().page().data()
    start = sound.rindex(b"xref\n0 ")
    packed = deflated(2_000, b"\1\0\0\0\x0f\0")
    entries = b"/Type /XRef /Size 2000000000 /W [1 4 1] /Root 1 0 R /Filter /FlateDecode"
    stream = b"6 0 obj\n<< /Length %d %s >>\nstream\n%s\nendstream\nendobj\n" % (len(packed), entries, packed)
    return sound[:start] + stream + b"startxref\n%d\n%%%%EOF\n" % start


def table_claimed() -> bytes:
    """A cross-reference table that promises two billion rows."""
    return Pdf().page().data().replace(b"xref\n0 5", b"xref\n0 2000000000")


def length_claimed() -> bytes:
    """A stream longer than any disk."""
    return Pdf().page(b"0 0 99 99 re f").data().replace(b"/Length 14", b"/Length 1099511627776")


def deep_dictionaries() -> bytes:
    """Dictionaries 100,000 deep in the page."""
    return Pdf().page(entries=b"/A <<" * 100_000 + b">>" * 100_000).data()


def deep_outline() -> bytes:
    """Bookmarks 20,000 deep that end where they begin, and a name tree of itself."""
    document = Pdf().page()
    document.put(1, b"<< /Type /Catalog /Pages 2 0 R /Outlines 10 0 R /Names << /Dests 5 0 R >> >>")
    document.put(5, b"<< /Kids [5 0 R 5 0 R] >>")
    for number in range(10, 20_010):
        document.put(number, b"<< /Title (x) /First %d 0 R /Next %d 0 R /Count 9 >>" % (number + 1, number))
    return document.put(20_010, b"<< /Title (x) /First 10 0 R /Next 10 0 R >>").data()


def contents_again_and_again() -> bytes:
    """One stream of a megabyte, a hundred thousand times as the content of one page."""
    document = Pdf().page().stream(5, zlib.compress(b"0 0 m 9 9 l " * 87_000, 9), b"/Filter /FlateDecode")
    again = b" ".join([b"5 0 R"] * 100_000)
    return document.put(3, b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 200 200] /Contents [%s] >>" % again).data()


def deep_layers() -> bytes:
    """Optional content whose expression of visibility contains itself."""
    document = Pdf().page(b"/OC /M BDC 0 0 99 99 re f EMC", b"/Resources << /Properties << /M 5 0 R >> >>")
    document.put(1, b"<< /Type /Catalog /Pages 2 0 R /OCProperties << /OCGs [] /D << /Order [6 0 R] >> >> >>")
    return document.put(5, b"<< /Type /OCMD /VE 6 0 R >>").put(6, b"[/And 6 0 R 6 0 R]").data()


def annotations() -> bytes:
    """Fifty thousand annotations whose looks draw themselves, over one form field that is its own parent."""
    document = Pdf().page(entries=b"/Annots [%s]" % b" ".join([b"6 0 R"] * 50_000))
    document.put(6, b"<< /Type /Annot /Subtype /Stamp /Rect [0 0 200 200] /AP << /N 7 0 R >> /Parent 6 0 R >>")
    look = b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Resources << /XObject << /F 7 0 R >> >>"
    return document.stream(7, b"0 0 200 200 re f /F Do", look).data()


def xml_laughs() -> bytes:
    """A form in XFA whose XML entities blow up to gigabytes."""
    entities = b"".join(b'<!ENTITY a%d "%s">' % (n, b"&a%d;" % (n - 1) * 10) for n in range(1, 11))
    xml = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "laugh">%s]><x>&a10;</x>' % entities
    document = Pdf().page()
    document.put(1, b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /XFA 5 0 R /Fields [] >> /Metadata 5 0 R >>")
    return document.stream(5, xml, b"/Type /Metadata /Subtype /XML").data()


def actions() -> bytes:
    """JavaScript, programs to start, pages to fetch and forms to send, at opening and on the page; a file within."""
    script = b"/S /JavaScript /JS (while (true) app.launchURL('http://127.0.0.1:9/'))"
    launch = b"/S /Launch /F (/bin/sh) /Win << /F (cmd.exe) /P (/c calc) >>"
    document = Pdf().page(b"0 0 99 99 re f", b"/AA << /O << %s >> /C << %s >> >> /Annots [6 0 R]" % (script, launch))
    document.put(
        1,
        b"<< /Type /Catalog /Pages 2 0 R /OpenAction << %s /Next << %s >> >> /AA << /WC << %s >> >> "
        b"/Names << /EmbeddedFiles << /Names [(a.exe) 7 0 R] >> /JavaScript << /Names [(a) << %s >>] >> >> >>"
        % (script, launch, launch, script),
    )
    document.put(6, b"<< /Type /Annot /Subtype /Link /Rect [0 0 9 9] /A << /S /URI /URI (http://127.0.0.1:9/) >> >>")
    document.put(7, b"<< /Type /Filespec /F (a.exe) /EF << /F 8 0 R >> /FS /URL >>")
    return document.stream(8, b"MZ" * 99, b"/Type /EmbeddedFile").data()


def outside_file() -> bytes:
    """Content, an image and a form that lie in other files of the machine."""
    entries = b"/Resources << /XObject << /I 5 0 R /F 6 0 R >> >>"
    image = b"/Type /XObject /Subtype /Image /Width 9 /Height 9 /BitsPerComponent 8 /ColorSpace /DeviceGray"
    return (
        Pdf()
        .page(b"/I Do /F Do", entries)
        .put(5, b"<< %s /Length 0 /F (/etc/passwd) >>\nstream\n\nendstream" % image)
        .put(6, b"<< /Type /XObject /Subtype /Form /BBox [0 0 9 9] /Ref << /F (/etc/passwd) /Page 0 >> /Length 0 >>")
        .data()
    )


def locked() -> bytes:
    """A password that nobody told."""
    with mupdf.open() as document:
        document.new_page()
        buffer = io.BytesIO()
        document.save(buffer, encryption=mupdf.PDF_ENCRYPT_AES_256, user_pw="secret", owner_pw="secret")
    return buffer.getvalue()


def long_tokens() -> bytes:
    """Ten million letters of a name, a string without an end, a number of a million digits."""
    entries = b"/%s (%s) /N %s" % (b"x" * 10_000_000, b"y(" * 1_000_000, b"9" * 1_000_000)
    return Pdf().page(entries=entries).data()


MAKERS: Makers = (
    (many_pages, "too many pages"),
    (one_page_again_and_again, "damaged|too many pages"),
    (many_pages_claimed, "damaged|too many pages"),
    (negative_pages, "damaged|No page"),
    (deep_page_tree, "rendered|damaged"),
    (circular_page_tree, "damaged"),
    (deep_arrays, "rendered|damaged"),
    (deep_dictionaries, "rendered|damaged|No page"),
    (circular_objects, "rendered|damaged"),
    (previous_tables, "rendered|damaged"),
    (object_stream_bomb, f"damaged|{LIMITED}"),
    (cross_reference_bomb, f"rendered|damaged|{LIMITED}"),
    (table_claimed, "rendered|damaged"),
    (length_claimed, "rendered|damaged"),
    (deep_outline, "rendered"),
    (contents_again_and_again, f"rendered|{LIMITED}"),
    (deep_layers, "rendered|damaged"),
    (annotations, f"rendered|damaged|{LIMITED}"),
    (xml_laughs, "rendered"),
    (actions, "rendered"),
    (outside_file, "rendered|damaged"),
    (locked, "password"),
    (long_tokens, f"rendered|damaged|{LIMITED}"),
    (noise, "damaged"),
)
