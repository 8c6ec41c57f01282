"""Documents in JSON and in data: URLs: decoding them takes little more memory than they have bytes."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote_to_bytes

import msgspec
import pytest

from services.serving.problem import Problem
from services.web.frontdoors.docling import convert
from services.web.frontdoors.document import Document, of_base64, of_data_url
from services.web.frontdoors.mistral import ocr
from services.web.frontdoors.selection import MOST_CHARACTERS, written_selection

#: Characters of a text that decoding is measured with.
LENGTH = 3_000_000


@contextmanager
def little_memory(times: int) -> Iterator[None]:
    """The block allocates at most so many times `LENGTH` at a time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] <= times * LENGTH
    finally:
        tracemalloc.stop()


async def size_of(document: Document) -> int:
    return sum([len(chunk) async for chunk in document.chunks])


@pytest.mark.parametrize("unit", ["%41", "a%0D", "%", "%4", "ä%E4"])
@pytest.mark.parametrize("count", [0, 1, 30_000, 65_535, 65_536])
async def test_a_percent_encoded_document_is_decoded_whole(unit: str, count: int) -> None:
    document = of_data_url(f"data:application/pdf,{unit * count}")
    assert b"".join([chunk async for chunk in document.chunks]) == unquote_to_bytes(unit * count)


async def test_percent_encoding_takes_little_memory() -> None:
    url = "data:," + "%41" * (LENGTH // 3)
    with little_memory(3):
        assert await size_of(of_data_url(url)) == LENGTH // 3


def test_base64_with_blanks_takes_little_memory() -> None:
    text = "QU JD\n" * (LENGTH // 6)
    with little_memory(3):
        assert of_base64(text) == b"ABC" * (LENGTH // 6)


@pytest.mark.parametrize("kind", [convert.Body, ocr.Body])
@pytest.mark.parametrize("name", ["callbacks", "options", "sources", "pages", "bbox_annotation_format"])
def test_long_members_of_a_body_take_little_memory(kind: type[convert.Body | ocr.Body], name: str) -> None:
    body = f'{{"document":{{}},"sources":[{{}}],"{name}":[{"{}," * (LENGTH // 3)}{{}}]}}'.encode()
    with little_memory(2):
        try:
            msgspec.json.decode(body, type=kind)
        except msgspec.ValidationError as error:
            assert name == "sources", error


def test_a_selection_of_any_length_is_not_decoded() -> None:
    with pytest.raises(Problem) as refused:
        written_selection("[" + "1," * MOST_CHARACTERS + "1]")
    assert refused.value.status == 422
