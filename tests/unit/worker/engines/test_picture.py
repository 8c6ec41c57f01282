"""The pixels of a page: decoding, blankness, turning, tilt, and the way back to the stored page."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from services.worker.engines import picture
from services.worker.engines.picture import PictureError, Pixels, Pose, decode, is_blank, skew_by_profile


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def paper(width: int = 1240, height: int = 1754, shade: int = 255) -> Pixels:
    return np.full((height, width, 3), shade, np.uint8)


def printed(tilt: float = 0.0) -> Pixels:
    """A page of text, turned clockwise by `tilt` degrees."""
    image = Image.new("L", (1240, 1754), 255)
    draw = ImageDraw.Draw(image)
    for i in range(30):
        draw.text((150, 200 + 42 * i), "Lines of text stand level on a page " * 2, 0, ImageFont.load_default(24))
    return np.repeat(
        np.asarray(image.rotate(-tilt, fillcolor=255, resample=Image.Resampling.BILINEAR))[:, :, None], 3, axis=2
    )


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


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("skew", [0.0, 3.0, -7.5])
def test_mark_on_the_upright_picture_is_found_again_on_the_stored_page(rotation: int, skew: float) -> None:
    stored = paper(300, 200)
    stored[40:44, 250:254] = 0
    pose = Pose(width=300, height=200, rotation=rotation, skew=skew)
    upright = pose.apply(stored)
    assert upright.shape[:2] == pose.size()[::-1]
    ys, xs = np.nonzero(upright[:, :, 0] < 128)
    back = pose.to_stored(np.array([xs.mean() + 0.5, ys.mean() + 0.5]))
    assert np.abs(back - [252, 42]).max() < 0.75


def test_rotation_is_clockwise() -> None:
    stored = paper(30, 20)
    stored[0, 0] = 0
    upright = Pose(width=30, height=20, rotation=90).apply(stored)
    assert upright[0, -1, 0] == 0


@settings(deadline=None)
@given(st.sampled_from([0, 90, 180, 270]), st.floats(-10, 10), st.floats(-50, 5000), st.floats(-50, 5000))
def test_no_box_leaves_the_stored_page(rotation: int, skew: float, x: float, y: float) -> None:
    pose = Pose(width=1000, height=1500, rotation=rotation, skew=skew)
    back = pose.to_stored(np.array([[x, y]]))[0]
    assert 0 <= back[0] <= 1000
    assert 0 <= back[1] <= 1500


@pytest.mark.parametrize("tilt", [-9.0, -3.0, -0.8, 0.8, 3.0, 9.0])
def test_tilt_of_a_page_is_measured(tilt: float) -> None:
    assert skew_by_profile(printed(tilt)) == pytest.approx(-tilt, abs=0.25)


def test_level_and_textless_pages_have_no_tilt() -> None:
    assert abs(skew_by_profile(printed())) < 0.11
    assert skew_by_profile(paper()) == 0.0
    photograph = np.random.default_rng(1).integers(0, 255, (1200, 900, 1)).astype(np.uint8)
    assert skew_by_profile(np.repeat(photograph, 3, axis=2)) == 0.0
