import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from services.web.render.png import encode_png, without_colour


def noise(shape: tuple[int, ...], seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from([(), (3,)]), st.integers(0, 2**32))
def test_what_is_written_reads_back_pixel_for_pixel(
    height: int, width: int, channels: tuple[int, ...], seed: int
) -> None:
    pixels = noise((height, width, *channels), seed)
    png = encode_png(pixels)
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode == ("RGB" if channels else "L")
        assert np.array_equal(np.asarray(image), pixels)


def test_pixels_that_are_not_contiguous_are_written_as_seen() -> None:
    pixels = noise((20, 30, 3), 1)[::2, ::-1]
    with Image.open(io.BytesIO(encode_png(pixels))) as image:
        assert np.array_equal(np.asarray(image), pixels)


def test_the_resolution_is_recorded() -> None:
    with Image.open(io.BytesIO(encode_png(noise((4, 4), 0), dpi=150))) as image:
        assert image.info["dpi"] == pytest.approx((150, 150), rel=1e-3)
    with Image.open(io.BytesIO(encode_png(noise((4, 4), 0)))) as image:
        assert "dpi" not in image.info


@pytest.mark.parametrize("shape", [(0, 5), (5, 0, 3), (5,), (5, 5, 4), (5, 5, 1)])
def test_shapes_that_are_no_picture_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError):
        encode_png(np.zeros(shape, np.uint8))


def test_only_bytes_are_pixels() -> None:
    with pytest.raises(ValueError, match="uint16"):
        encode_png(np.zeros((2, 2), np.uint16))


def test_a_grey_picture_loses_its_empty_colour() -> None:
    grey = noise((70, 50), 3)
    assert np.array_equal(without_colour(np.stack([grey] * 3, axis=-1)), grey)


@given(st.integers(0, 299), st.integers(0, 39), st.integers(0, 2), st.integers(1, 255))
def test_a_single_coloured_pixel_keeps_the_colour(row: int, column: int, channel: int, change: int) -> None:
    pixels = np.full((300, 40, 3), 90, np.uint8)
    pixels[row, column, channel] = (90 + change) % 256
    assert without_colour(pixels) is pixels
