"""PDFs whose pages are the weapon: content, fonts, patterns, sizes."""

import zlib

import numpy as np

from tests.bombs.bomb import LIMITED, Makers
from tests.bombs.paper import Pdf, deflated


def flate_bomb() -> bytes:
    """Some megabytes that inflate to three gigabytes of page content."""
    return Pdf().page().stream(4, deflated(3_000, b"0 0 m "), b"/Filter /FlateDecode").data()


def flate_bomb_twice() -> bytes:
    """Some kilobytes: deflated twice."""
    return (
        Pdf().page().stream(4, zlib.compress(deflated(3_000, b" "), 9), b"/Filter [/FlateDecode /FlateDecode]").data()
    )


def deep_content() -> bytes:
    """Arrays and saved states 100,000 deep in the content."""
    return Pdf().page(b"q " * 100_000 + b"[" * 100_000 + b"0 0 100 100 re f").data()


def recursive_form() -> bytes:
    """A form that draws itself."""
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Resources << /XObject << /F 5 0 R >> >>"
    return (
        Pdf()
        .page(b"/F Do", b"/Resources << /XObject << /F 5 0 R >> >>")
        .stream(5, b"/F Do 0 0 9 9 re f /F Do", form)
        .data()
    )


def billion_laughs() -> bytes:
    """Forms in forms, each drawing the next ten times: ten to the ninth pictures."""
    document = Pdf().page(b"/F Do", b"/Resources << /XObject << /F 10 0 R >> >>")
    for number in range(10, 19):
        form = b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Resources << /XObject << /F %d 0 R >> >>"
        document.stream(number, b"/F Do " * 10, form % (number + 1))
    last = b"/Type /XObject /Subtype /Form /BBox [0 0 200 200]"
    return document.stream(19, b"0 0 m 200 200 l S " * 10, last).data()


def recursive_pattern() -> bytes:
    """A pattern painted with itself."""
    entries = b"/Resources << /Pattern << /P 5 0 R >> >>"
    pattern = (
        b"/PatternType 1 /PaintType 1 /TilingType 1 /BBox [0 0 1 1] /XStep 0.0001 /YStep 0.0001 "
        b"/Resources << /Pattern << /P 5 0 R >> >>"
    )
    paint = b"/Pattern cs /P scn 0 0 200 200 re f"
    return Pdf().page(paint, entries).stream(5, paint, pattern).data()


def wide_page() -> bytes:
    """136,000 pixels wide at 150 DPI."""
    return Pdf().page(b"0 0 1000 1000 re f", box=b"0 0 65280 200").data()


def endless_page() -> bytes:
    """A page larger than any number of pixels."""
    return Pdf().page(b"0 0 9 9 re f", box=b"0 0 1e30 1e30").data()


def dashes() -> bytes:
    """A line of a billion dashes."""
    return Pdf().page(b"[0.0000002 0.0000002] 0 d 1 w 0 100 m 200 100 l S " * 20).data()


def endless_path() -> bytes:
    """One path of two million crossing segments."""
    rng = np.random.default_rng(3)
    segments = b" ".join(b"%d %d l" % (x, y) for x, y in rng.integers(0, 20_000, (60_000, 2)).tolist())
    path = zlib.compress(b"0 0 m " + b" ".join([segments] * 30) + b" f*")
    return Pdf().page(box=b"0 0 20000 20000").stream(4, path, b"/Filter /FlateDecode").data()


def endless_shading() -> bytes:
    """A function-based shading whose function is a program with a huge domain."""
    entries = b"/Resources << /Shading << /S 5 0 R >> >>"
    program = b"{ " + b"dup mul sin " * 20_000 + b"}"
    return (
        Pdf()
        .page(b"/S sh", entries)
        .put(5, b"<< /ShadingType 1 /ColorSpace /DeviceGray /Domain [0 200 0 200] /Function 6 0 R >>")
        .stream(6, program, b"/FunctionType 4 /Domain [0 200 0 200] /Range [0 1]")
        .data()
    )


def flate_bomb_deep() -> bytes:
    """Deflated twelve times over."""
    packed = deflated(2_000, b" ")
    for _ in range(11):
        packed = zlib.compress(packed, 9)
    return Pdf().page().stream(4, packed, b"/Filter [%s]" % (b"/FlateDecode " * 12)).data()


def other_filters() -> bytes:
    """Run lengths and hexadecimal within Flate, each of which grows."""
    packed = zlib.compress(deflated(1_000, b"\x81 "), 9)
    return Pdf().page().stream(4, packed, b"/Filter [/FlateDecode /FlateDecode /RunLengthDecode]").data()


