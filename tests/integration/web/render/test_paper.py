"""Image files as searchable PDFs: the pictures are as they were, and the words where they are printed."""

import io
from typing import Any

import numpy as np
import pymupdf
import pytest
from PIL import Image

from services.web.render.document import RenderLimits, Unreadable
from services.web.render.filetype import FileType
from tests.documents import WriteFile
from tests.printed import (
    DPI,
    assert_in_place,
    check_by_qpdf,
    found_words,
    pixels_of,
    printed,
    saved,
    searchable,
    text_of,
)

# Only a part of it is typed.
mupdf: Any = pymupdf

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")


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


@pytest.mark.slow
async def test_a_picture_for_which_memory_is_missing_is_no_empty_page(write: WriteFile) -> None:
    noise = np.random.default_rng(7).integers(0, 256, (2000, 3000, 3), np.uint8)
    frames = [Image.fromarray(noise)] * 20  # a few MB each as JPEG, and 15 MB or more by deflate
    options = {"save_all": True, "append_images": frames[1:], "dpi": (DPI, DPI), "compression": "jpeg", "quality": 20}
    path = write("scan.tif", saved(frames[0], "TIFF", **options))
    limits = RenderLimits(memory_bytes=360 * 1024**2)
    with pytest.raises(Unreadable, match="Print the document"):
        await searchable(path, text_of(printed()), file_type=FileType.TIFF, limits=limits)
