"""The door for Tika's clients, of version 3 and 4: `PUT /tika` and what is below it, `/rmeta` and `/meta`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from email.message import Message

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from libs.jobstate.intake import Options
from libs.jobstate.job import Job
from libs.jobstate.page import PageStatus
from services.web.auth.identity import get_user_of_client
from services.web.frontdoors import document, waiting
from services.web.frontdoors.door import Door
from services.web.frontdoors.reading import JOB_HEADER, Fields, Reading, start_form, start_reading
from services.web.frontdoors.tika import answer
from services.web.outputs.page import PageDocument
from services.web.render.filetype import FileType
from services.web.service import web
from services.web.upload.admission import read_options

#: A page's part of the content.
Render = Callable[[PageDocument], str]
#: Makes the answer of an ended job.
Form = Callable[[Reading, Job], AsyncIterator[bytes]]


async def plain(request: Request) -> Response:
    """The content alone: XHTML where `Accept` asks for HTML, else text. Raises `Problem`."""
    accepted = request.headers.get("Accept", "")
    if "application/json" in accepted:
        return await _answer(await _raw(request), _json(answer.xhtml, answer.CONTENT_3, html=True))
    if "html" in accepted and "text/plain" not in accepted:
        return await _answer(await _raw(request), _content(answer.xhtml, html=True), "text/html")
    return await _answer(await _raw(request), _content(answer.text), "text/plain")


async def text(request: Request) -> Response:
    """Text and metadata in JSON. Raises `Problem`."""
    return await _answer(await _raw(request), _json(answer.text, answer.CONTENT_3))


async def html(request: Request) -> Response:
    """XHTML and metadata in JSON. Raises `Problem`."""
    return await _answer(await _raw(request), _json(answer.xhtml, answer.CONTENT_3, html=True))


async def form_text(request: Request) -> Response:
    """The same as `text`, of a form. Raises `Problem`."""
    return await _answer(await _of_form(request), _json(answer.text, answer.CONTENT_3))


async def form_html(request: Request) -> Response:
    """The same as `html`, of a form. Raises `Problem`."""
    return await _answer(await _of_form(request), _json(answer.xhtml, answer.CONTENT_3, html=True))


async def markdown_4(request: Request) -> Response:
    """Markdown and metadata in JSON, as version 4 answers. Raises `Problem`."""
    return await _answer(await _raw(request), _json(answer.markdown, answer.CONTENT_4))


async def text_4(request: Request) -> Response:
    """Text and metadata in JSON, as version 4 answers. Raises `Problem`."""
    return await _answer(await _raw(request), _json(answer.text, answer.CONTENT_4))


async def rmeta_text(request: Request) -> Response:
    """A list of the document alone: nothing is taken out of it. Raises `Problem`."""
    return await _answer(await _raw(request), _json(answer.text, answer.CONTENT_3, listed=True))


async def rmeta_form_text(request: Request) -> Response:
    """The same of a form. Raises `Problem`."""
    return await _answer(await _of_form(request), _json(answer.text, answer.CONTENT_3, listed=True))


async def rmeta_html(request: Request) -> Response:
    """The same with XHTML. Raises `Problem`."""
    return await _answer(await _raw(request), _json(answer.xhtml, answer.CONTENT_3, html=True, listed=True))


async def rmeta_form_html(request: Request) -> Response:
    """The same of a form. Raises `Problem`."""
    form = _json(answer.xhtml, answer.CONTENT_3, html=True, listed=True)
    return await _answer(await _of_form(request), form)


async def meta_form(request: Request) -> Response:
    """The metadata of a document in a form. Raises `Problem`."""
    return await _answer(await _of_form(request), _metadata_only)


async def meta(request: Request) -> Response:
    """The metadata alone. Raises `Problem`."""
    return await _answer(await _raw(request), _metadata_only)


async def _raw(request: Request) -> Reading:
    user = await get_user_of_client(request)
    options = await read_options(web(request), {})
    return await start_reading(request, user, document.raw(request, _filename(request)), options)


async def _of_form(request: Request) -> Reading:
    user = await get_user_of_client(request)

    async def options(_: Fields) -> Options:
        return await read_options(web(request), {})

    _, (reading,) = await start_form(request, user, ("upload-file", "upload", "file"), options)
    return reading


async def _answer(reading: Reading, form: Form, media_type: str = "application/json") -> Response:
    async def content() -> AsyncIterator[bytes]:
        return form(reading, await reading.ended())

    return await waiting.answer(content(), media_type=media_type, headers={JOB_HEADER: reading.job_id})


def _content(render: Render, *, html: bool = False) -> Form:
    """The content of a document, as it is."""

    async def form(reading: Reading, job: Job) -> AsyncIterator[bytes]:
        async for piece in _pieces(reading, job, render, html=html):
            yield piece.encode()

    return form


def _json(render: Render, member: str, *, html: bool = False, listed: bool = False) -> Form:
    """The content of a document as a member of its metadata."""

    async def form(reading: Reading, job: Job) -> AsyncIterator[bytes]:
        yield b"[" if listed else b""
        yield msgspec.json.encode(_metadata(reading, job)).removesuffix(b"}") + f',"{member}":"'.encode()
        async for piece in _pieces(reading, job, render, html=html):
            yield msgspec.json.encode(piece)[1:-1]
        yield b'"}]' if listed else b'"}'

    return form


async def _metadata_only(reading: Reading, job: Job) -> AsyncIterator[bytes]:
    yield msgspec.json.encode(_metadata(reading, job))


async def _pieces(reading: Reading, job: Job, render: Render, *, html: bool) -> AsyncGenerator[str, None]:
    if html:
        yield answer.XHTML_BEFORE
    async with aclosing(reading.pages(job)) as pages:
        async for page in pages:
            # In a thread: a hostile page takes seconds to write.
            yield await asyncio.to_thread(render, page)
    if html:
        yield answer.XHTML_AFTER


def _metadata(reading: Reading, job: Job) -> dict[str, object]:
    info = job.file_info
    return answer.metadata(
        FileType(info.file_type).media_type,
        reading.filename or info.filename,
        len(job.pages),
        job.count(PageStatus.FAILED),
    )


def _filename(request: Request) -> str | None:
    """The name in `Content-Disposition`, if it is there and can be decoded."""
    header = Message()
    header["content-disposition"] = request.headers.get("Content-Disposition", "")
    with suppress(ValueError):  # as of the names of a form's parts
        return header.get_filename() or None
    return None


DOOR = Door(
    name="tika",
    routes=(
        Route("/tika", plain, methods=["PUT"]),
        Route("/tika/text", text, methods=["PUT"]),
        Route("/tika/html", html, methods=["PUT"]),
        Route("/tika/form/text", form_text, methods=["POST"]),
        Route("/tika/form", form_html, methods=["POST"]),
        Route("/tika/json/md", markdown_4, methods=["PUT"]),
        Route("/tika/json/text", text_4, methods=["PUT"]),
        Route("/rmeta/text", rmeta_text, methods=["PUT"]),
        Route("/rmeta/form/text", rmeta_form_text, methods=["POST"]),
        Route("/rmeta", rmeta_html, methods=["PUT"]),
        Route("/rmeta/form/html", rmeta_form_html, methods=["POST"]),
        Route("/meta", meta, methods=["PUT"]),
        Route("/meta/form", meta_form, methods=["POST"]),
    ),
)
