import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pymupdf
import pytest
from numpy.typing import NDArray
from PIL import Image

from services.web.render import document as rendering
from services.web.render.document import (
    Document,
    FailedPage,
    RenderedPage,
    RenderLimits,
    Unreadable,
    open_document,
)
from services.web.render.filetype import FileType
from services.web.render.png import encode_png
from tests import ROOT
from tests.documents import WriteFile

# Only a part of it is typed.
mupdf: Any = pymupdf

Pixels = NDArray[np.uint8]

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


def children() -> list[psutil.Process]:
    return list(psutil.Process().children(recursive=True))


def grey_of(page_no: int) -> int:
    return 5 * page_no


def pdf(pages: int, **options: object) -> bytes:
    """Square pages of 144 points, each filled with the grey of its number."""
    document = mupdf.open()
    for page_no in range(1, pages + 1):
        page = document.new_page(width=144, height=144)
        level = grey_of(page_no) / 255
        page.draw_rect(page.rect, color=None, fill=(level, level, level))
    return bytes(document.tobytes(**options))


def noisy_pdf(pages: int) -> bytes:
    """Pages whose PNGs are larger than what fits between child and parent."""
    document = mupdf.open()
    for page_no in range(1, pages + 1):
        page = document.new_page(width=480, height=480)
        noise = np.random.default_rng(page_no).integers(0, 256, (1000, 1000, 3), np.uint8)
        noise[0:40, 0:40] = grey_of(page_no)
        page.insert_image(page.rect, stream=encode_png(noise))
    return bytes(document.tobytes())


def one_page(width: float, height: float, draw: Callable[[Any], object] | None = None) -> bytes:
    document = mupdf.open()
    page = document.new_page(width=width, height=height)
    if draw:
        draw(page)
    return bytes(document.tobytes())


def saved(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def pixels(page: RenderedPage | FailedPage) -> Pixels:
    assert isinstance(page, RenderedPage), page
    with Image.open(io.BytesIO(page.png)) as image:
        assert (image.width, image.height) == (page.width, page.height)
        return np.asarray(image)


async def render(
    path: Path,
    file_type: FileType = FileType.PDF,
    pages: Sequence[int] | None = None,
    limits: RenderLimits | None = None,
    dpi: int = 72,
) -> list[RenderedPage | FailedPage]:
    async with open_document(path, file_type, dpi=dpi, limits=limits) as document:
        wanted = range(1, document.total_pages + 1) if pages is None else pages
        return [page async for page in document.render(wanted)]


def any_file(folder: Path) -> Path:
    """A file for a child that does not look at it."""
    path = folder / "any.pdf"
    path.write_bytes(b"%PDF-")
    return path


async def opened(path: Path, file_type: FileType, limits: RenderLimits | None = None) -> Document:
    """A document that has been opened and closed again: what is known of it stays."""
    async with open_document(path, file_type, limits=limits) as document:
        return document


async def render_one(path: Path, file_type: FileType, limits: RenderLimits | None = None) -> Pixels:
    (page,) = await render(path, file_type, limits=limits)
    return pixels(page)


# PDF


async def test_page_n_out_is_page_n_in(write: WriteFile) -> None:
    rendered = await render(write("many.pdf", pdf(50)))
    assert [page.page_no for page in rendered] == list(range(1, 51))
    for page in rendered:
        assert np.all(pixels(page) == grey_of(page.page_no))


async def test_any_pages_in_any_order_may_be_asked_for(write: WriteFile) -> None:
    rendered = await render(write("many.pdf", pdf(9)), pages=[7, 2, 2, 9])
    assert [page.page_no for page in rendered] == [7, 2, 2, 9]
    assert [int(pixels(page)[70, 70]) for page in rendered] == [grey_of(n) for n in (7, 2, 2, 9)]


async def test_a_page_that_the_document_lacks_is_a_mistake_of_the_caller(write: WriteFile) -> None:
    async with open_document(write("a.pdf", pdf(2)), FileType.PDF) as document:
        with pytest.raises(ValueError, match="page 3"):
            [page async for page in document.render([1, 3])]


async def test_the_total_is_known_before_any_page(write: WriteFile) -> None:
    async with open_document(write("many.pdf", pdf(12)), FileType.PDF) as document:
        assert document.total_pages == 12
        assert not document.repaired


async def test_a_grey_page_is_grey_and_a_coloured_one_keeps_its_colour(write: WriteFile) -> None:
    document = mupdf.open()
    document.new_page(width=100, height=100).draw_line((10, 50), (90, 50), color=(0, 0, 0))
    document.new_page(width=100, height=100).draw_line((10, 50), (20, 50), color=(1, 0, 0), width=2)
    grey, coloured = (pixels(page) for page in await render(write("a.pdf", bytes(document.tobytes()))))
    assert grey.ndim == 2
    assert coloured[50, 15].tolist() == [255, 0, 0]


async def test_resolution_sets_the_size_and_is_recorded(write: WriteFile) -> None:
    (page,) = await render(write("a.pdf", pdf(1)), dpi=300)
    assert isinstance(page, RenderedPage)
    assert (page.width, page.height) == (600, 600)
    with Image.open(io.BytesIO(page.png)) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), rel=1e-3)


