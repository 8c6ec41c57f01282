"""The door for the clients of a self-hosted Marker: `POST /marker`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from libs.jobstate.intake import OcrMode, Options
from libs.jobstate.job import Job
from services.serving.problem import Problem
from services.web.auth.identity import get_user_of_client
from services.web.frontdoors import waiting
from services.web.frontdoors.door import Door, in_form
from services.web.frontdoors.fields import bad_field, is_true, last
from services.web.frontdoors.marker.answer import OutputFormat, output, page_stats
from services.web.frontdoors.reading import JOB_HEADER, Fields, Reading, start_form
from services.web.frontdoors.selection import selection
from services.web.frontdoors.spool import Spool
from services.web.outputs.page import PageDocument
from services.web.service import web
from services.web.upload.admission import read_options


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the form that have a meaning here; others are ignored."""

    output_format: OutputFormat = OutputFormat.MARKDOWN
    paginated: bool = False
    #: As a job's option.
    pages: str = ""
    mode: OcrMode = OcrMode.AUTO


async def convert(request: Request) -> Response:
    """Answer with the whole document. Raises `Problem`."""
    user = await get_user_of_client(request)
    parameters = Parameters()

    async def options(fields: Fields) -> Options:
        nonlocal parameters
        parameters = parameters_of(fields)
        return await read_options(web(request), {"pages": parameters.pages, "ocr": parameters.mode})

    _, (reading,) = await start_form(request, user, ("file",), options)

    async def content() -> AsyncIterator[bytes]:
        return _result(reading, await reading.ended(), parameters)

    return await waiting.answer(content(), headers={JOB_HEADER: reading.job_id})


def parameters_of(fields: Fields) -> Parameters:
    """The parameters in a form's fields. Raises `Problem` 422."""
    form = last(fields, "output_format", OutputFormat.MARKDOWN)
    if form not in tuple(OutputFormat):
        raise bad_field("output_format", f"is one of: {', '.join(OutputFormat)}")
    return Parameters(
        output_format=OutputFormat(form),
        paginated=any(is_true(fields, name) for name in ("paginate", "paginate_output")),
        pages=selection(last(fields, "page_range", "")),
        mode=OcrMode.FORCE if is_true(fields, "force_ocr") else OcrMode.AUTO,
    )


async def _result(reading: Reading, job: Job, parameters: Parameters) -> AsyncIterator[bytes]:
    with Spool("output", "stats") as spool:
        is_first = True
        async with aclosing(reading.pages(job)) as pages:
            async for page in pages:
                # In a thread: a hostile page takes seconds to write.
                await asyncio.to_thread(_add, spool, page, parameters, is_first)
                is_first = False
        head = {"success": True, "format": parameters.output_format, "page_count": len(job.pages), "images": {}}
        yield msgspec.json.encode(head).removesuffix(b"}") + b',"output":'
        async for chunk in spool.string("output"):
            yield chunk
        yield b',"metadata":{"table_of_contents":[],"page_stats":'
        async for chunk in spool.list("stats"):
            yield chunk
        yield b"}}"


def _add(spool: Spool, page: PageDocument, parameters: Parameters, is_first: bool) -> None:
    spool.text("output", output(page, parameters.output_format, paginated=parameters.paginated, first=is_first))
    spool.item("stats", page_stats(page))


def _refused(problem: Problem) -> dict[str, object]:
    return {"success": False, "error": problem.detail, "detail": problem.detail, "hint": problem.hint}


DOOR = Door(name="marker", routes=in_form(_refused, [Route("/marker", convert, methods=["POST"])]))
