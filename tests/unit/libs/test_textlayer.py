"""The text layer travels inside the page image, whole or not at all, and harms neither."""

import io
import json
import random
import struct
import tracemalloc
import zlib
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from libs import textlayer
from libs.png.header import TRAILER, png_size
from libs.textlayer import Fill, LayerLine, PageLayer, Span, Style
from services.web.render.png import encode_png
from tests.layers import layer_of

PIXELS = np.arange(30 * 20, dtype=np.uint8).reshape(30, 20)
SPAN = Span(text="word", box=(1.0, 2.5, 30.0, 12.0), style=0)
LAYER = PageLayer(
    width=40,
    height=30,
    styles=(Style(font=0, size=10.0, bold=True),),
    lines=(LayerLine(turn=0, spans=(SPAN,)),),
    pictures=((0.0, 0.0, 5.0, 5.0),),
    rules=((0.0, 1.0, 40.0, 1.0),),
    fills=(Fill(box=(0.0, 0.0, 40.0, 30.0), grey=0),),
)
HEAD = b"\x89PNG\r\n\x1a\n"


def carrying(plain: bytes) -> bytes:
    """The beginning of a PNG with these bytes in the place of a layer's JSON."""
    body = b"Page layer\0\1\0\0\0" + zlib.compress(plain, 9)
    return HEAD + struct.pack(">I4s", len(body), b"iTXt") + body + b"\0" * 4


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
def test_what_is_written_is_read_and_the_pixels_stay(text: str) -> None:
    layer = layer_of(text)
    png = encode_png(PIXELS, 150, layer)
    assert textlayer.read(png) == (layer if text.split() else None)
    assert png_size(png) == (20, 30)
    assert png.endswith(TRAILER)
    with Image.open(io.BytesIO(png)) as image:
        assert np.array_equal(np.asarray(image), PIXELS)
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)


def test_drawings_and_pictures_are_read_too() -> None:
    assert textlayer.read(encode_png(PIXELS, layer=LAYER)) == LAYER


def test_the_chunk_is_what_other_programs_read_too() -> None:
    with Image.open(io.BytesIO(encode_png(PIXELS, layer=layer_of("Größe und Straße")))) as image:
        assert json.loads(image.info["Page layer"])["lines"][0][1][0][0] == "Größe"


def test_an_image_without_text_is_as_it_always_was() -> None:
    assert encode_png(PIXELS, 150, PageLayer(width=20, height=30)) == encode_png(PIXELS, 150)
    assert textlayer.read(encode_png(PIXELS)) is None


def test_what_a_reader_sees_is_the_text_without_its_invisible_spans() -> None:
    hidden = Style(font=0, size=10.0, invisible=True)
    spans = (Span(text="seen", box=SPAN.box, style=0), Span(text=" hidden", box=SPAN.box, style=1))
    layer = PageLayer(
        width=40,
        height=30,
        styles=(Style(font=0, size=10.0), hidden),
        lines=(LayerLine(turn=0, spans=spans), LayerLine(turn=0, spans=spans[1:])),
    )
    assert textlayer.visible_text(layer) == "seen"


def filled(plain_bytes: int, **drawings: Any) -> PageLayer:
    """A layer of as many spans as its JSON has bytes, or just more."""
    empty = msgspec.structs.replace(LAYER, lines=(LayerLine(turn=0, spans=()),), **drawings)
    rest = plain_bytes - len(msgspec.json.encode(empty))
    each = len(msgspec.json.encode(SPAN)) + 1
    return msgspec.structs.replace(empty, lines=(LayerLine(turn=0, spans=(SPAN,) * (rest // each)),))


def test_a_layer_of_more_than_the_limit_is_left_out_whole() -> None:
    assert textlayer.read(encode_png(PIXELS, layer=filled(textlayer.MAX_BYTES))) is not None
    assert textlayer.read(encode_png(PIXELS, layer=filled(textlayer.MAX_BYTES + 100))) is None


def test_drawings_are_left_out_before_the_text_is() -> None:
    drawn = filled(textlayer.MAX_BYTES + 1000, rules=LAYER.rules * 200)
    found = textlayer.read(encode_png(PIXELS, layer=drawn))
    assert found is not None
    assert (found.lines, found.pictures) == (drawn.lines, drawn.pictures)
    assert (found.rules, found.fills) == ((), ())


@settings(max_examples=20)
@given(seed=st.integers())
def test_no_chunk_is_larger_than_it_may_be(seed: int) -> None:
    letters = random.Random(seed).choices(range(0x100, 0x3000), k=textlayer.MAX_BYTES // 5)
    spans = tuple(
        Span(text="".join(map(chr, letters[at : at + 900])), box=SPAN.box, style=0)
        for at in range(0, len(letters), 900)
    )
    layer = msgspec.structs.replace(LAYER, lines=(LayerLine(turn=0, spans=spans),))
    assert 0 < len(textlayer.chunk(layer)) <= textlayer.MAX_CHUNK_BYTES


@pytest.mark.parametrize(
    "change",
    [
        {"width": 0},
        {"height": textlayer.MAX_SIDE + 1},
        {"width": "40"},
        {"width": 30},
        {"styles": []},
        {"styles": [[0, -1.0]]},
        {"styles": [[0, 1e999]]},
        {"lines": [[0, []]]},
        {"lines": [[360, [["word", [0, 0, 1, 1], 0]]]]},
        {"lines": [[0, [["", [0, 0, 1, 1], 0]]]]},
        {"lines": [[0, [["x" * (textlayer.MAX_SPAN_CHARACTERS + 1), [0, 0, 1, 1], 0]]]]},
        {"lines": [[0, [["word", [0, 0, 1, 1], 1]]]]},
        {"lines": [[0, [["word", [0, 0, 1, 1], -1]]]]},
        {"lines": [[0, [["word", [2, 0, 1, 1], 0]]]]},
        {"lines": [[0, [["word", [0, 0, 41, 1], 0]]]]},
        {"lines": [[0, [["word", [0, 0, 1], 0]]]]},
        {"lines": [[0, [["word", [0, 0, 1, None], 0]]]]},
        {"pictures": [[0, 0, 1, 31]]},
        {"rules": [[0, 0, -1, 0]]},
        {"fills": [[[0, 0, 1, 1], 256]]},
    ],
    ids=str,
)
def test_a_layer_of_wrong_types_or_ranges_is_refused(change: dict[str, Any]) -> None:
    sound = json.loads(msgspec.json.encode(LAYER))
    assert textlayer.read(carrying(json.dumps(sound).encode())) == LAYER
    assert textlayer.read(carrying(json.dumps(sound | change).encode())) is None


@given(at=st.integers(0, 400), by=st.binary(max_size=6), gone=st.integers(0, 50))
def test_a_damaged_image_never_breaks_the_reader(at: int, by: bytes, gone: int) -> None:
    png = encode_png(PIXELS, layer=layer_of("some text of the page " * 3))
    found = textlayer.read(png[:at] + by + png[at + gone :])
    assert found is None or isinstance(found, PageLayer)


@given(data=st.binary(max_size=200))
def test_no_image_at_all_carries_no_text(data: bytes) -> None:
    assert textlayer.read(data) is None
    assert textlayer.read(carrying(data)) is None


def test_a_chunk_that_would_fill_the_memory_is_not_unpacked() -> None:
    png = carrying(b'{"width": ' + b" " * 10**7)
    tracemalloc.start()
    try:
        assert textlayer.read(png) is None
        assert tracemalloc.get_traced_memory()[1] < 4 * textlayer.MAX_BYTES
    finally:
        tracemalloc.stop()