def user_unit() -> bytes:
    """A page of one point, in units as large as the Earth."""
    return Pdf().page(b"0 0 1 1 re f", b"/UserUnit 1e9", box=b"0 0 1 1").data()


def no_numbers() -> bytes:
    """A page whose box is no box."""
    return Pdf().page(b"0 0 9 9 re f", b"/Rotate 45", box=b"200 nan -1e38 inf").data()


def mask_of_itself() -> bytes:
    """A soft mask whose group is masked by itself, and an image that is its own mask."""
    resources = b"/Resources << /ExtGState << /G 5 0 R >> /XObject << /I 7 0 R >> >>"
    group = b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Group << /S /Transparency >> "
    image = (
        b"/Type /XObject /Subtype /Image /Width 9 /Height 9 /BitsPerComponent 8 /ColorSpace /DeviceGray /SMask 7 0 R"
    )
    return (
        Pdf()
        .page(b"/G gs 0 0 200 200 re f 200 0 0 200 0 0 cm /I Do", resources)
        .put(5, b"<< /SMask << /S /Luminosity /G 6 0 R >> >>")
        .stream(6, b"/G gs 0 0 99 99 re f", group + resources)
        .stream(7, bytes(81), image)
        .data()
    )


def deep_forms() -> bytes:
    """Forms 3,000 deep, each a transparency group of its own."""
    document = Pdf().page(b"/F Do", b"/Resources << /XObject << /F 10 0 R >> >>")
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 200 200] /Group << /S /Transparency /I true >> "
    for number in range(10, 3_010):
        document.stream(number, b"q /F Do Q", form + b"/Resources << /XObject << /F %d 0 R >> >>" % (number + 1))
    return document.stream(3_010, b"0 0 99 99 re f", form).data()


def deep_clips() -> bytes:
    """A hundred thousand clips within each other."""
    return Pdf().page(b"q 0 0 m 200 100 l 100 200 l h W n " * 100_000 + b"0 0 200 200 re f").data()


def many_colours() -> bytes:
    """A colour space of itself, and one of 2**29 inks."""
    entries = b"/Resources << /ColorSpace << /C 5 0 R /D [/DeviceN 6 0 R /DeviceRGB 7 0 R] >> >>"
    inks = b"[" + b"/A " * 100_000 + b"]"
    page = Pdf().page(b"/C cs 1 sc 0 0 9 9 re f /D cs 1 sc 9 9 9 9 re f", entries)
    function = b"<< /FunctionType 2 /Domain [0 1] /N 1e38 /C0 [0 0 0] /C1 [1 1 1] >>"
    return page.put(5, b"[/Indexed 5 0 R 255 (x)]").put(6, inks).put(7, function).data()


def sampled_function() -> bytes:
    """A function with a table of 10**18 samples, and one stitched from itself."""
    entries = b"/Resources << /Shading << /S 5 0 R /T 7 0 R >> >>"
    shading = b"<< /ShadingType 2 /ColorSpace /DeviceGray /Coords [0 0 200 200] /Function %d 0 R >>"
    sampled = b"/FunctionType 0 /Domain [0 1 0 1] /Range [0 1] /Size [1000000000 1000000000] /BitsPerSample 8"
    stitched = b"<< /FunctionType 3 /Domain [0 1] /Functions [8 0 R 8 0 R] /Bounds [0.5] /Encode [0 1 0 1] >>"
    page = Pdf().page(b"/S sh /T sh", entries).put(5, shading % 6).put(7, shading % 8)
    return page.stream(6, bytes(99), sampled).put(8, stitched).data()


def mesh_shading() -> bytes:
    """A mesh of millions of triangles, each as large as the page."""
    entries = b"/Resources << /Shading << /S 5 0 R >> >>"
    mesh = (
        b"/ShadingType 4 /ColorSpace /DeviceGray /BitsPerCoordinate 8 /BitsPerComponent 8 /BitsPerFlag 8 "
        b"/Decode [0 200 0 200 0 1] /Filter /FlateDecode"
    )
    triangles = b"\0\0\0\0\0\xff\0\xff\0\0\xff\x7f\0\xff\xff\0"
    return Pdf().page(b"/S sh", entries).stream(5, deflated(100, triangles), mesh).data()


def glyph_of_itself() -> bytes:
    """A Type 3 font whose letter writes itself, again and again."""
    entries = b"/Resources << /Font << /F 5 0 R >> >>"
    font = (
        b"<< /Type /Font /Subtype /Type3 /FontBBox [0 0 999 999] /FontMatrix [0.001 0 0 0.001 0 0] /FirstChar 97 "
        b"/LastChar 97 /Widths [999] /Encoding << /Differences [97 /a] >> /CharProcs << /a 6 0 R >> %s >>" % entries
    )
    letter = b"999 0 d0 BT /F 999 Tf (aaaaaaaaaa) Tj ET 0 0 999 999 re f"
    return Pdf().page(b"BT /F 99 Tf 9 9 Td (aaa) Tj ET", entries).put(5, font).stream(6, letter).data()


