"""The text layer travels inside the page image, whole or not at all, and harms neither."""

import io
import random
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from libs import textlayer
from libs.png import TRAILER, png_size
from services.web.render.png import encode_png

PIXELS = np.arange(30 * 20, dtype=np.uint8).reshape(30, 20)


@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300))
def test_what_is_written_is_read_and_the_pixels_stay(text: str) -> None:
    png = encode_png(PIXELS, 150, text)
    assert textlayer.read(png) == (text if text.strip() else None)
    assert png_size(png) == (20, 30)
    assert png.endswith(TRAILER)
    with Image.open(io.BytesIO(png)) as image:
        assert np.array_equal(np.asarray(image), PIXELS)
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)


def test_the_chunk_is_what_other_programs_read_too() -> None:
    with Image.open(io.BytesIO(encode_png(PIXELS, text="Größe und Straße"))) as image:
        assert image.info["Text layer"] == "Größe und Straße"


def test_an_image_without_text_is_as_it_always_was() -> None:
    assert encode_png(PIXELS, 150, "") == encode_png(PIXELS, 150)
    assert textlayer.read(encode_png(PIXELS)) is None


@pytest.mark.parametrize(("letters", "kept"), [(-1, True), (0, True), (1, False)])
def test_more_text_than_the_limit_is_left_out_whole(letters: int, kept: bool) -> None:
    text = "x" * (textlayer.MAX_BYTES + letters)
    assert textlayer.read(encode_png(PIXELS, text=text)) == (text if kept else None)


@given(seed=st.integers())
def test_no_chunk_is_larger_than_it_may_be(seed: int) -> None:
    text = "".join(map(chr, random.Random(seed).choices(range(1, 128), k=textlayer.MAX_BYTES)))
    assert 0 < len(textlayer.chunk(text)) <= textlayer.MAX_CHUNK_BYTES


def test_what_cannot_be_written_is_left_out() -> None:
    assert textlayer.read(encode_png(PIXELS, text="a\0b\ud800c")) == "abc"


@given(at=st.integers(0, 400), by=st.binary(max_size=6), gone=st.integers(0, 50))
def test_a_damaged_image_never_breaks_the_reader(at: int, by: bytes, gone: int) -> None:
    png = encode_png(PIXELS, text="some text of the page " * 3)
    found = textlayer.read(png[:at] + by + png[at + gone :])
    assert found is None or isinstance(found, str)


@given(data=st.binary(max_size=200))
def test_no_image_at_all_carries_no_text(data: bytes) -> None:
    assert textlayer.read(data) is None


def test_a_chunk_that_would_fill_the_memory_is_not_unpacked() -> None:
    body = b"Text layer\0\1\0\0\0" + zlib.compress(b"x" * 10**7, 9)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", len(body), b"iTXt") + body + b"\0" * 4
    tracemalloc.start()
    try:
        assert textlayer.read(png) is None
        assert tracemalloc.get_traced_memory()[1] < 10**6
    finally:
        tracemalloc.stop()
