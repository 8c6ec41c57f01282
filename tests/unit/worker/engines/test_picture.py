"""The pixels of a page: decoding, and whether it is blank."""

import ast
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from services.web.render.png import encode_png
from services.worker.engines import picture
from services.worker.engines.picture import PictureError, decode, is_blank
from tests import ROOT
from tests.unit.worker.engines.pages import paper, printed

DECODERS = {"Image.open", "ImageFile.Parser", "cv2.imread", "cv2.imdecode", "cv2.imreadmulti", "cv2.imdecodemulti"}


def png(height: int, width: int, *channels: int) -> bytes:
    return encode_png(np.full((height, width, *channels), 255, np.uint8))


def called(file: Path) -> set[str]:
    """The dotted names of two parts that the file uses."""
    nodes = ast.walk(ast.parse(file.read_text()))
    return {
        f"{node.value.id}.{node.attr}"
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }


def test_no_code_outside_the_jailed_child_opens_an_image() -> None:
    files = [file for room in ("services", "libs", "deploy") for file in (ROOT / room).rglob("*.py")]
    using = {file.relative_to(ROOT).as_posix() for file in files if called(file) & DECODERS}
    assert using == {"services/web/render/child/image.py", "services/web/render/child/paper.py"}


@pytest.mark.parametrize("channels", [(), (3,)])
def test_grey_and_colour_become_rgb(channels: tuple[int, ...]) -> None:
    values = np.random.default_rng(3).integers(0, 256, (20, 30, *channels), np.uint8)
    pixels = decode(encode_png(values))
    assert np.array_equal(pixels, values if channels else np.stack([values] * 3, axis=-1))
    assert pixels.flags.c_contiguous


def by_pillow(form: str, mode: str) -> bytes:
    """An image file as any other program than the render child would write it."""
    buffer = io.BytesIO()
    Image.effect_noise((90, 90), 50).convert(mode).save(buffer, format=form)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"not an image",
        png(90, 90)[:60],
        by_pillow("PNG", "RGBA"),
        by_pillow("PNG", "P"),
        by_pillow("JPEG", "RGB"),
        by_pillow("TIFF", "L"),
    ],
)
def test_what_the_render_child_does_not_write_is_refused_with_a_remedy(data: bytes) -> None:
    with pytest.raises(PictureError, match="extract the page again"):
        decode(data)


def test_image_one_pixel_over_the_limit_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture, "MAX_PIXELS", 100 * 100)
    assert decode(png(100, 100)).shape == (100, 100, 3)
    with pytest.raises(PictureError, match="101 x 100"):
        decode(png(100, 101))


def test_image_of_a_few_pixels_is_refused() -> None:
    with pytest.raises(PictureError, match="nothing to read"):
        decode(png(7, 300))


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
