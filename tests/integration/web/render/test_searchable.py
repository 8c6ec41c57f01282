"""Searchable PDFs: the words are where they are printed, and the document is as it was.

A page of real print is drawn by MuPDF, which also says where its words are. As a picture it is the scan; its lines are
what an engine that reads without a fault would find.
"""

import asyncio
import io
import math
import shutil
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pymupdf
import pytest
from numpy.typing import NDArray
from PIL import Image

from libs.page.block import Line, Point, Rect, Word
from services.serving import jail
from services.web.render import document as rendering
from services.web.render.document import RenderedPage, RenderLimits, Unreadable, open_document
from services.web.render.filetype import FileType
from services.web.render.protocol import PageText
from services.web.render.searchable import searchable_pdf

# Only a part of it is typed.
mupdf: Any = pymupdf

DPI = 150
SCALE = DPI / 72
PROSE = (
    "The committee met on the third of March at ten in the morning, and",
    "the minutes of the meeting before were read: Mr Willoughby, MMXXVI,",
    "asked why 1,204.50 had been paid; illicit lilies fill the hill's rill.",
    "Which was answered. WHEN IT WAS ALL IN CAPITALS NOBODY MINDED.",
)
WriteFile = Callable[[str, bytes], Path]


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    descriptors = psutil.Process().num_fds()
    yield
    assert psutil.Process().children(recursive=True) == []
    assert psutil.Process().num_fds() <= descriptors


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    def write_file(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write_file


class Print(msgspec.Struct, frozen=True, kw_only=True):
    """A printed page: its picture, its words' places, and its lines, in pixels of the picture."""

    pixels: NDArray[np.uint8]
    words: tuple[tuple[str, Rect], ...]
    lines: tuple[Line, ...]

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


def printed(lines: Sequence[str] = PROSE, *, width: float = 420, height: float = 300) -> Print:
    document = mupdf.open()
    page = document.new_page(width=width, height=height)
    for number, line in enumerate(lines):
        page.insert_text((36, 60 + 30 * number), line, fontsize=11, fontname="tiro")
    pixmap = page.get_pixmap(dpi=DPI, colorspace=mupdf.csGRAY)
    pixels = np.frombuffer(pixmap.samples, np.uint8).reshape(pixmap.height, pixmap.stride)[:, : pixmap.width]
    words: list[tuple[str, Rect]] = []
    boxes: dict[int, list[tuple[str, Rect]]] = {}
    for left, top, right, bottom, text, *_ in page.get_text("words"):
        box = (left * SCALE, top * SCALE, right * SCALE, bottom * SCALE)
        words.append((text, box))
        boxes.setdefault(round(bottom), []).append((text, box))
    found = []
    for row in boxes.values():
        left, right = min(box[0] for _, box in row), max(box[2] for _, box in row)
        top, bottom = row[0][1][1], row[0][1][3]
        corners = ((left, top), (right, top), (right, bottom), (left, bottom))
        found.append(Line(text=" ".join(text for text, _ in row), box=corners))
    return Print(pixels=np.ascontiguousarray(pixels), words=tuple(words), lines=tuple(found))


def saved(image: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def scan(print_: Print, *, rotate: int = 0, offset: Point = (0, 0), crop: bool = False, **save: Any) -> bytes:
    """A PDF with the picture as its page, seen upright after `/Rotate`, its origin and visible part elsewhere."""
    width, height = print_.width / SCALE, print_.height / SCALE
    turned = np.rot90(print_.pixels, rotate // 90)
    if rotate % 180:
        width, height = height, width
    document = mupdf.open()
    page = document.new_page(width=width, height=height)
    page.insert_image(page.rect, stream=saved(Image.fromarray(turned), "PNG"))
    x, y = offset
    if crop or offset != (0, 0):
        # The picture moves with the boxes' origin; a margin around it is cropped away.
        margin = 20 if crop else 0
        document.xref_set_key(
            page.xref, "MediaBox", f"[{x - margin} {y - margin} {x + width + margin} {y + height + margin}]"
        )
        document.xref_set_key(page.xref, "CropBox", f"[{x} {y} {x + width} {y + height}]")
        (contents,) = page.get_contents()
        document.update_stream(contents, b"1 0 0 1 %d %d cm\n" % (x, y) + document.xref_stream(contents))
    document.xref_set_key(page.xref, "Rotate", str(rotate))
    return bytes(document.tobytes(**save))


async def texts(*pages: PageText) -> AsyncIterator[PageText]:
    for page in pages:
        yield page


def text_of(print_: Print, page_no: int = 1) -> PageText:
    return PageText(page_no=page_no, width=print_.width, height=print_.height, lines=print_.lines)


async def searchable(
    path: Path, *pages: PageText, file_type: FileType = FileType.PDF, limits: RenderLimits | None = None
) -> bytes:
    async with searchable_pdf(path, file_type, texts(*pages), dpi=DPI, limits=limits) as chunks:
        return b"".join([chunk async for chunk in chunks])


def found_words(pdf: bytes, page_no: int = 1) -> list[tuple[str, Rect]]:
    """The words that MuPDF finds, in pixels of the page as it is seen."""
    with mupdf.open(stream=pdf) as document:
        page = document[page_no - 1]
        words = []
        for *box, text, _, _, _ in page.get_text("words"):
            seen = mupdf.Rect(box) * page.rotation_matrix * mupdf.Matrix(SCALE, SCALE)
            words.append((text, (seen.x0, seen.y0, seen.x1, seen.y1)))
        return words


def centre(box: Rect) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def assert_in_place(found: Sequence[tuple[str, Rect]], true: Sequence[tuple[str, Rect]]) -> None:
    """Each word is there, in order, its middle within half a line of the printed word's."""
    assert [text for text, _ in found] == [text for text, _ in true]
    for (text, box), (_, place) in zip(found, true, strict=True):
        height = place[3] - place[1]
        assert math.dist(centre(box), centre(place)) < height / 2, text


def pixels_of(pdf: bytes, page_no: int = 1, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The page at `DPI`, or of this width and height."""
    with mupdf.open(stream=pdf) as document:
        page = document[page_no - 1]
        across, down = (size[0] / page.rect.width, size[1] / page.rect.height) if size else (SCALE, SCALE)
        pixmap = page.get_pixmap(matrix=mupdf.Matrix(across, down), colorspace=mupdf.csRGB)
        return np.frombuffer(pixmap.samples, np.uint8).copy().reshape(pixmap.height, pixmap.width, 3)


def check_by_qpdf(path: Path) -> None:
    """Where qpdf is installed, it finds nothing wrong."""
    if program := shutil.which("qpdf"):
        done = subprocess.run([program, "--check", path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize(("offset", "crop"), [((0, 0), False), ((-30, 250), True)])
async def test_words_are_where_they_are_printed(write: WriteFile, rotate: int, offset: Point, crop: bool) -> None:
    page = printed()
    original = scan(page, rotate=rotate, offset=offset, crop=crop)
    path = write("scan.pdf", original)
    async with open_document(path, FileType.PDF, dpi=DPI) as document:
        (rendered,) = [one async for one in document.render([1])]
    assert isinstance(rendered, RenderedPage)
    assert abs(rendered.width - page.width) <= 1, "the scan is seen upright"
    assert abs(rendered.height - page.height) <= 1, "the scan is seen upright"

    made = await searchable(path, text_of(page))
    assert made.startswith(original)
    assert_in_place(found_words(made), page.words)
    assert np.array_equal(pixels_of(made), pixels_of(original))
    check_by_qpdf(write("made.pdf", made))


@pytest.mark.parametrize("degrees", [-8, 3, 20])
async def test_words_of_a_skewed_scan_are_where_they_are_printed(write: WriteFile, degrees: float) -> None:
    page = printed()
    angle = math.radians(degrees)

    def tilted(point: Point) -> Point:
        x, y = point[0] - page.width / 2, point[1] - page.height / 2
        return (
            x * math.cos(angle) - y * math.sin(angle) + page.width / 2,
            x * math.sin(angle) + y * math.cos(angle) + page.height / 2,
        )

    lines = tuple(
        msgspec.structs.replace(line, box=tuple(tilted(corner) for corner in line.box)) for line in page.lines
    )
    made = await searchable(
        write("scan.pdf", scan(page)), PageText(page_no=1, width=page.width, height=page.height, lines=lines)
    )
    found = found_words(made)
    assert [text for text, _ in found] == [text for text, _ in page.words]
    for (text, box), (_, place) in zip(found, page.words, strict=True):
        assert math.dist(centre(box), tilted(centre(place))) < (place[3] - place[1]) / 2, text


async def test_words_with_places_of_their_own_are_at_these(write: WriteFile) -> None:
    page = printed(["a b"])
    words = (("first", (50, 100, 120, 120)), ("second", (400, 100, 480, 120)))
    line = Line(
        text="first second",
        box=((50, 100), (480, 100), (480, 120), (50, 120)),
        words=tuple(Word(text=text, box=box) for text, box in words),
    )
    made = await searchable(
        write("scan.pdf", scan(page)), PageText(page_no=1, width=page.width, height=page.height, lines=(line,))
    )
    found = found_words(made)
    assert [text for text, _ in found] == ["first", "second"]
    for (_, box), (_, place) in zip(found, words, strict=True):
        assert box == pytest.approx(place, abs=2)


async def test_text_that_runs_down_is_beside_its_column(write: WriteFile) -> None:
    page = printed(["a"])
    line = Line(text="縦書きの文", box=((100, 50), (130, 50), (130, 250), (100, 250)))
    made = await searchable(
        write("scan.pdf", scan(page)), PageText(page_no=1, width=page.width, height=page.height, lines=(line,))
    )
    with mupdf.open(stream=made) as document:
        characters = [
            (char["c"], mupdf.Rect(char["bbox"]) * mupdf.Matrix(SCALE, SCALE))
            for block in document[0].get_text("rawdict")["blocks"]
            for found in block.get("lines", ())  # the scan is a block, too
            for span in found["spans"]
            for char in span["chars"]
            if char["c"] != " "  # which ends a line
        ]
    assert "".join(character for character, _ in characters) == line.text
    for number, (_, box) in enumerate(characters):
        assert centre(tuple(box)) == pytest.approx((115, 70 + 40 * number), abs=8)


@pytest.mark.parametrize(
    "text",
    [
        "שלום עולם, מה שלומך",
        "مرحبا بالعالم",
        "בְּרֵאשִׁית בָּרָא",
        "日本語の文字列と English words",
        "한국어 문장",
        "नमस्ते दुनिया",
        "e\u0301galite\u0301 cafe\u0301",
        "𠮷野家 😀 𝒳",
        "1 < 2 & (a) \\ [b] <c>",
    ],
)
async def test_text_of_any_script_is_found_as_it_was_read(write: WriteFile, text: str) -> None:
    page = printed(["a"])
    line = Line(text=text, box=((50, 100), (600, 100), (600, 140), (50, 140)))
    made = await searchable(
        write("scan.pdf", scan(page)), PageText(page_no=1, width=page.width, height=page.height, lines=(line,))
    )
    with mupdf.open(stream=made) as document:
        kept = mupdf.TEXT_PRESERVE_WHITESPACE | mupdf.TEXT_PRESERVE_LIGATURES
        assert " ".join(document[0].get_text(flags=kept).split()) == " ".join(text.split())


@pytest.mark.parametrize("save", [{}, {"use_objstms": 1}, {"garbage": 3, "deflate": True, "clean": True}])
async def test_what_is_new_follows_the_original(write: WriteFile, save: dict[str, Any]) -> None:
    page = printed()
    document = mupdf.open(stream=scan(page))
    document.new_page().insert_text((50, 50), "A page of its own text")
    document.set_toc([[1, "Chapter", 1]])
    original = bytes(document.tobytes(**save))

    made = await searchable(write("scan.pdf", original), text_of(page))
    assert made.startswith(original)
    with mupdf.open(stream=made) as after, mupdf.open(stream=original) as before:
        assert not after.is_repaired
        changed = {
            number
            for number in range(1, before.xref_length())
            if before.xref_object(number) != after.xref_object(number)
            or (before.xref_is_stream(number) and before.xref_stream_raw(number) != after.xref_stream_raw(number))
        }
        assert changed == {before[0].xref}
        assert after.get_toc() == before.get_toc()
        assert after[1].get_text() == before[1].get_text()
    assert np.array_equal(pixels_of(made, 2), pixels_of(original, 2))
    check_by_qpdf(write("made.pdf", made))


async def test_a_scan_grows_by_a_fifth_at_most(write: WriteFile) -> None:
    page = printed([*PROSE, *PROSE, *PROSE], height=500)
    grain = np.random.default_rng(7).integers(0, 40, page.pixels.shape, np.uint8)
    noisy = msgspec.structs.replace(page, pixels=np.maximum(page.pixels, 40) - grain)
    document = mupdf.open()
    sheets = 4
    for _ in range(sheets):
        sheet = document.new_page(width=page.width / SCALE, height=page.height / SCALE)
        sheet.insert_image(sheet.rect, stream=saved(Image.fromarray(noisy.pixels), "JPEG", quality=40))
    original = bytes(document.tobytes())

    made = await searchable(write("scan.pdf", original), *(text_of(page, n) for n in range(1, sheets + 1)))
    assert len(made) < 1.2 * len(original)
    for number in range(1, sheets + 1):
        assert_in_place(found_words(made, number), page.words)


async def test_a_pdf_that_restricts_its_use_keeps_its_protection(write: WriteFile) -> None:
    page = printed()
    original = scan(page, encryption=mupdf.PDF_ENCRYPT_AES_256, owner_pw="owner", permissions=mupdf.PDF_PERM_COPY)
    made = await searchable(write("scan.pdf", original), text_of(page))

    assert made.startswith(original)
    with mupdf.open(stream=made) as document:
        assert document.metadata["encryption"] is not None
        assert not document.needs_pass
    assert_in_place(found_words(made), page.words)
    check_by_qpdf(write("made.pdf", made))


@pytest.mark.parametrize("damage", ["cut", "preceded"])
async def test_a_damaged_pdf_is_written_anew(write: WriteFile, damage: str) -> None:
    page = printed()
    original = scan(page)
    broken = original[: original.rindex(b"xref")] if damage == "cut" else b"From: a mail gateway\r\n" + original
    made = await searchable(write("scan.pdf", broken), text_of(page))

    with mupdf.open(stream=made) as document:
        assert not document.is_repaired
    assert_in_place(found_words(made), page.words)
    assert np.array_equal(pixels_of(made), pixels_of(original))
    check_by_qpdf(write("made.pdf", made))


async def test_the_text_of_an_earlier_ocr_gives_way(write: WriteFile) -> None:
    page = printed()
    document = mupdf.open(stream=scan(page))
    document[0].insert_text((40, 62), "Tke committoo mot", fontsize=11, render_mode=3)
    original = bytes(document.tobytes())
    assert "committoo" in document[0].get_text()

    made = await searchable(write("scan.pdf", original), text_of(page))
    assert_in_place(found_words(made), page.words)
    assert np.array_equal(pixels_of(made), pixels_of(original))
    assert made.startswith(original)
    check_by_qpdf(write("made.pdf", made))


async def test_the_text_of_an_earlier_ocr_stays_where_no_line_can_be_placed(write: WriteFile) -> None:
    page = printed()
    document = mupdf.open(stream=scan(page))
    document[0].insert_text((40, 62), "Tke committoo mot", fontsize=11, render_mode=3)
    document.new_page()
    flat = Line(text="flat", box=((5, 5), (50, 5), (50, 5), (5, 5)))
    nothing = PageText(page_no=1, width=page.width, height=page.height, lines=(flat,))
    made = await searchable(write("scan.pdf", bytes(document.tobytes())), nothing, text_of(page, 2))
    assert [text for text, _ in found_words(made)] == ["Tke", "committoo", "mot"]
    assert found_words(made, 2)


async def test_invisible_text_beside_visible_text_stays(write: WriteFile) -> None:
    page = printed()
    document = mupdf.open(stream=scan(page))
    document[0].insert_text((40, 20), "EXHIBIT 12", fontsize=9)
    document[0].insert_text((40, 280), "hidden", fontsize=9, render_mode=3)
    made = await searchable(write("scan.pdf", bytes(document.tobytes())), text_of(page))

    text = {word for word, _ in found_words(made)}
    assert {"EXHIBIT", "hidden", "committee"} <= text


async def test_pages_without_lines_and_pages_that_are_not_there_change_nothing(write: WriteFile) -> None:
    original = scan(printed())
    nothing = PageText(page_no=1, width=100, height=100, lines=())
    far = PageText(page_no=9, width=100, height=100, lines=printed().lines)
    assert await searchable(write("scan.pdf", original), nothing, far) == original


async def test_places_that_make_no_sense_are_left_out(write: WriteFile) -> None:
    page = printed(["word"])
    odd = (
        Line(text="flat", box=((5, 5), (50, 5), (50, 5), (5, 5))),
        Line(text="point", box=((5, 5), (5, 5), (5, 5), (5, 5))),
        Line(text="far", box=((1e300, 5), (2e300, 5), (2e300, 9), (1e300, 9))),
        Line(text="  ", box=((5, 5), (50, 5), (50, 9), (5, 9))),
    )
    made = await searchable(
        write("scan.pdf", scan(page)),
        PageText(page_no=1, width=page.width, height=page.height, lines=(*odd, *page.lines)),
    )
    assert [text for text, _ in found_words(made)] == ["word"]


async def test_a_page_that_is_in_the_document_twice_has_its_text_once(write: WriteFile) -> None:
    page = printed()
    document = mupdf.open(stream=scan(page))
    pages = document.pdf_catalog()
    tree = int(document.xref_get_key(pages, "Pages")[1].split()[0])
    leaf = document[0].xref
    document.xref_set_key(tree, "Kids", f"[{leaf} 0 R {leaf} 0 R]")
    document.xref_set_key(tree, "Count", "2")
    made = await searchable(write("scan.pdf", bytes(document.tobytes())), text_of(page), text_of(page, 2))
    assert_in_place(found_words(made), page.words)


async def test_what_a_page_has_of_fonts_stays_and_no_name_is_taken(write: WriteFile) -> None:
    page = printed()
    once = await searchable(write("scan.pdf", scan(page)), PageText(page_no=1, width=0, height=0, lines=page.lines))
    assert_in_place(found_words(once), page.words)
    document = mupdf.open(stream=once)
    document[0].insert_text((40, 20), "EXHIBIT 12", fontsize=9)  # so that the old text is not taken away
    twice = await searchable(write("twice.pdf", bytes(document.tobytes())), text_of(page))

    names = {font[4] for font in mupdf.open(stream=twice)[0].get_fonts()}
    assert {"GnosisText", "GnosisText2"} <= names
    assert len(found_words(twice)) == 2 * len(page.words) + 2


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
async def test_a_jpeg_stays_as_it_is(write: WriteFile, mode: str) -> None:
    page = printed()
    jpeg = saved(Image.fromarray(page.pixels).convert(mode), "JPEG", quality=70, dpi=(DPI, DPI))
    made = await searchable(write("scan.jpg", jpeg), text_of(page), file_type=FileType.JPEG)

    assert jpeg in made
    assert len(made) < 1.2 * len(jpeg) + 4000
    assert_in_place(found_words(made), page.words)
    with Image.open(io.BytesIO(jpeg)) as image:
        seen = np.asarray(image.convert("RGB"), np.int16)
    assert np.abs(pixels_of(made, size=image.size).astype(np.int16) - seen).mean() < 3
    check_by_qpdf(write("made.pdf", made))


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_a_photo_is_upright_as_its_exif_says(write: WriteFile, orientation: int) -> None:
    page = printed()
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the `Transpose` that the camera did, so to say
    image = Image.fromarray(page.pixels)
    if orientation > 1:
        image = image.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[274] = orientation
    jpeg = saved(image, "JPEG", quality=90, dpi=(DPI, DPI), exif=exif)
    made = await searchable(write("photo.jpg", jpeg), text_of(page), file_type=FileType.JPEG)

    assert jpeg in made
    seen = pixels_of(made, size=(page.width, page.height))
    assert np.abs(seen[..., 0].astype(np.int16) - page.pixels).mean() < 3
    assert_in_place(found_words(made), page.words)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "P", "RGBA", "I;16"])
async def test_a_png_is_kept_without_loss(write: WriteFile, mode: str) -> None:
    page = printed()
    image = Image.fromarray(page.pixels)
    image = Image.fromarray(page.pixels.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    png = saved(image, "PNG", dpi=(DPI, DPI))
    made = await searchable(write("scan.png", png), text_of(page), file_type=FileType.PNG)

    expected = np.asarray(image.convert("RGB")) if mode != "I;16" else np.stack([page.pixels] * 3, axis=-1)
    assert np.abs(pixels_of(made, size=image.size).astype(np.int16) - expected).max() <= 1
    assert_in_place(found_words(made), page.words)
    if mode != "RGBA":
        assert len(made) < 1.2 * len(png) + 4000
    check_by_qpdf(write("made.pdf", made))


async def test_every_frame_of_a_tiff_is_a_page_and_black_and_white_stays_small(write: WriteFile) -> None:
    page, other = printed(), printed(["Another frame"], width=200, height=100)
    frames = [Image.fromarray(one.pixels).convert("1", dither=Image.Dither.NONE) for one in (page, other)]
    tiff = saved(frames[0], "TIFF", compression="group4", save_all=True, append_images=frames[1:], dpi=(DPI, DPI))
    made = await searchable(write("scan.tif", tiff), text_of(page), text_of(other, 2), file_type=FileType.TIFF)

    for number, (one, frame) in enumerate(zip((page, other), frames, strict=True), 1):
        assert np.array_equal(pixels_of(made, number, frame.size)[..., 0] > 127, np.asarray(frame))
        assert_in_place(found_words(made, number), one.words)
    assert len(made) < 1.2 * len(tiff) + 6000
    check_by_qpdf(write("made.pdf", made))


async def test_a_picture_that_cannot_be_decoded_is_an_empty_page(write: WriteFile) -> None:
    page = printed()
    bitmap = saved(Image.fromarray(page.pixels), "BMP")
    made = await searchable(write("cut.bmp", bitmap[: len(bitmap) // 2]), file_type=FileType.BMP)
    with mupdf.open(stream=made) as document:
        assert document.page_count == 1


async def test_a_picture_for_which_memory_is_missing_is_no_empty_page(write: WriteFile) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (2000, 3000, 3), np.uint8)
    frames = [Image.fromarray(noise)] * 40  # 18 MB each, which deflate cannot make smaller
    path = write("scan.tif", saved(frames[0], "TIFF", save_all=True, append_images=frames[1:], dpi=(DPI, DPI)))
    limits = RenderLimits(memory_bytes=700 * 1024**2)
    with pytest.raises(Unreadable, match="Print the document"):
        await searchable(path, text_of(printed()), file_type=FileType.TIFF, limits=limits)


async def test_what_is_no_document_says_so(write: WriteFile) -> None:
    with pytest.raises(Unreadable, match=r"damaged|No page|something else"):
        await searchable(write("a.pdf", b"%PDF-1.7\nnothing"), text_of(printed()))
    with pytest.raises(Unreadable, match="password"):
        locked = scan(printed(), encryption=mupdf.PDF_ENCRYPT_AES_256, user_pw="secret")
        await searchable(write("b.pdf", locked), text_of(printed()))
    with pytest.raises(Unreadable, match="damaged"):
        await searchable(write("gone.pdf", b"").with_name("none.pdf"))


def lying_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str) -> None:
    """In place of the child: a program that opens any document, reads its input to the end, and then does `body`."""
    program = tmp_path / "child.py"
    program.write_text(
        textwrap.dedent(
            """
            import json, socket, struct, sys
            channel = socket.socket(fileno=0)
            frame = lambda kind, payload: channel.sendall(struct.pack(">BII", kind, 0, len(payload)) + payload)
            lines = channel.makefile("rb")
            lines.readline()
            frame(0, b'{"total_pages":1,"repaired":false}')
            for line in lines: pass
            """
        )
        + textwrap.dedent(body)
    )
    monkeypatch.setattr(rendering, "PROGRAM", (str(program),))


@pytest.mark.parametrize(
    "body",
    [
        "sys.exit(1)",
        "frame(4, b'{}')",
        "frame(2, b'png')",
        "frame(4, b'{\"appended\":false}'); sys.exit(1)",
        "frame(4, b'{\"appended\":false}'); frame(2, b'png')",
        "frame(4, b'{\"appended\":false}'); channel.sendall(struct.pack('>BII', 5, 0, 1 << 30))",
        "frame(4, b'{\"appended\":false}')\nwhile True: frame(5, bytes(1 << 20))",
    ],
)
async def test_a_child_that_is_taken_over_gives_a_reason_and_no_pdf(
    write: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str
) -> None:
    lying_child(monkeypatch, tmp_path, body)
    limits = RenderLimits(max_decoded_bytes=4_000_000)
    with pytest.raises(Unreadable, match="Print the document"):
        await searchable(write("scan.pdf", scan(printed())), text_of(printed()), limits=limits)


async def test_a_child_that_hangs_is_ended(
    write: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, let_time_pass: Callable[[float], None]
) -> None:
    lying_child(monkeypatch, tmp_path, "import time\ntime.sleep(3600)")

    async def then_time_passes() -> AsyncIterator[PageText]:
        yield text_of(printed())
        # After the parent has begun to wait for the PDF, which is next.
        asyncio.get_running_loop().call_soon(let_time_pass, RenderLimits().searchable_seconds + 1)

    with pytest.raises(Unreadable, match="longer than allowed"):
        async with searchable_pdf(write("scan.pdf", scan(printed())), FileType.PDF, then_time_passes()):
            pass


async def test_the_time_of_all_pages_counts(write: WriteFile, let_time_pass: Callable[[float], None]) -> None:
    async def slowly() -> AsyncIterator[PageText]:
        for _ in range(3):
            yield text_of(printed())
            # A hostile page may keep the child for less than the limit of each request, again and again.
            let_time_pass(RenderLimits().searchable_seconds / 2)
            await asyncio.sleep(0)

    with pytest.raises(Unreadable, match="longer than allowed"):
        async with searchable_pdf(write("scan.pdf", scan(printed())), FileType.PDF, slowly()):
            pass


async def test_a_child_that_sends_slowly_is_ended(
    write: WriteFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, let_time_pass: Callable[[float], None]
) -> None:
    lying_child(monkeypatch, tmp_path, "frame(4, b'{\"appended\":false}')\nwhile True: frame(5, b'%')")
    limits = RenderLimits()
    async with searchable_pdf(write("scan.pdf", scan(printed())), FileType.PDF, texts(), limits=limits) as chunks:
        with pytest.raises(Unreadable, match="longer than allowed"):
            for _ in range(10):
                assert await anext(chunks) == b"%"
                let_time_pass(limits.searchable_seconds / 5)


async def test_the_child_works_within_every_wall_of_this_machine(write: WriteFile) -> None:
    """The request names the walls that are there, and the child raises all of them or exits: see `tests/jail`."""
    seen: list[str] = []

    async def while_it_runs() -> AsyncIterator[PageText]:
        (child,) = psutil.Process().children()
        seen.append(Path(f"/proc/{child.pid}/status").read_text() if sys.platform == "linux" else "")
        yield text_of(printed())

    async with searchable_pdf(write("scan.pdf", scan(printed())), FileType.PDF, while_it_runs()) as chunks:
        assert [chunk async for chunk in chunks]
    if jail.Wall.SECCOMP in jail.supported():
        assert "Seccomp:\t2" in seen[0]
