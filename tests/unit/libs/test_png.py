"""The reader of page images: it reads what the render child writes, refuses everything else, and allocates little."""

import io
import random
import struct
import tracemalloc
import zlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from libs.png.header import HEAD_BYTES, TRAILER, BadPng, png_size
from libs.png.pixels import decode_png
from services.web.render.png import encode_png
from tests.layers import layer_of

LIMITS = {"max_pixels": 1_000_000, "max_side": 10_000}
# Bytes beside the pixels: zlib's window and state, numpy's own objects.
OVERHEAD = 200_000


def noise(shape: tuple[int, ...], seed: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def by_pillow(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png)) as image:
        assert image.mode in ("L", "RGB")
        return np.asarray(image)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def made(*, size: tuple[int, int] = (4, 3), header: bytes = b"\x08\0\0\0\0", rows: bytes, before: bytes = b"") -> bytes:
    """A PNG of `size` (width, height) whose unpacked pixel data is `rows`; grey unless `header` says otherwise."""
    ihdr = chunk(b"IHDR", struct.pack(">II", *size) + header)
    return b"\x89PNG\r\n\x1a\n" + ihdr + before + chunk(b"IDAT", zlib.compress(rows)) + TRAILER


def peak(png: bytes, *, max_pixels: int = LIMITS["max_pixels"]) -> int:
    """The most bytes that were allocated while this PNG was read or refused."""
    tracemalloc.start()
    try:
        decode_png(png, max_pixels=max_pixels, max_side=LIMITS["max_side"])
    except BadPng:
        pass
    finally:
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return most


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    channels=st.sampled_from([(), (3,)]),
    seed=st.integers(0, 2**32),
    dpi=st.sampled_from([None, 150.0]),
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
)
def test_it_reads_what_the_render_child_writes_as_pillow_does(
    height: int, width: int, channels: tuple[int, ...], seed: int, dpi: float | None, text: str
) -> None:
    pixels = noise((height, width, *channels), seed)
    png = encode_png(pixels, dpi, layer_of(text))
    read = decode_png(png, **LIMITS)
    assert np.array_equal(read, pixels)
    assert np.array_equal(read, by_pillow(png))
    assert png_size(png[:HEAD_BYTES]) == (width, height)


@given(st.lists(st.sampled_from([0, 2]), min_size=1, max_size=20), st.integers(0, 2**32))
def test_rows_may_be_unfiltered_too(filters: Sequence[int], seed: int) -> None:
    rows = noise((len(filters), 1 + 3 * 7), seed)
    rows[:, 0] = filters
    png = made(size=(7, len(filters)), header=b"\x08\x02\0\0\0", rows=rows.tobytes())
    assert np.array_equal(decode_png(png, **LIMITS), by_pillow(png))


@given(st.integers(0, 2**32), st.integers(1, 40))
def test_mutated_bytes_are_refused_or_read_and_never_cost_more_than_their_size(seed: int, changes: int) -> None:
    dice = random.Random(seed)
    png = bytearray(encode_png(noise((30, 20, 3), 5), 150, layer_of("some text")))
    for _ in range(changes):
        match dice.randrange(3):
            case 0:
                png[dice.randrange(len(png))] = dice.randrange(256)
            case 1:
                del png[dice.randrange(len(png)) :]
            case _:
                at = dice.randrange(len(png) + 1)
                png[at:at] = dice.randbytes(dice.randrange(1, 20))
        if not png:
            break
    assert peak(bytes(png), max_pixels=600) <= 3 * 30 * (1 + 60) + OVERHEAD


@given(st.integers(0, 2**32))
def test_sound_checksums_over_mutated_pixels_change_nothing_about_that(seed: int) -> None:
    dice = random.Random(seed)
    packed = bytearray(zlib.compress(noise((30, 1 + 20), 1).tobytes()))
    for _ in range(dice.randrange(4)):
        packed[dice.randrange(len(packed))] = dice.randrange(256)
    png = made(size=(20, 30), rows=b"")[:HEAD_BYTES] + chunk(b"IDAT", bytes(packed)) + TRAILER
    assert peak(png) <= 3 * 30 * 21 + OVERHEAD


