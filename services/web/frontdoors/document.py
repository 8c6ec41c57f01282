"""The documents that clients send, in the ways of other protocols: raw, in JSON, as an address that we know."""

import asyncio
import binascii
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.requests import Request

from libs.storage.store import ObjectStore
from services.serving.body import ArrivingBody, TooSlow, announced_bytes, read_body
from services.serving.problem import Problem
from services.web.service import web
from services.web.upload.admission import too_large

T = TypeVar("T")

#: Bytes of a JSON body that may hold a document, at most. Chosen: it is held in memory, the document in it as well.
MAX_JSON_BYTES = 64 * 1024**2
#: Characters of a percent-encoded document that are decoded at a time: decoding takes some 40 bytes for each `%`.
_PIECE_CHARACTERS = 64 * 1024
_BLANKS = string.whitespace.encode()

_SMALLER = (
    "Send the document as the raw body (application/octet-stream) or as multipart/form-data: these may be larger."
)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it arrives."""

    chunks: AsyncIterator[bytes]
    #: As the client named it, if it did.
    filename: str | None = None
    #: Its bytes, as far as they are announced; else 0.
    size: int = 0


def raw(request: Request, filename: str | None = None) -> Document:
    """The body of the request. Its chunks raise `Problem` 408 where it stalls."""
    config = web(request).config
    size = announced_bytes(request) or 0
    if size > config.upload_max_bytes:
        raise too_large(config.upload_max_bytes)

    async def chunks() -> AsyncIterator[bytes]:
        body = ArrivingBody(request, config.upload_pace)
        try:
            while (piece := await body.next()) is not None:
                yield piece
        except TooSlow as error:
            raise Problem(408, "Upload stalled", str(error), "Check the connection and send it again.") from error

    return Document(chunks=chunks(), filename=filename, size=size)


def held(data: bytes, filename: str | None = None) -> Document:
    """A document that is in memory."""

    async def chunks() -> AsyncIterator[bytes]:
        yield data

    return Document(chunks=chunks(), filename=filename, size=len(data))


def stored(store: ObjectStore, path: str, size: int, filename: str | None) -> Document:
    """An object in the storage. Its chunks raise `NotFound`."""

    async def chunks() -> AsyncIterator[bytes]:
        async with store.open_read(path) as opened:
            async for chunk in opened.chunks:
                yield chunk

    return Document(chunks=chunks(), filename=filename, size=size)


@asynccontextmanager
async def held_json(request: Request, kind: type[T], *, hint: str) -> AsyncIterator[T]:
    """A JSON body that may hold a document; unknown members are ignored.

    It counts as held in memory until the block ends: store its document in the block, and keep nothing of it.
    Raises `Problem` 408, 413, 503, and 422 with `hint` where it has another form.
    """
    pace = web(request).config.upload_pace
    announced = announced_bytes(request)
    size = MAX_JSON_BYTES if announced is None else min(announced, MAX_JSON_BYTES)
    with web(request).held_bodies.of(size):
        body = await read_body(request, most=MAX_JSON_BYTES, pace=pace, hint=_SMALLER)
        try:
            decoded = await asyncio.to_thread(msgspec.json.decode, body, type=kind)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError, RecursionError) as error:
            raise Problem(422, "Bad body", f"{error}.", hint) from error
        del body
        yield decoded


def of_data_url(url: str, filename: str | None = None) -> Document:
    """The document in a `data:` URL (RFC 2397). Raises `Problem` 422."""
    head, comma, content = url.partition(",")
    if not comma:
        raise Problem(422, "Bad data URL", "The data URL has no comma.", "Write data:application/pdf;base64,CONTENT.")
    if not head.rstrip().lower().endswith(";base64"):
        return Document(chunks=_percent_decoded(content), filename=filename)
    return held(of_base64(content), filename)


async def _percent_decoded(text: str) -> AsyncIterator[bytes]:
    start = 0
    while start < len(text):
        end = start + _PIECE_CHARACTERS
        # No piece ends within the three characters of an encoded byte.
        cut = text.find("%", end - 2, end)
        end = end if cut < 0 else cut
        yield unquote_to_bytes(text[start:end])
        start = end


def of_base64(text: str) -> bytes:
    """The bytes of base64 in the standard alphabet, with blanks between or without. Raises `Problem` 422."""
    try:
        return binascii.a2b_base64(text.encode("ascii").translate(None, _BLANKS), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise Problem(
            422, "Bad base64", "The document is not valid base64.", "Encode its bytes as RFC 4648, section 4, says."
        ) from error


def of_address(request: Request, address: str, filename: str | None = None) -> Document:
    """The document at an address of another server. Its chunks raise `Problem` 422 where that is not fetched."""
    fetching = web(request).fetching

    async def chunks() -> AsyncIterator[bytes]:
        async with fetching.fetched(address) as fetched:
            async for chunk in fetched.chunks():
                yield chunk

    return Document(chunks=chunks(), filename=filename)