async def test_the_rotation_of_a_page_is_honoured(write: WriteFile) -> None:
    def draw(page: Any) -> None:
        page.draw_rect((0, 0, 20, 20), color=None, fill=(0, 0, 0))
        page.set_rotation(90)

    turned = await render_one(write("a.pdf", one_page(100, 50, draw)), FileType.PDF)
    assert turned.shape == (100, 50)
    assert turned[10, 40] == 0  # what was at the top left is at the top right
    assert turned[10, 10] == 255


async def test_annotations_are_drawn(write: WriteFile) -> None:
    def draw(page: Any) -> None:
        annotation = page.add_rect_annot((20, 20, 80, 80))
        annotation.set_colors(stroke=(0, 0, 1), fill=(0, 0, 1))
        annotation.update()

    drawn = await render_one(write("a.pdf", one_page(100, 100, draw)), FileType.PDF)
    assert drawn[50, 50].tolist() == [0, 0, 255]


@pytest.mark.parametrize(("side", "expected"), [(999, 999), (1000, 1000), (1001, 1000), (5000, 1000)])
async def test_a_page_past_the_side_limit_is_rendered_smaller(write: WriteFile, side: int, expected: int) -> None:
    page = await render_one(write("a.pdf", one_page(side, 100)), FileType.PDF, RenderLimits(max_side=1000))
    assert page.shape[1] == expected


@pytest.mark.parametrize(
    ("width", "height", "whole"), [(199, 50, True), (200, 50, True), (201, 50, False), (900, 700, False)]
)
async def test_a_page_past_the_area_limit_is_rendered_smaller(
    write: WriteFile, width: int, height: int, whole: bool
) -> None:
    limits = RenderLimits(max_pixels=10_000)
    page = await render_one(write("a.pdf", one_page(width, height)), FileType.PDF, limits)
    assert (page.shape == (height, width)) is whole
    assert 9_300 < page.size <= 10_000
    assert page.shape[1] / page.shape[0] == pytest.approx(width / height, rel=0.03)


async def test_a_page_of_less_than_a_pixel_fails_alone(write: WriteFile) -> None:
    document = mupdf.open()
    document.new_page(width=4000, height=2)
    document.new_page(width=4000, height=2000)
    path = write("a.pdf", bytes(document.tobytes()))
    tiny, whole = await render(path, limits=RenderLimits(max_side=1000))
    assert isinstance(tiny, FailedPage)
    assert "less than one pixel" in tiny.reason
    assert isinstance(whole, RenderedPage)


async def test_a_page_that_is_missing_fails_alone(write: WriteFile) -> None:
    document = mupdf.open("pdf", pdf(3))
    document.xref_set_key(document.page_xref(1), "Type", "/Catalog")
    kids = document.xref_get_key(document.pdf_catalog(), "Pages")[1].split()[0]
    document.xref_set_key(int(kids), "Count", "4")
    rendered = await render(write("a.pdf", bytes(document.tobytes())))
    assert [page.page_no for page in rendered] == [1, 2, 3, 4]
    assert any(isinstance(page, FailedPage) and "damaged" in page.reason for page in rendered)
    assert any(isinstance(page, RenderedPage) for page in rendered)


# Documents that yield nothing


