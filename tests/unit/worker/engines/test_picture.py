"""The pixels of a page: decoding, and whether it is blank."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.worker.engines import picture
from services.worker.engines.picture import PictureError, decode, is_blank
from tests.unit.worker.engines.pages import paper, printed


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def test_transparent_pixels_are_paper() -> None:
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0))
    assert decode(png(image)).min() == 255


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (30, 20)).save(buffer, format="TIFF")
    pixels = decode(buffer.getvalue())
    assert pixels.shape == (20, 30, 3)
    assert pixels.dtype == np.uint8


def test_sixteen_bit_greys_keep_their_order() -> None:
    ramp = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    pixels = decode(png(Image.fromarray(ramp)))
    assert pixels[0, 0, 0] == 0
    assert pixels[-1, -1, 0] == 255
    assert (np.diff(pixels[:, :, 0].reshape(-1).astype(int)) >= 0).all()


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n", b"not an image", png(Image.new("L", (90, 90)))[:60]])
def test_damaged_image_is_refused_with_a_remedy(data: bytes) -> None:
    with pytest.raises(PictureError, match="extract the page again"):
        decode(data)


def test_image_one_pixel_over_the_limit_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "MAX_PIXELS", 100 * 100)
    assert decode(png(Image.new("L", (100, 100)))).shape == (100, 100, 3)
    with pytest.raises(PictureError, match="101 x 100"):
        decode(png(Image.new("L", (101, 100))))


def test_image_of_a_few_pixels_is_refused() -> None:
    with pytest.raises(PictureError, match="nothing to read"):
        decode(png(Image.new("L", (300, 7))))


def test_empty_paper_is_blank_whatever_its_colour() -> None:
    assert is_blank(paper())
    assert is_blank(paper(shade=200))
    assert is_blank(paper(shade=0))


def test_noise_shading_and_specks_are_blank() -> None:
    random = np.random.default_rng(7)
    noisy = 235 + random.normal(0, 8, (1754, 1240, 1)) + np.linspace(-60, 0, 1240)[None, :, None]
    pixels = np.repeat(noisy.clip(0, 255).astype(np.uint8), 3, axis=2)
    for y, x in random.integers(0, 1200, (40, 2)):
        pixels[y : y + 2, x : x + 2] = 40
    assert is_blank(pixels)


@pytest.mark.parametrize("side", [(850, 1100), (1240, 1754), (2480, 3508)])
def test_page_with_a_single_small_digit_is_not_blank(side: tuple[int, int]) -> None:
    image = Image.new("L", side, 255)
    height = round(side[1] / 11 / 72 * 8)  # 8 points on a page 11 inches high
    ImageDraw.Draw(image).text((side[0] // 2, side[1] - 90), "1", 0, ImageFont.load_default(height))
    assert not is_blank(np.repeat(np.asarray(image)[:, :, None], 3, axis=2))


def test_white_text_on_black_is_not_blank() -> None:
    assert not is_blank(255 - printed())