def test_a_stream_that_holds_more_than_the_header_says_is_not_inflated() -> None:
    bomb = made(size=(4, 3), rows=bytes(100_000_000))
    assert peak(bomb) < OVERHEAD
    with pytest.raises(BadPng, match="header states"):
        decode_png(bomb, **LIMITS)


def test_a_size_beyond_the_limits_is_refused_before_anything_is_allocated() -> None:
    for size in ((1_001, 1_000), (10_001, 1), (2**31 - 1, 2**31 - 1)):
        png = made(size=size, rows=b"")
        assert peak(png) < 10_000
        with pytest.raises(BadPng):
            decode_png(png, **LIMITS)
    assert decode_png(made(size=(1_000, 1_000), rows=bytes(1_001_000)), **LIMITS).shape == (1_000, 1_000)


SOUND = bytes(3 * 5)


@pytest.mark.parametrize(
    "png",
    [
        b"",
        made(rows=SOUND)[: HEAD_BYTES - 1],
        made(rows=SOUND)[:-1],
        made(rows=SOUND) + b"x",
        made(rows=SOUND)[:HEAD_BYTES],
        made(rows=SOUND)[:-40],
        made(rows=SOUND[:-1]),
        made(rows=SOUND + b"\0"),
        made(rows=b"\1" + SOUND[1:]),
        made(rows=b"\4" + SOUND[1:]),
        made(rows=b"\5" + SOUND[1:]),
        made(rows=SOUND, header=b"\x08\0\0\0\1"),
        made(rows=SOUND, header=b"\x10\0\0\0\0"),
        made(rows=SOUND, header=b"\x08\3\0\0\0"),
        made(rows=SOUND, header=b"\x08\6\0\0\0"),
        made(rows=SOUND, before=chunk(b"PLTE", bytes(3))),
        made(rows=SOUND, before=chunk(b"IDAT", zlib.compress(SOUND))),
        made(rows=SOUND, before=9 * chunk(b"pHYs", bytes(9))),
        made(rows=SOUND, before=struct.pack(">I4s", 2**32 - 1, b"iTXt")),
        made(rows=SOUND).replace(b"IDAT", b"IDAt"),
    ],
    ids=[
        "empty",
        "half a header",
        "no end",
        "something after the end",
        "a header alone",
        "cut off",
        "too few pixels",
        "too many pixels",
        "filter Sub",
        "filter Paeth",
        "no filter of PNG",
        "interlaced",
        "16 bits",
        "palette",
        "alpha",
        "a palette chunk",
        "two IDAT",
        "too many chunks",
        "a chunk longer than the file",
        "no IDAT",
    ],
)
def test_every_other_form_is_refused(png: bytes) -> None:
    with pytest.raises(BadPng):
        decode_png(png, **LIMITS)


def test_the_same_form_is_read_and_ancillary_chunks_are_passed_over() -> None:
    before = 8 * chunk(b"zTXt", b"\xff" * 100)
    assert decode_png(made(rows=SOUND, before=before), **LIMITS).shape == (3, 4)


def other(mode: str, format_name: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (3, 3)).save(buffer, format_name)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "head",
    [
        b"",
        encode_png(noise((4, 4), 0))[: HEAD_BYTES - 1],
        other("RGB", "JPEG"),
        other("RGBA"),
        other("1"),
        encode_png(noise((4, 4), 0)).replace(b"\0\0\0\4\0\0\0\4", b"\0\0\0\5\0\0\0\4", 1),
    ],
    ids=["empty", "short", "jpeg", "alpha", "bilevel", "damaged"],
)
def test_a_head_that_is_not_ours_is_refused(head: bytes) -> None:
    with pytest.raises(BadPng):
        png_size(head)
