"""The door for Unstructured's clients: `POST /general/v0/general`."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from libs.jobstate.intake import OcrMode, Options
from libs.jobstate.job import Job
from services.web.auth.identity import get_user_of_client
from services.web.frontdoors import waiting
from services.web.frontdoors.door import Door
from services.web.frontdoors.fields import bad_field, is_true, last, number
from services.web.frontdoors.reading import JOB_HEADER, Fields, Reading, start_form
from services.web.frontdoors.unstructured.elements import Asked, Outline, page_elements
from services.web.outputs.page import PageDocument
from services.web.render.filetype import FileType
from services.web.service import web
from services.web.upload.admission import read_options

#: Files of one request at most. Chosen: the storage holds all of them while their form arrives.
MAX_FILES = 10

_STRATEGIES = {
    "auto": OcrMode.AUTO,
    "hi_res": OcrMode.AUTO,
    "od_only": OcrMode.AUTO,
    "vlm": OcrMode.AUTO,
    "fast": OcrMode.TEXT,
    "ocr_only": OcrMode.FORCE,
}


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the form that have a meaning here; others are ignored."""

    mode: OcrMode = OcrMode.AUTO
    first_page: int = 1
    languages: tuple[str, ...] = ()
    coordinates: bool = False
    page_breaks: bool = False


async def partition(request: Request) -> Response:
    """The elements of a document as a list; of several, a list of lists. Raises `Problem`."""
    user = await get_user_of_client(request)
    parameters = Parameters()

    async def options(fields: Fields) -> Options:
        nonlocal parameters
        parameters = parameters_of(fields)
        return await read_options(web(request), {"ocr": parameters.mode})

    _, readings = await start_form(request, user, ("files",), options, most=MAX_FILES)

    async def content() -> AsyncIterator[bytes]:
        return _lists([(reading, await reading.ended()) for reading in readings], parameters)

    return await waiting.answer(content(), headers={JOB_HEADER: ",".join(each.job_id for each in readings)})


async def docs(_: Request) -> Response:
    """Answer 200 to anybody: the client asks it, without its key, when it has sent the parts of a document."""
    return JSONResponse({"title": "Documents as elements", "path": "/general/v0/general"})


def parameters_of(fields: Fields) -> Parameters:
    """The parameters in a form's fields. Raises `Problem` 422."""
    strategy = last(fields, "strategy", "auto")
    if strategy not in _STRATEGIES:
        raise bad_field("strategy", f"is one of: {', '.join(_STRATEGIES)}")
    if last(fields, "output_format", "application/json") != "application/json":
        raise bad_field("output_format", "can only be application/json")
    named = (*fields.get("languages", ()), *fields.get("languages[]", ()))
    return Parameters(
        mode=_STRATEGIES[strategy],
        first_page=number(fields, "starting_page_number", 1, least=1),
        languages=tuple(language for value in named for language in _listed(value)),
        coordinates=is_true(fields, "coordinates"),
        page_breaks=is_true(fields, "include_page_breaks"),
    )


async def _lists(ended: Sequence[tuple[Reading, Job]], parameters: Parameters) -> AsyncIterator[bytes]:
    if len(ended) == 1:
        async for piece in _elements(*ended[0], parameters):
            yield piece
        return
    separator = b"["
    for reading, job in ended:
        yield separator
        separator = b","
        async for piece in _elements(reading, job, parameters):
            yield piece
    yield b"]"


async def _elements(reading: Reading, job: Job, parameters: Parameters) -> AsyncIterator[bytes]:
    """The elements of one document."""
    asked = Asked(
        filename=reading.filename or job.file_info.filename,
        filetype=FileType(job.file_info.file_type).media_type,
        first_page=parameters.first_page,
        languages=parameters.languages,
        coordinates=parameters.coordinates,
        page_breaks=parameters.page_breaks,
    )
    yield b"["
    outline: Outline = ()
    is_first = True
    async with aclosing(reading.pages(job)) as pages:
        async for page in pages:
            # In a thread: a page may have thousands of cells.
            written, outline = await asyncio.to_thread(_encoded, page, asked, outline)
            if written:
                yield written if is_first else b"," + written
                is_first = False
    yield b"]"


def _encoded(page: PageDocument, asked: Asked, outline: Outline) -> tuple[bytes, Outline]:
    elements, outline = page_elements(page, asked, outline)
    return msgspec.json.encode(elements)[1:-1], outline


def _listed(value: str) -> list[str]:
    """The languages of a field, which may be a JSON list."""
    try:
        items = json.loads(value)
    except (ValueError, RecursionError):
        return [value] if value else []
    return [str(item) for item in items] if isinstance(items, list) else [value]


DOOR = Door(
    name="unstructured",
    routes=(
        Route("/general/v0/general", partition, methods=["POST"]),
        Route("/general/docs", docs),
    ),
)