def empty_pdf() -> bytes:
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n"
        b"trailer<</Root 1 0 R>>\n%%EOF\n"
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (pdf(1, encryption=mupdf.PDF_ENCRYPT_AES_256, user_pw="secret"), "password"),
        (b"<!DOCTYPE html><html><body><h1>Invoice</h1></body></html>", "something else inside"),
        (
            b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
            "something else",
        ),
        (pdf(1)[:60], "upload it again"),
        (empty_pdf(), "No page"),
        (b"%PDF-1.7\n", "upload it again"),
        (b"", "upload it again"),
    ],
    ids=["encrypted", "html", "svg", "cut off", "no pages", "header only", "empty"],
)
async def test_a_pdf_that_yields_no_page_says_why(write: WriteFile, content: bytes, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        await opened(write("a.pdf", content), FileType.PDF)


async def test_an_owner_password_alone_does_not_matter(write: WriteFile) -> None:
    content = pdf(1, encryption=mupdf.PDF_ENCRYPT_AES_256, owner_pw="secret")
    assert (await opened(write("a.pdf", content), FileType.PDF)).total_pages == 1


async def test_a_pdf_cut_off_after_its_pages_is_repaired_and_says_so(write: WriteFile) -> None:
    content = pdf(5)
    document = await opened(write("a.pdf", content[: content.rindex(b"xref\n0 ")]), FileType.PDF)
    assert document.repaired
    assert document.total_pages == 5


def written_pdf(pages: int, **options: object) -> bytes:
    """Pages full of text, their content after all else in the file."""
    document = mupdf.open()
    for page_no in range(1, pages + 1):
        page = document.new_page(width=300, height=400)
        for line in range(20):
            page.insert_text((20, 30 + 15 * line), f"Page {page_no}, line {line} of the report")
    return bytes(document.tobytes(garbage=3, clean=True, **options))


@pytest.mark.parametrize("share", [0.5, 0.7])
async def test_pages_whose_content_was_cut_off_fail_and_are_never_blank(write: WriteFile, share: float) -> None:
    content = written_pdf(10)
    path = write("a.pdf", content[: int(len(content) * share)])
    assert (await opened(path, FileType.PDF)).repaired
    rendered = await render(path)
    missing = [page.page_no for page in rendered if isinstance(page, FailedPage)]
    assert missing == list(range(missing[0], 11))
    assert missing[0] > 1
    assert all("content is missing" in page.reason for page in rendered if isinstance(page, FailedPage))
    assert all(pixels(page).min() < 128 for page in rendered[: missing[0] - 1])


async def test_a_page_whose_content_does_not_decode_fails_though_the_file_needs_no_repair(write: WriteFile) -> None:
    content = written_pdf(2, deflate=True)
    start = content.rindex(b"stream\n", 0, content.rindex(b"endstream")) + len(b"stream\n")
    path = write("a.pdf", content[:start] + b"\xff" * 40 + content[start + 40 :])
    assert not (await opened(path, FileType.PDF)).repaired
    sound, damaged = await render(path)
    assert isinstance(sound, RenderedPage)
    assert isinstance(damaged, FailedPage)
    assert "content is missing" in damaged.reason


async def test_a_blank_page_of_a_sound_document_is_drawn(write: WriteFile) -> None:
    document = mupdf.open("pdf", written_pdf(2))
    document.new_page(width=100, height=100)
    assert (pixels((await render(write("a.pdf", bytes(document.tobytes()))))[2]) == 255).all()


@pytest.mark.parametrize(("pages", "fits"), [(2, True), (3, True), (4, False)])
async def test_a_document_of_too_many_pages_is_refused(write: WriteFile, pages: int, fits: bool) -> None:
    path = write("a.pdf", pdf(pages))
    if fits:
        assert (await opened(path, FileType.PDF, RenderLimits(max_pages=3))).total_pages == pages
    else:
        with pytest.raises(Unreadable, match=r"too many pages.*limit is 3"):
            await opened(path, FileType.PDF, RenderLimits(max_pages=3))


async def test_a_missing_file_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable):
        await opened(tmp_path / "gone.pdf", FileType.PDF)


# Images


