"""`POST /v1/ocr`: a document as pages of Markdown, in JSON as Mistral's clients send it, or as a form (LiteLLM)."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from libs.page.block import Rect
from services.serving.problem import Problem
from services.web.auth import User
from services.web.auth.identity import get_user_of_client
from services.web.frontdoors import document, waiting
from services.web.frontdoors.document import Document
from services.web.frontdoors.fields import last
from services.web.frontdoors.mistral.answer import Wishes, figures, page_object
from services.web.frontdoors.mistral.files import found_file
from services.web.frontdoors.reading import JOB_HEADER, Fields, Reading, start_form, start_reading
from services.web.frontdoors.selection import written_selection
from services.web.outputs.archive import ImageLimits, cut_figures
from services.web.outputs.page import PageDocument
from services.web.service import web
from services.web.upload.admission import read_options

_HINT = (
    'Send {"model": "...", "document": {"type": "document_url", "document_url": "data:application/pdf;base64,..."}}.'
)
# The path of a file of ours (`mistral.files`), whatever the host that the client reaches the service by.
_FILE = re.compile(r".*/v1/files/([0-9a-f]{32})/content")
_NULL = msgspec.Raw(b"null")


class ImageAddress(msgspec.Struct, frozen=True):
    """An address as the chat interface writes it."""

    url: str


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """The document of a request: a stored file, or an address."""

    type: str = ""
    document_url: str | None = None
    image_url: str | ImageAddress | None = None
    file_id: str | None = None
    document_name: str | None = None


class Asked(Wishes, frozen=True, kw_only=True):
    """What the answer shall have."""

    model: str | None = None


class Body(Asked, frozen=True, kw_only=True):
    """The JSON body. Members of any length are not decoded with it: they would take many times their bytes."""

    document: Source
    pages: msgspec.Raw = _NULL
    bbox_annotation_format: msgspec.Raw = _NULL
    document_annotation_format: msgspec.Raw = _NULL


async def ocr(request: Request) -> Response:
    """Answer with the document's pages. Raises `Problem`."""
    user = await get_user_of_client(request)
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _of_form(request, user)
    return await _answer(*await _of_json(request, user), request)


async def _of_json(request: Request, user: User) -> tuple[Reading, Asked]:
    """The reading, and what the answer shall have: the document is not held while it is awaited."""
    async with document.held_json(request, Body, hint=_HINT) as body:
        _refuse_annotations(_text(raw) for raw in (body.bbox_annotation_format, body.document_annotation_format))
        options = await read_options(web(request), {"pages": written_selection(_text(body.pages))})
        reading = await start_reading(request, user, await _document(request, user, body.document), options)
        return reading, Asked(**{name: getattr(body, name) for name in Asked.__struct_fields__})


async def _of_form(request: Request, user: User) -> Response:
    asked = Asked()

    async def options(fields: Fields) -> Any:
        nonlocal asked
        asked = _asked(fields)
        _refuse_annotations(last(fields, f"{name}_annotation_format", "null") for name in ("bbox", "document"))
        return await read_options(web(request), {"pages": written_selection(last(fields, "pages"))})

    _, (reading,) = await start_form(request, user, ("file",), options)
    return await _answer(reading, asked, request)


async def _answer(reading: Reading, asked: Asked, request: Request) -> Response:
    async def content() -> AsyncIterator[bytes]:
        job = await reading.ended()
        tail = {
            "model": asked.model or "gnosis-ocr",
            "usage_info": {"pages_processed": len(job.pages), "doc_size_bytes": job.file_info.file_size},
        }
        return _pages(reading, asked, request, reading.pages(job), msgspec.json.encode(tail)[1:])

    return await waiting.answer(content(), headers={JOB_HEADER: reading.job_id})


async def _pages(
    reading: Reading, wishes: Wishes, request: Request, pages: AsyncGenerator[PageDocument, None], tail: bytes
) -> AsyncIterator[bytes]:
    config = web(request).config
    limits = ImageLimits(max_pixels=config.max_pixels, max_side=config.max_side)
    yield b'{"pages":['
    separator, shown = b"", 0
    async with aclosing(pages):
        async for page in pages:
            places = figures(page, wishes, shown)
            shown += len(places)
            images: dict[Rect, bytes | None] = dict.fromkeys(places)
            if places and wishes.include_image_base64:
                cut = await cut_figures(reading.files, page.image, places, limits)
                images |= {places[number - 1]: png for number, png in cut}
            yield separator + await asyncio.to_thread(_encoded, page, wishes, images)
            separator = b","
    yield b"]," + tail


def _encoded(page: PageDocument, wishes: Wishes, images: dict[Rect, bytes | None]) -> bytes:
    return msgspec.json.encode(page_object(page, wishes, images))


async def _document(request: Request, user: User, source: Source) -> Document:
    """The document that the request names. Raises `Problem` 404, 422."""
    image = source.image_url
    address = source.document_url or (image.url if isinstance(image, ImageAddress) else image)
    file_id = source.file_id
    if file_id is None and address is None:
        raise Problem(422, "No document", "The member document names none.", _HINT)
    if file_id is None and address is not None:
        if address[:5].lower() == "data:":
            return document.of_data_url(address, source.document_name)
        if (file_id := own_file(address)) is None:
            return document.of_address(request, address, source.document_name)
    assert file_id is not None
    file = await found_file(request, user, file_id)
    return document.stored(web(request).store, file.path, file.size, source.document_name or file.filename)


def own_file(address: str) -> str | None:
    """The id of the file of ours that the address names; `None` for another address.

    By whatever host: a client may reach the service by another name than it knows. It opens only files of the caller's.
    """
    try:
        path = urlsplit(address).path
    except ValueError:
        return None
    found = _FILE.fullmatch(path)
    return None if found is None else found[1]


def _asked(fields: Fields) -> Asked:
    """The members in a form's fields, whose values may be JSON. Raises `Problem` 422."""
    members = {}
    for name, values in fields.items():
        try:
            members[name] = json.loads(values[-1])
        except (ValueError, RecursionError):
            members[name] = values[-1]
    if "model" in members:  # a text, also where it reads as a number
        members["model"] = fields["model"][-1]
    try:
        return msgspec.convert(members, Asked, strict=False)
    except msgspec.ValidationError as error:
        raise Problem(422, "Bad field", f"{error}.", "Leave the field out, or correct it.") from error


def _text(raw: msgspec.Raw) -> str:
    return bytes(raw).decode(errors="replace")


def _refuse_annotations(formats: Iterable[str]) -> None:
    if any(written != "null" for written in formats):
        raise Problem(
            422,
            "No annotations",
            "This service reads documents; it has no language model that fills in a schema.",
            "Leave bbox_annotation_format and document_annotation_format out, and give the Markdown to a model.",
        )
