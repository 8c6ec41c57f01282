"""PDFs whose pages show pictures that lie."""

from tests.bombs import pictures
from tests.bombs.bomb import LIMITED, Makers
from tests.bombs.paper import Pdf, deflated


def image_bomb() -> bytes:
    """An image of 40,000 x 40,000 pixels on one page."""
    entries = b"/Resources << /XObject << /I 5 0 R >> >>"
    image = b"/Type /XObject /Subtype /Image /Width 40000 /Height 40000 /BitsPerComponent 8 /ColorSpace /DeviceRGB"
    return (
        Pdf()
        .page(b"200 0 0 200 0 0 cm /I Do", entries)
        .stream(5, deflated(1_000, b"\0"), image + b" /Filter /FlateDecode")
        .data()
    )


def inline_image() -> bytes:
    """An image of 60,000 x 60,000 pixels within the content."""
    content = b"200 0 0 200 0 0 cm BI /W 60000 /H 60000 /BPC 8 /CS /RGB /F /Fl ID %s EI" % deflated(400, b"\0")
    return Pdf().page(content).data()


def _picture(data: bytes, filter_name: bytes, entries: bytes) -> bytes:
    """A page that shows one image of the given filter."""
    image = b"/Type /XObject /Subtype /Image /Filter /%s %s" % (filter_name, entries)
    page = Pdf().page(b"200 0 0 200 0 0 cm /I Do", b"/Resources << /XObject << /I 5 0 R >> >>")
    return page.stream(5, data, image).data()


def fax_bomb() -> bytes:
    """A fax of a billion rows, out of nothing."""
    parameters = b"/DecodeParms << /K -1 /Columns 60000 /Rows 60000 >>"
    entries = b"/Width 60000 /Height 60000 /BitsPerComponent 1 /ColorSpace /DeviceGray " + parameters
    return _picture(b"\xff" * 200_000, b"CCITTFaxDecode", entries)


def jbig2_bomb() -> bytes:
    """JBIG2: a page of 2**31 x 2**31 pixels, filled with a pattern."""
    info = bytes.fromhex("00000000300001000000137fffffff7fffffff0000000000000000000000")
    entries = b"/Width 60000 /Height 60000 /BitsPerComponent 1 /ColorSpace /DeviceGray"
    return _picture(info, b"JBIG2Decode", entries)


def lying_jpeg() -> bytes:
    """A JPEG that says it is 50,000 x 50,000 pixels."""
    return _picture(
        pictures.huge_jpeg(), b"DCTDecode", b"/Width 50000 /Height 50000 /BitsPerComponent 8 /ColorSpace /DeviceRGB"
    )


def lying_jp2() -> bytes:
    """A JPEG 2000 that says it is 50,000 x 50,000 pixels."""
    return _picture(pictures.huge_jp2(), b"JPXDecode", b"/Width 50000 /Height 50000")


def tiled_jp2() -> bytes:
    """A JPEG 2000 of a billion tiles."""
    return _picture(pictures.jp2_of_tiles(), b"JPXDecode", b"/Width 30000 /Height 30000")


def profile_bomb() -> bytes:
    """A colour profile that inflates to two gigabytes."""
    entries = b"/Resources << /ColorSpace << /C [/ICCBased 5 0 R] >> >>"
    page = Pdf().page(b"/C cs 1 0 0 sc 0 0 99 99 re f", entries)
    return page.stream(5, deflated(2_000, b"\0"), b"/N 3 /Filter /FlateDecode").data()


MAKERS: Makers = (
    (image_bomb, f"rendered|{LIMITED}"),
    (inline_image, f"rendered|damaged|{LIMITED}"),
    (fax_bomb, f"rendered|damaged|{LIMITED}"),
    (jbig2_bomb, f"rendered|damaged|{LIMITED}"),
    (lying_jpeg, f"rendered|damaged|{LIMITED}"),
    (lying_jp2, f"rendered|damaged|{LIMITED}"),
    (tiled_jp2, f"rendered|damaged|{LIMITED}"),
    (profile_bomb, f"rendered|damaged|{LIMITED}"),
)