@pytest.mark.parametrize(
    ("format_name", "file_type"),
    [
        ("PNG", FileType.PNG),
        ("TIFF", FileType.TIFF),
        ("BMP", FileType.BMP),
        ("JPEG2000", FileType.JP2),
        ("WEBP", FileType.WEBP),
    ],
)
async def test_a_lossless_image_comes_out_as_it_went_in(
    write: WriteFile, format_name: str, file_type: FileType
) -> None:
    source = np.random.default_rng(5).integers(0, 256, (40, 60, 3), np.uint8)
    options = {"lossless": True} if format_name == "WEBP" else {}
    path = write("a", saved(Image.fromarray(source), format_name, **options))
    assert np.array_equal(await render_one(path, file_type), source)


async def test_jpeg_and_gif_come_out_close(write: WriteFile) -> None:
    source = Image.new("RGB", (40, 30), (200, 30, 30))
    for format_name, file_type in (("JPEG", FileType.JPEG), ("GIF", FileType.GIF)):
        picture = await render_one(write("a", saved(source, format_name)), file_type)
        assert picture.shape == (30, 40, 3)
        assert np.abs(picture.astype(int) - [200, 30, 30]).max() < 8


async def test_every_frame_of_a_tiff_is_a_page(write: WriteFile) -> None:
    frames = [Image.new("L", (20 + n, 30), grey_of(n)) for n in range(1, 8)]
    path = write("a.tiff", saved(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    rendered = await render(path, FileType.TIFF)
    assert [page.page_no for page in rendered] == list(range(1, 8))
    for page in rendered:
        assert pixels(page).shape == (30, 20 + page.page_no)
        assert np.all(pixels(page) == grey_of(page.page_no))
    assert np.all(pixels((await render(path, FileType.TIFF, pages=[5]))[0]) == grey_of(5))


async def test_a_tiff_with_too_many_frames_is_refused(write: WriteFile) -> None:
    frames = [Image.new("L", (8, 8)) for _ in range(4)]
    path = write("a.tiff", saved(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    assert (await opened(path, FileType.TIFF, RenderLimits(max_pages=4))).total_pages == 4
    with pytest.raises(Unreadable, match="too many pages"):
        await opened(path, FileType.TIFF, RenderLimits(max_pages=3))


async def test_of_an_animation_the_first_picture_counts(write: WriteFile) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    path = write("a.gif", saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert (await render_one(path, FileType.GIF))[4, 4].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("format_name", "file_type"), [("PNG", FileType.PNG), ("TIFF", FileType.TIFF)])
async def test_an_image_is_set_upright_by_its_exif_tag(
    write: WriteFile, orientation: int, format_name: str, file_type: FileType
) -> None:
    upright = np.full((30, 50), 255, np.uint8)
    upright[:10, :10] = 0
    upright[:10, 40:] = 128
    # What a camera stores, so that the tag sets it right again (EXIF 2.32, table of orientations).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: np.rot90(upright, 2).T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write("a", saved(Image.fromarray(np.ascontiguousarray(stored)), format_name, exif=exif))
    assert np.array_equal(await render_one(path, file_type), upright)


async def test_bilevel_and_grey_stay_grey(write: WriteFile) -> None:
    bilevel = np.random.default_rng(1).integers(0, 2, (20, 33)).astype(bool)
    path = write("a.tiff", saved(Image.fromarray(bilevel), "TIFF", compression="group4"))
    assert np.array_equal(await render_one(path, FileType.TIFF), np.where(bilevel, 255, 0))
    path = write("a.png", saved(Image.fromarray(bilevel), "PNG"))
    assert np.array_equal(await render_one(path, FileType.PNG), np.where(bilevel, 255, 0))


async def test_sixteen_bits_are_brought_to_eight(write: WriteFile) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    for format_name, file_type in (("PNG", FileType.PNG), ("TIFF", FileType.TIFF)):
        grey = await render_one(write("a", saved(Image.fromarray(ramp), format_name)), file_type)
        assert np.array_equal(grey.ravel(), np.arange(256))


@pytest.mark.parametrize("values", [np.full((9, 9), 10, np.uint8), np.full((9, 9), 2570, np.uint16)])
async def test_a_tiff_that_counts_from_white_is_not_turned_to_its_negative(write: WriteFile, values: Pixels) -> None:
    content = saved(Image.fromarray(values), "TIFF")
    black_is_zero = b"\x06\x01\x03\0\x01\0\0\0\x01\0"  # tag 262, a short, once, 1
    assert black_is_zero in content
    path = write("a.tiff", content.replace(black_is_zero, black_is_zero[:-2] + b"\0\0"))
    assert np.all(await render_one(path, FileType.TIFF) == 245)


async def test_an_image_keeps_its_resolution_in_proportion(write: WriteFile) -> None:
    path = write("a.png", saved(Image.new("L", (400, 200)), "PNG", dpi=(300, 300)))
    for side, expected in ((400, 300), (100, 75)):
        (page,) = await render(path, FileType.PNG, limits=RenderLimits(max_side=side))
        assert isinstance(page, RenderedPage)
        with Image.open(io.BytesIO(page.png)) as image:
            assert image.info["dpi"] == pytest.approx((expected, expected), rel=1e-3)


@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
async def test_a_large_picture_on_its_side_is_made_smaller_and_upright(
    write: WriteFile, compression: str | None
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.linear_gradient("L").resize((400, 200))
    path = write("a.tiff", saved(stored, "TIFF", exif=exif, compression=compression))
    upright = await render_one(path, FileType.TIFF, RenderLimits(max_side=100))
    assert upright.shape == (100, 50)
    assert upright[50, 3] > 230 > 20 > upright[50, -3]


async def test_floats_are_brought_to_eight_bits(write: WriteFile) -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    ramp[0, 0] = np.nan
    grey = await render_one(write("a", saved(Image.fromarray(ramp), "TIFF")), FileType.TIFF)
    assert np.array_equal(grey.ravel(), np.arange(256))


async def test_transparency_is_flattened_on_white(write: WriteFile) -> None:
    clear = Image.new("RGBA", (10, 10), (0, 0, 0, 0))
    clear.putpixel((5, 5), (255, 0, 0, 255))
    flat = await render_one(write("a.png", saved(clear, "PNG")), FileType.PNG)
    assert flat[0, 0].tolist() == [255, 255, 255]
    assert flat[5, 5].tolist() == [255, 0, 0]
    palette = Image.new("P", (10, 10), 1)
    palette.putpalette([0, 0, 0, 9, 9, 9])
    flat = await render_one(write("b.png", saved(palette, "PNG", transparency=1)), FileType.PNG)
    assert np.all(flat == 255)


@pytest.mark.parametrize(("mode", "colour"), [("CMYK", (0, 255, 255, 0)), ("YCbCr", (76, 85, 255)), ("P", None)])
async def test_other_colour_models_become_rgb(write: WriteFile, mode: str, colour: Any) -> None:
    red = Image.new("RGB", (9, 9), (254, 0, 0))
    image = red.quantize(4) if colour is None else Image.new(mode, (9, 9), colour)
    picture = await render_one(write("a.tiff", saved(image, "TIFF")), FileType.TIFF)
    assert np.abs(picture[4, 4].astype(int) - [254, 0, 0]).max() <= 2


async def test_lab_becomes_rgb(write: WriteFile) -> None:
    path = write("a.tiff", saved(Image.new("LAB", (9, 9), (136, 208, 195)), "TIFF"))
    red, green, blue = (await render_one(path, FileType.TIFF))[4, 4].tolist()
    assert red > 230
    assert max(green, blue) < 60


async def test_a_large_picture_is_made_smaller(write: WriteFile) -> None:
    source = Image.linear_gradient("L").resize((400, 300))
    limits = RenderLimits(max_side=200, max_pixels=20_000)
    for format_name, file_type in (("PNG", FileType.PNG), ("JPEG", FileType.JPEG), ("TIFF", FileType.TIFF)):
        picture = await render_one(write("a", saved(source, format_name)), file_type, limits)
        assert picture.shape in ((122, 163), (123, 163), (122, 162))
        assert picture[5, 50] < 20 < 235 < picture[-5, 50]


async def test_what_cannot_be_decoded_within_the_limit_is_refused_and_a_jpeg_is_decoded_small(
    write: WriteFile,
) -> None:
    source = Image.linear_gradient("L").resize((400, 300))
    limits = RenderLimits(max_pixels=20_000, max_decoded_bytes=60_000)
    assert (await render_one(write("a", saved(source, "JPEG")), FileType.JPEG, limits)).size <= 20_000
    with pytest.raises(Unreadable, match="more pixels than allowed"):
        await opened(write("b", saved(source, "PNG")), FileType.PNG, limits)


@pytest.mark.parametrize(("limit", "fits"), [(40_001, True), (40_000, True), (39_999, False)])
async def test_colour_takes_four_bytes_a_pixel_to_decode(write: WriteFile, limit: int, fits: bool) -> None:
    path = write("a.png", saved(Image.new("RGB", (100, 100), "red"), "PNG"))
    (page,) = await render(path, FileType.PNG, limits=RenderLimits(max_decoded_bytes=limit))
    assert isinstance(page, RenderedPage) is fits


@pytest.mark.parametrize("side", [50_000, 2**31 - 1])
async def test_a_header_that_promises_a_bomb_is_refused_by_the_header(write: WriteFile, side: int) -> None:
    png = bytearray(encode_png(np.zeros((4, 4), np.uint8)))
    png[16:24] = side.to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    with pytest.raises(Unreadable, match="more pixels than allowed"):
        await opened(write("bomb.png", bytes(png)), FileType.PNG)


async def test_a_picture_cut_off_fails_rather_than_coming_out_half(write: WriteFile) -> None:
    source = np.random.default_rng(5).integers(0, 256, (90, 90, 3), np.uint8)
    for format_name, file_type in (("PNG", FileType.PNG), ("JPEG", FileType.JPEG), ("BMP", FileType.BMP)):
        content = saved(Image.fromarray(source), format_name)
        (page,) = await render(write("a", content[: len(content) // 2]), file_type)
        assert isinstance(page, FailedPage)
        assert "damaged" in page.reason


async def test_a_tiff_whose_later_frame_is_broken_keeps_the_others(write: WriteFile) -> None:
    frames = [Image.new("L", (40, 40), grey_of(n)) for n in range(1, 4)]
    content = saved(frames[0], "TIFF", save_all=True, append_images=frames[1:])
    first, second, third = await render(write("a.tiff", content[:-1700]), FileType.TIFF)
    assert np.all(pixels(first) == grey_of(1))
    assert np.all(pixels(second) == grey_of(2))
    assert isinstance(third, FailedPage)


async def test_an_image_of_another_format_than_it_was_taken_for_is_refused(write: WriteFile) -> None:
    with pytest.raises(Unreadable, match="damaged"):
        await opened(write("a.png", saved(Image.new("L", (4, 4)), "GIF")), FileType.PNG)


# Children that die, hang and lie


async def test_a_child_killed_between_pages_costs_one_page(write: WriteFile) -> None:
    async with open_document(write("a.pdf", pdf(6)), FileType.PDF, dpi=72) as document:
        assert [page.page_no async for page in document.render([1, 2])] == [1, 2]
        (process,) = children()
        process.send_signal(signal.SIGKILL)
        rest = [page async for page in document.render([3, 4, 5, 6])]
    assert isinstance(rest[0], FailedPage)
    assert "upload" in rest[0].reason
    assert [int(pixels(page)[9, 9]) for page in rest[1:]] == [grey_of(n) for n in (4, 5, 6)]


async def test_a_child_killed_in_mid_stream_costs_the_page_in_hand(write: WriteFile) -> None:
    outcomes = []
    async with open_document(write("a.pdf", noisy_pdf(5)), FileType.PDF) as document:
        async for page in document.render(range(1, 6)):
            outcomes.append(page)
            if page.page_no == 2:
                # It is stuck in page 3, which does not fit between it and us.
                children()[0].send_signal(signal.SIGKILL)
    assert [page.page_no for page in outcomes] == [1, 2, 3, 4, 5]
    assert [isinstance(page, FailedPage) for page in outcomes] == [False, False, True, False, False]
    assert [int(pixels(outcomes[n - 1])[9, 9][0]) for n in (1, 2, 4, 5)] == [grey_of(n) for n in (1, 2, 4, 5)]


async def test_a_child_that_hangs_is_ended_and_costs_one_page(write: WriteFile) -> None:
    limits = RenderLimits(render_seconds=1.5)
    async with open_document(write("a.pdf", pdf(3)), FileType.PDF, dpi=72, limits=limits) as document:
        children()[0].send_signal(signal.SIGSTOP)
        hung, *rest = [page async for page in document.render([1, 2, 3])]
    assert isinstance(hung, FailedPage)
    assert "longer than 1.5 seconds" in hung.reason
    assert [int(pixels(page)[9, 9]) for page in rest] == [grey_of(2), grey_of(3)]


async def test_processor_time_is_bounded_even_if_the_parent_waits(write: WriteFile) -> None:
    def draw(page: Any) -> None:
        shape = page.new_shape()
        shape.draw_line((0, 0), (1, 1))
        shape.finish()
        shape.commit()
        strokes = b"0 0 m 3000 3000 l 3000 0 l 0 3000 l S\n" * 60_000
        page.parent.update_stream(page.get_contents()[0], strokes)

    path = write("a.pdf", one_page(3000, 3000, draw))
    (page,) = await render(path, limits=RenderLimits(cpu_seconds=0), dpi=150)
    assert isinstance(page, FailedPage)
    assert "ended the program" in page.reason


async def test_memory_is_bounded(write: WriteFile) -> None:
    limits = RenderLimits(memory_bytes=500 * 1024**2, max_pixels=200_000_000, max_side=20_000)
    document = mupdf.open()
    document.new_page(width=12_000, height=12_000)
    document.new_page(width=100, height=100)
    large, small = await render(write("a.pdf", bytes(document.tobytes())), limits=limits)
    assert isinstance(large, FailedPage)
    assert "memory" in large.reason
    assert isinstance(small, RenderedPage)


LIAR = """
    import json, socket, sys, time
    import numpy as np
    from services.web.render.protocol import FrameKind, encode_header
    from services.web.render.png import encode_png

    channel = socket.socket(fileno=0)
    lines = channel.makefile("r")
    next(lines)

    def send(kind, page_no, payload, length=None):
        channel.sendall(encode_header(kind, page_no, len(payload) if length is None else length) + payload)

    good = encode_png(np.zeros((4, 4), np.uint8))
    send(FrameKind.DOCUMENT, 0, b'{"total_pages": 12, "repaired": false}')
    for line in lines:
        for page in json.loads(line)["pages"]:
            match page:
                case 1: send(FrameKind.PAGE, 1, b"no picture at all" * 9)
                case 2: send(FrameKind.PAGE, 3, good)
                case 3: send(FrameKind.PAGE, 3, b"", length=2**32 - 1)
                case 4: channel.sendall(b"Traceback (most recent call last):")
                case 5: send(FrameKind.PAGE, 5, encode_png(np.zeros((1, 301), np.uint8)))
                case 6: send(FrameKind.PAGE, 6, good[:-1])
                case 7: send(FrameKind.PAGE_FAULT, 7, b"<script>alert(1)</script>")
                case 8: send(FrameKind.DOCUMENT, 8, b'{"total_pages": 12, "repaired": false}')
                case 9: sys.exit(0)
                case 10: send(FrameKind.PAGE, 10, good[:9], length=len(good)); sys.exit(0)
                case 11: send(FrameKind.PAGE_FAULT, 11, b"PAGE_DAMAGED")
                case 12: send(FrameKind.PAGE, 12, good)
"""


@pytest.fixture
def run_instead(monkeypatch: pytest.MonkeyPatch, write: WriteFile) -> Callable[[str], None]:
    def replace(program: str) -> None:
        path = write("liar.py", textwrap.dedent(program).encode())
        monkeypatch.setattr(rendering, "PROGRAM", (str(path),))

    return replace


async def test_a_child_that_talks_nonsense_is_never_believed(
    run_instead: Callable[[str], None], tmp_path: Path
) -> None:
    run_instead(LIAR)
    limits = RenderLimits(max_side=300, max_lost_in_a_row=20)
    rendered = await render(any_file(tmp_path), limits=limits)
    assert [page.page_no for page in rendered] == list(range(1, 13))
    assert all(isinstance(page, FailedPage) for page in rendered[:11])
    assert isinstance(rendered[11], RenderedPage)
    for page in rendered[:11]:
        assert isinstance(page, FailedPage)
        assert "script" not in page.reason


async def test_after_so_many_lost_pages_in_a_row_the_rest_is_given_up(
    run_instead: Callable[[str], None], tmp_path: Path
) -> None:
    run_instead(LIAR)
    rendered = await render(any_file(tmp_path), limits=RenderLimits(max_side=300, max_lost_in_a_row=3))
    assert [page.page_no for page in rendered] == list(range(1, 13))
    tried = ["was not tried" not in page.reason for page in rendered if isinstance(page, FailedPage)]
    assert tried == [True] * 3 + [False] * 9


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(3)",
        "import socket; socket.socket(fileno=0).sendall(bytes(9) + b'x')",
        "import socket; socket.socket(fileno=0).sendall(b'hello, parent')",
        "import socket; socket.socket(fileno=0).sendall(bytes(8) + b'\\x12{\"total_pages\": -3}')",
    ],
)
async def test_a_child_that_cannot_open_anything_makes_the_document_unreadable(
    run_instead: Callable[[str], None], tmp_path: Path, program: str
) -> None:
    run_instead(program)
    with pytest.raises(Unreadable, match="ended the program"):
        await opened(any_file(tmp_path), FileType.PDF)


async def test_opening_has_a_time_limit(run_instead: Callable[[str], None], tmp_path: Path) -> None:
    run_instead("import time; time.sleep(600)")
    with pytest.raises(Unreadable, match=r"longer than 0\.3 seconds"):
        await opened(any_file(tmp_path), FileType.PDF, RenderLimits(open_seconds=0.3))


async def test_a_call_left_half_way_does_not_disturb_the_next(write: WriteFile) -> None:
    async with open_document(write("a.pdf", noisy_pdf(4)), FileType.PDF) as document:
        async for _ in document.render(range(1, 5)):
            break
        rest = [page async for page in document.render([3, 4])]
    assert [int(pixels(page)[9, 9][0]) for page in rest] == [grey_of(3), grey_of(4)]


async def test_a_closed_document_renders_no_more(write: WriteFile) -> None:
    async with open_document(write("a.pdf", pdf(2)), FileType.PDF) as document:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        [page async for page in document.render([1])]


async def test_cancelling_the_consumer_ends_the_child(write: WriteFile) -> None:
    path = write("a.pdf", pdf(3))
    waiting = asyncio.Event()

    async def consume() -> None:
        async with open_document(path, FileType.PDF) as document:
            children()[0].send_signal(signal.SIGSTOP)
            waiting.set()
            [page async for page in document.render([1, 2, 3])]

    task = asyncio.create_task(consume())
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert children() == []


async def test_leaving_the_context_by_an_error_ends_the_child(write: WriteFile) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_document(write("a.pdf", noisy_pdf(3)), FileType.PDF) as document:
            async for _ in document.render([1, 2, 3]):
                raise ZeroDivisionError
    assert children() == []


async def test_a_slot_is_held_while_a_document_is_open(write: WriteFile) -> None:
    slots = asyncio.Semaphore(1)
    async with open_document(write("a.pdf", pdf(1)), FileType.PDF, slots=slots):
        assert slots.locked()
    assert not slots.locked()
    with pytest.raises(Unreadable):
        async with open_document(write("b.pdf", b""), FileType.PDF, slots=slots):
            pass
    assert not slots.locked()


async def test_the_child_knows_no_secret_of_its_parent(write: WriteFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERNAL_TOKEN", "secret")
    async with open_document(write("a.pdf", pdf(1)), FileType.PDF):
        (process,) = children()
        assert "INTERNAL_TOKEN" not in process.environ()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
async def test_a_child_dies_with_its_parent_even_while_it_cannot_notice(write: WriteFile) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        import psutil
        from services.web.render.document import open_document
        from services.web.render.filetype import FileType

        async def main():
            async with open_document(Path(sys.argv[1]), FileType.PDF):
                print(psutil.Process().children()[0].pid, flush=True)
                await asyncio.sleep(600)

        asyncio.run(main())
    """
    path = write("a.pdf", pdf(1))
    parent = subprocess.Popen(  # noqa: ASYNC220  it is the one that dies
        [sys.executable, "-c", textwrap.dedent(program), str(path)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    with parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        orphan.send_signal(signal.SIGSTOP)
        os.kill(parent.pid, signal.SIGKILL)
    gone, _ = psutil.wait_procs([orphan], timeout=20)
    assert gone == [orphan]


def test_a_child_whose_parent_dies_before_its_first_request_ends_without_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        orphan = subprocess.Popen(
            [sys.executable, *rendering.PROGRAM],
            stdin=theirs.fileno(),
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
    _, errors = orphan.communicate(timeout=60)
    assert (orphan.returncode, errors) == (0, b"")
