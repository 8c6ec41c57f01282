"""Documents made to hurt whoever opens them: each ends in time, with a reason or a picture, and nothing stays."""

import asyncio
import io
import re
import struct
import zipfile
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import msgspec
import numpy as np
import psutil
import pytest
from PIL import Image

from services.web.png import encode_png
from services.web.render import FailedPage, RenderedPage, RenderLimits, Unreadable, open_document
from services.web.sniff import FileType, file_type
from tests.documents import pdf
from tests.running import ENDED, running
from tests.scripted import Script

GIB = 1024**3
LIMITS = RenderLimits(open_seconds=15, render_seconds=2, cpu_seconds=10, memory_bytes=GIB, max_pages=5_000)


class Pdf:
    """A PDF written object by object, so that it can be as wrong as one likes."""

    def __init__(self) -> None:
        self._objects: dict[int, bytes] = {}

    def put(self, number: int, body: bytes) -> "Pdf":
        """Object `number`."""
        self._objects[number] = body
        return self

    def stream(self, number: int, data: bytes, entries: bytes = b"") -> "Pdf":
        """Object `number`, a stream."""
        return self.put(number, b"<< /Length %d %s >>\nstream\n%s\nendstream" % (len(data), entries, data))

    def page(self, content: bytes = b"", entries: bytes = b"", box: bytes = b"0 0 200 200") -> "Pdf":
        """The usual frame: catalog 1, page tree 2, one page 3 with its content 4."""
        self.put(1, b"<< /Type /Catalog /Pages 2 0 R >>")
        self.put(2, b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>")
        self.put(3, b"<< /Type /Page /Parent 2 0 R /MediaBox [%s] /Contents 4 0 R %s >>" % (box, entries))
        return self.stream(4, content)

    def data(self) -> bytes:
        """The file, with a sound cross-reference table."""
        out = bytearray(b"%PDF-1.7\n")
        offsets = {}
        for number, body in self._objects.items():
            offsets[number] = len(out)
            out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
        start, size = len(out), max(self._objects) + 1
        out += b"xref\n0 %d\n0000000000 65535 f \n" % size
        for number in range(1, size):
            out += b"%010d 00000 n \n" % offsets[number] if number in offsets else b"0000000000 00000 f \n"
        return bytes(out + b"trailer\n<< /Root 1 0 R /Size %d >>\nstartxref\n%d\n%%%%EOF\n" % (size, start))


def deflated(megabytes: int, piece: bytes) -> bytes:
    """`piece` again and again, deflated: one block, flushed, and then its bytes repeated. The checksum is wrong."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(piece * (2**20 // len(piece))) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x78\xda" + block * megabytes + b"\x03\x00" + bytes(4)


def flate_bomb() -> bytes:
    """Some megabytes that inflate to three gigabytes of page content."""
    return Pdf().page().stream(4, deflated(3_000, b"0 0 m "), b"/Filter /FlateDecode").data()


def flate_bomb_twice() -> bytes:
    """Some kilobytes: deflated twice."""
    return (
        Pdf().page().stream(4, zlib.compress(deflated(3_000, b" "), 9), b"/Filter [/FlateDecode /FlateDecode]").data()
    )


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


# What each has to come to. A machine may reach one limit or another first.
LIMITED = "longer than|more memory|ended the program"
PDFS: list[tuple[Callable[[], bytes], str]] = [
    (flate_bomb, LIMITED),
    (flate_bomb_twice, LIMITED),
    (image_bomb, f"rendered|{LIMITED}"),
    (many_pages, "too many pages"),
    (one_page_again_and_again, "damaged|too many pages"),
    (many_pages_claimed, "damaged|too many pages"),
    (negative_pages, "damaged|No page"),
    (deep_page_tree, "rendered|damaged"),
    (circular_page_tree, "damaged"),
    (deep_arrays, "rendered|damaged"),
    (deep_content, "rendered|damaged"),
    (recursive_form, "rendered|damaged"),
    (billion_laughs, LIMITED),
    (recursive_pattern, f"rendered|damaged|{LIMITED}"),
    (wide_page, "rendered"),
    (endless_page, "rendered|less than one pixel"),
    (dashes, f"rendered|{LIMITED}"),
    (endless_path, f"rendered|{LIMITED}"),
    (endless_shading, f"rendered|{LIMITED}"),
    (circular_objects, "rendered|damaged"),
    (previous_tables, "rendered|damaged"),
    (noise, "damaged"),
]


@pytest.fixture(scope="session", autouse=True)
def warm() -> None:
    """What the process needs once (codecs, fonts, threads) is not held against the first document."""
    Image.new("RGB", (8, 8)).save(io.BytesIO(), "PNG")


@pytest.fixture(autouse=True)
async def the_process_is_as_before() -> AsyncIterator[None]:
    process = psutil.Process()
    await asyncio.to_thread(int)
    descriptors, memory = process.num_fds(), process.memory_info().rss
    yield
    assert process.children(recursive=True) == []  # a zombie would be listed too
    assert process.num_fds() <= descriptors
    # Page images of 40 MP pass through, and allocators keep some of what they had; the bombs weigh gigabytes.
    assert process.memory_info().rss < memory + 300_000_000


async def outcome(path: Path, kind: FileType, limits: RenderLimits = LIMITS) -> str:
    """`rendered`, or the reason why not, of the first pages of the document."""
    try:
        async with open_document(path, kind, dpi=150, limits=limits) as document:
            wanted = range(1, min(document.total_pages, 3) + 1)
            found = [page async for page in document.render(wanted)]
    except Unreadable as fault:
        assert fault.reason.endswith((".", ")"))
        return fault.reason
    assert [page.page_no for page in found] == list(wanted)
    for page in found:
        if isinstance(page, RenderedPage):
            assert max(page.width, page.height) <= limits.max_side
            assert page.width * page.height <= limits.max_pixels
    failed = [page.reason for page in found if isinstance(page, FailedPage)]
    return failed[0] if failed else "rendered"


@pytest.mark.parametrize(("make", "expected"), PDFS, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_hostile_pdf_ends_with_a_picture_or_a_reason(
    tmp_path: Path, make: Callable[[], bytes], expected: str
) -> None:
    data = make()
    assert len(data) < 25_000_000
    assert file_type(data[:2048]) is FileType.PDF
    path = tmp_path / "hostile.pdf"
    path.write_bytes(data)
    assert re.search(expected, await outcome(path, FileType.PDF))


# Images


def saved(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


SIDE = 50_000
SMALL = Image.new("RGB", (64, 48), "red")


def huge_png() -> bytes:
    """IHDR, with its checksum."""
    data = bytearray(encode_png(np.zeros((4, 4), np.uint8)))
    data[16:24] = struct.pack(">II", SIDE, SIDE)
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def huge_jpeg() -> bytes:
    """The frame header."""
    data = bytearray(saved(SMALL, "JPEG"))
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", SIDE, SIDE)
    return bytes(data)


def huge_tiff() -> bytes:
    """The tags of width and height."""
    data = bytearray(saved(SMALL, "TIFF"))
    for tag in (256, 257):
        at = data.index(
            struct.pack("<HH", tag, 4) if struct.pack("<HH", tag, 4) in data else struct.pack("<HH", tag, 3)
        )
        data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, SIDE)
    return bytes(data)


def huge_webp() -> bytes:
    """The canvas of an extended file."""
    body = saved(SMALL, "WEBP", lossless=True)[12:]
    canvas = b"VP8X" + struct.pack("<I", 10) + bytes(4) + 2 * (SIDE - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 4 + len(canvas) + len(body)) + b"WEBP" + canvas + body


def huge_bmp() -> bytes:
    """The header."""
    data = bytearray(saved(SMALL, "BMP"))
    data[18:26] = struct.pack("<ii", SIDE, SIDE)
    return bytes(data)


def huge_gif() -> bytes:
    """The screen, and the frame on it."""
    data = bytearray(saved(SMALL, "GIF"))
    data[6:10] = struct.pack("<HH", SIDE, SIDE)
    at = data.index(b"\x2c\0\0\0\0") + 5
    data[at : at + 4] = struct.pack("<HH", SIDE, SIDE)
    return bytes(data)


def huge_jp2() -> bytes:
    """The image header box and the codestream's size."""
    data = bytearray(saved(SMALL, "JPEG2000"))
    at = data.index(b"ihdr") + 4
    data[at : at + 8] = struct.pack(">II", SIDE, SIDE)
    at = data.index(b"\xff\x51") + 6
    data[at : at + 8] = struct.pack(">II", SIDE, SIDE)
    return bytes(data)


def tiff_loop() -> bytes:
    """The second frame says that the first comes next."""
    data = bytearray(saved(SMALL, "TIFF", save_all=True, append_images=[SMALL, SMALL]))
    first = struct.unpack_from("<I", data, 4)[0]

    def link(at: int) -> int:
        return at + 2 + 12 * int(struct.unpack_from("<H", data, at)[0])

    second = struct.unpack_from("<I", data, link(first))[0]
    struct.pack_into("<I", data, link(second), first)
    return bytes(data)


def tiff_of_itself() -> bytes:
    """The first frame says that it comes next."""
    data = bytearray(saved(SMALL, "TIFF"))
    first = struct.unpack_from("<I", data, 4)[0]
    struct.pack_into("<I", data, first + 2 + 12 * int(struct.unpack_from("<H", data, first)[0]), first)
    return bytes(data)


def png_text_bomb() -> bytes:
    """A comment that inflates to two gigabytes, before the picture."""
    picture = encode_png(np.full((8, 8), 7, np.uint8))
    body = b"Comment\0\0" + deflated(2_000, b"x")
    chunk = struct.pack(">I", len(body)) + b"zTXt" + body + struct.pack(">I", zlib.crc32(b"zTXt" + body))
    return picture[:33] + chunk + picture[33:]


def png_pixel_bomb() -> bytes:
    """A small picture whose data inflate to two gigabytes."""
    picture = encode_png(np.zeros((8, 8), np.uint8))
    body = deflated(2_000, b"\0")
    chunk = struct.pack(">I", len(body)) + b"IDAT" + body + struct.pack(">I", zlib.crc32(b"IDAT" + body))
    return picture[:33] + chunk + picture[-12:]


def gif_of_many_frames() -> bytes:
    """Ten thousand frames."""
    data = saved(SMALL, "GIF")
    frame = data[data.index(b"\x2c\0\0\0\0") : -1]
    return data[:-1] + frame * 10_000 + b";"


IMAGES: list[tuple[Callable[[], bytes], FileType, str]] = [
    (huge_png, FileType.PNG, "more pixels"),
    (huge_jpeg, FileType.JPEG, f"rendered|damaged|{LIMITED}"),  # it can be decoded at an eighth of each side
    (huge_tiff, FileType.TIFF, "more pixels"),
    (huge_webp, FileType.WEBP, "more pixels|damaged"),
    (huge_bmp, FileType.BMP, "more pixels"),
    (huge_gif, FileType.GIF, "more pixels"),
    (huge_jp2, FileType.JP2, "more pixels"),
    (tiff_loop, FileType.TIFF, "rendered"),
    (tiff_of_itself, FileType.TIFF, "rendered"),
    (png_text_bomb, FileType.PNG, "rendered|damaged"),
    (png_pixel_bomb, FileType.PNG, "rendered|damaged"),
    (gif_of_many_frames, FileType.GIF, "rendered"),
]


@pytest.mark.parametrize(("make", "kind", "expected"), IMAGES, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_hostile_image_ends_with_a_picture_or_a_reason(
    tmp_path: Path, make: Callable[[], bytes], kind: FileType, expected: str
) -> None:
    data = make()
    assert len(data) < 25_000_000
    assert file_type(data[:2048]) is kind
    path = tmp_path / "hostile"
    path.write_bytes(data)
    limits = msgspec.structs.replace(LIMITS, memory_bytes=2 * GIB)
    assert re.search(expected, await outcome(path, kind, limits))


@pytest.mark.parametrize("make", [tiff_loop, tiff_of_itself], ids=lambda make: make.__name__)
async def test_a_loop_of_frames_is_no_endless_document(tmp_path: Path, make: Callable[[], bytes]) -> None:
    path = tmp_path / "loop.tiff"
    path.write_bytes(make())
    async with open_document(path, FileType.TIFF, limits=LIMITS) as document:
        assert document.total_pages <= 3


# What is no PDF


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as zipped:
        for name in names:
            zipped.writestr(name, b"application/epub+zip" if name == "mimetype" else b"<FixedPage/>")
    return buffer.getvalue()


DISGUISED = {
    "html": b"<!DOCTYPE html><html><body><h1>No PDF</h1></body></html>",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="99" height="99"><rect width="9" height="9"/></svg>',
    "zip": archive("a.txt"),
    "xps": archive("[Content_Types].xml", "_rels/.rels", "FixedDocumentSequence.fdseq"),
    "epub": archive("mimetype", "META-INF/container.xml"),
    "text": b"plain text",
}


@pytest.mark.parametrize("name", DISGUISED)
async def test_what_is_no_pdf_is_refused_even_with_the_magic_bytes_of_one(tmp_path: Path, name: str) -> None:
    data = DISGUISED[name]
    assert file_type(data) is None
    # A viewer finds the signature anywhere in the first kilobyte; so does whoever hides it in a comment.
    for disguise in (b"<!-- %PDF-1.7 -->" + data, data[:40] + b"%PDF-1.7" + data[40:], b"%PDF-1.7\n" + data):
        assert file_type(disguise) is FileType.PDF
        path = tmp_path / "disguised.pdf"
        path.write_bytes(disguise)
        assert re.search("damaged|something else inside|No page", await outcome(path, FileType.PDF))


# Through the whole service


def test_hostile_uploads_end_with_a_reason_while_the_service_goes_on(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    hostile = {
        "laughs.pdf": billion_laughs(),
        "bomb.pdf": flate_bomb(),
        "many.pdf": many_pages(),
        "tree.pdf": circular_page_tree(),
        "noise.pdf": noise(),
        "disguised.pdf": b"<!-- %PDF-1.7 -->" + DISGUISED["html"],
        "huge.png": huge_png(),
        "text.png": png_text_bomb(),
        "loop.tiff": tiff_loop(),
    }
    with running(
        tmp_path,
        script=Script(),
        RENDER_SECONDS="2",
        TMPDIR=str(temporary),
        CHILD_MEMORY_BYTES=str(GIB),
    ) as services:
        web = psutil.Process(services.pid("web"))
        path = pdf(tmp_path / "good.pdf", 2)
        services.ended(services.upload(path))
        memory = web.memory_info().rss
        jobs = {}
        for name, data in hostile.items():
            (tmp_path / name).write_bytes(data)
            jobs[name] = services.upload(tmp_path / name)
        good = services.upload(path)

        def all_ended() -> bool:
            assert services.get("/health").status_code == 200
            return all(services.status(job)["status"] in ENDED for job in [*jobs.values(), good])

        services.until(all_ended, "every job to end", seconds=120)
        assert services.status(good)["status"] == "completed"
        for name, job_id in jobs.items():
            job = services.status(job_id)
            assert job["status"] in ("completed", "partial", "failed"), name
            assert job["status"] == "completed" or job["error"], name
        for name in DISGUISED:
            if name == "text":
                continue
            answer = httpx.post(f"{services.url}/upload", files={"file": ("a.pdf", DISGUISED[name])})
            assert answer.status_code == 415, name
        services.until(lambda: web.children(recursive=True) == [], "every child to be gone")
        assert list(temporary.iterdir()) == []
        assert list(services.storage.glob(".tmp/*")) == []
        assert web.memory_info().rss < memory + 300_000_000
        assert "request_failed" not in (services.logs / "web.log").read_text()
