import io
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.web.render.document import (
    FailedPage,
    RenderedPage,
    RenderLimits,
    Unreadable,
)
from services.web.render.filetype import FileType
from services.web.render.png import encode_png
from tests.documents import WriteFile
from tests.rendering import Pixels, grey_of, opened, pixels, render, render_one, saved

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


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
