"""The door for the clients of PaddleX and PaddleOCR-VL: `POST /layout-parsing`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from libs.jobstate.job import Job
from services.serving.problem import Problem
from services.web.auth import User
from services.web.auth.identity import get_user_of_client
from services.web.frontdoors import document, waiting
from services.web.frontdoors.document import Document
from services.web.frontdoors.door import Door, in_form
from services.web.frontdoors.paddlex.answer import page_size, parsed_page
from services.web.frontdoors.reading import JOB_HEADER, Reading, start_reading
from services.web.frontdoors.spool import Spool
from services.web.outputs.page import PageDocument
from services.web.service import web
from services.web.upload.admission import read_options

_HINT = 'Send {"file": "BASE64", "fileType": 0} for a PDF, 1 for an image.'


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """A request; members of other names are ignored."""

    #: Base64, or an address.
    file: str


async def layout_parsing(request: Request) -> Response:
    """Answer with an entry for each page. Raises `Problem`."""
    user = await get_user_of_client(request)
    reading = await _begun(request, user)

    async def content() -> AsyncIterator[bytes]:
        return _result(reading, await reading.ended())

    return await waiting.answer(content(), headers={JOB_HEADER: reading.job_id})


async def _begun(request: Request, user: User) -> Reading:
    """The reading: what the body has is not held while it is awaited."""
    options = await read_options(web(request), {})
    async with document.held_json(request, Body, hint=_HINT) as body:
        return await start_reading(request, user, _document(request, body.file), options)


def _document(request: Request, file: str) -> Document:
    beginning = file[:8].lower()
    if beginning.startswith("data:"):
        return document.of_data_url(file)
    if beginning.startswith(("http://", "https://")):
        return document.of_address(request, file)
    return document.held(document.of_base64(file))


async def _result(reading: Reading, job: Job) -> AsyncIterator[bytes]:
    with Spool("pages", "sizes") as spool:
        async with aclosing(reading.pages(job)) as pages:
            async for page in pages:
                # In a thread: a hostile page takes seconds to write.
                await asyncio.to_thread(_add, spool, page)
        head = {"logId": reading.job_id, "errorCode": 0, "errorMsg": "Success"}
        yield msgspec.json.encode(head).removesuffix(b"}") + b',"result":{"layoutParsingResults":'
        async for chunk in spool.list("pages"):
            yield chunk
        kind = "pdf" if job.file_info.file_type == "pdf" else "image"
        yield f',"dataInfo":{{"type":"{kind}","numPages":{len(job.pages)},"pages":'.encode()
        async for chunk in spool.list("sizes"):
            yield chunk
        yield b"}}}"


def _add(spool: Spool, page: PageDocument) -> None:
    spool.item("pages", parsed_page(page))
    spool.item("sizes", page_size(page))


def _refused(problem: Problem) -> dict[str, object]:
    return {
        "logId": problem.more.get("job_id", ""),
        "errorCode": problem.status,
        "errorMsg": f"{problem.detail} {problem.hint}",
        "detail": problem.detail,
    }


DOOR = Door(name="paddlex", routes=in_form(_refused, [Route("/layout-parsing", layout_parsing, methods=["POST"])]))