def endless_letter() -> bytes:
    """A Type 1 font whose letter is a subroutine that calls itself."""

    def cipher(data: bytes, key: int) -> bytes:
        """Adobe Type 1 Font Format, chapter 7."""
        out = bytearray()
        for value in bytes(4) + data:
            out.append(value ^ (key >> 8))
            key = ((out[-1] + key) * 52845 + 22719) & 0xFFFF
        return bytes(out)

    subroutine = cipher(b"\x8b\x0a" * 20_000 + b"\x0b", 4330)  # 0 callsubr, and at last return
    letter = cipher(b"\x8b\xf7\x00\x0d" + b"\x8b\x0a" * 20_000 + b"\x0e", 4330)
    private = (
        b"dup /Private 9 dict dup begin /RD {string currentfile exch readstring pop} executeonly def "
        b"/ND {noaccess def} executeonly def /NP {noaccess put} executeonly def /BlueValues [] def /lenIV 4 def "
        b"/Subrs 1 array dup 0 %d RD %s NP ND 2 index /CharStrings 2 dict dup begin /a %d RD %s ND /.notdef %d RD "
        b"%s ND end end readonly put noaccess put dup /FontName get exch definefont pop mark currentfile closefile\n"
        % (len(subroutine), subroutine, len(letter), letter, len(letter), letter)
    )
    clear = (
        b"%!PS-AdobeFont-1.0: Bomb\n/FontInfo 1 dict dup begin end readonly def /FontName /Bomb def /PaintType 0 def "
        b"/FontType 1 def /FontMatrix [0.001 0 0 0.001 0 0] readonly def /Encoding 256 array 0 1 255 {1 index exch "
        b"/.notdef put} for dup 97 /a put readonly def /FontBBox {0 0 999 999} readonly def currentfile eexec\n"
    )
    hidden = cipher(private, 55665)
    font = (
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Bomb /FirstChar 97 /LastChar 97 /Widths [500] "
        b"/FontDescriptor 6 0 R >>"
    )
    descriptor = (
        b"<< /Type /FontDescriptor /FontName /Bomb /Flags 4 /FontBBox [0 0 999 999] /ItalicAngle 0 /Ascent 9 "
        b"/Descent 0 /CapHeight 9 /StemV 9 /FontFile 7 0 R >>"
    )
    page = Pdf().page(b"BT /F 20 Tf 9 9 Td %s ET" % (b"(aaaaaaaa) Tj " * 999), b"/Resources << /Font << /F 5 0 R >> >>")
    page.put(5, font).put(6, descriptor)
    return page.stream(7, clear + hidden, b"/Length1 %d /Length2 %d /Length3 0" % (len(clear), len(hidden))).data()


def ten_million_letters() -> bytes:
    """Ten million letters over each other."""
    entries = b"/Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    content = b"BT /F 150 Tf " + b"1 0 0 1 0 0 Tm (MMMMMMMMMMMMMMMM) Tj " * 625_000 + b"ET"
    return Pdf().page(entries=entries).stream(4, zlib.compress(content), b"/Filter /FlateDecode").data()


MAKERS: Makers = (
    (flate_bomb, LIMITED),
    (flate_bomb_twice, LIMITED),
    (flate_bomb_deep, f"rendered|{LIMITED}"),
    (other_filters, f"rendered|damaged|{LIMITED}"),
    (deep_content, "rendered|damaged"),
    (deep_forms, "rendered|damaged"),
    (deep_clips, f"rendered|damaged|{LIMITED}"),
    (recursive_form, "rendered|damaged"),
    (billion_laughs, LIMITED),
    (mask_of_itself, "rendered|damaged"),
    (recursive_pattern, f"rendered|damaged|{LIMITED}"),
    (many_colours, "rendered|damaged"),
    (wide_page, "rendered"),
    (endless_page, "rendered|less than one pixel"),
    (user_unit, "rendered"),
    (no_numbers, "rendered|damaged|less than one pixel"),
    (dashes, f"rendered|{LIMITED}"),
    (endless_path, f"rendered|{LIMITED}"),
    (endless_shading, f"rendered|{LIMITED}"),
    (sampled_function, f"rendered|damaged|{LIMITED}"),
    (mesh_shading, f"rendered|damaged|{LIMITED}"),
    (glyph_of_itself, f"rendered|damaged|{LIMITED}"),
    (endless_letter, f"rendered|damaged|{LIMITED}"),
    (ten_million_letters, f"rendered|{LIMITED}"),
)
