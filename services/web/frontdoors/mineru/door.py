"""The door for MinerU's clients of version 3: `POST /file_parse`, and tasks."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from libs.jobstate.intake import OcrMode, Options
from libs.jobstate.job import Job
from libs.jobstate.rebuild import load_or_rebuild
from services.serving import audit
from services.serving.problem import Problem
from services.web.auth.identity import get_user_of_client
from services.web.frontdoors import waiting
from services.web.frontdoors.door import Door, public_base
from services.web.frontdoors.fields import bad_field, is_true, last, number
from services.web.frontdoors.mineru.answer import content_list, markdown
from services.web.frontdoors.reading import JOB_HEADER, Fields, Reading, reading_of, start_form, succeeded
from services.web.frontdoors.spool import Spool
from services.web.outputs.page import PageDocument
from services.web.service import web
from services.web.upload.admission import read_options

#: The word for what reads the pages.
BACKEND = "pipeline"

_MODES = {"auto": OcrMode.AUTO, "ocr": OcrMode.FORCE, "txt": OcrMode.TEXT}
_OPEN_END = 99_999


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the form that have a meaning here; others are ignored."""

    mode: OcrMode = OcrMode.AUTO
    pages: str = ""
    markdown: bool = True
    content_list: bool = False


async def file_parse(request: Request) -> Response:
    """Answer a form with its result. Raises `Problem`."""
    reading, parameters = await _begun(request)

    async def content() -> AsyncIterator[bytes]:
        return result_json(reading, await reading.ended(), parameters)

    return await waiting.answer(content(), headers={JOB_HEADER: reading.job_id})


async def submit(request: Request) -> Response:
    """Answer a form with its task. Raises `Problem`."""
    reading, _ = await _begun(request)
    job = await load_or_rebuild(reading.files)
    return JSONResponse(_task(request, job), status_code=202, headers={JOB_HEADER: reading.job_id})


async def task(request: Request) -> Response:
    """The state of a task. Raises `Problem`."""
    reading, job = await _found(request)
    return JSONResponse(_task(request, job), headers={JOB_HEADER: reading.job_id})


async def result(request: Request) -> Response:
    """The result of a task: Markdown and `content_list`; 202 before its end. Raises `Problem` 409 where it failed."""
    reading, job = await _found(request)
    if not job.ended:
        return JSONResponse(_task(request, job), status_code=202)
    try:
        succeeded(job)
    except Problem as error:
        raise Problem(409, error.title, error.detail, error.hint, job_id=job.job_id) from error
    pieces = result_json(reading, job, Parameters(content_list=True))
    return StreamingResponse(pieces, media_type="application/json", headers={JOB_HEADER: reading.job_id})


async def result_json(reading: Reading, job: Job, parameters: Parameters) -> AsyncIterator[bytes]:
    """The result of the ended job."""
    name = (reading.filename or job.file_info.filename).rsplit(".", 1)[0]
    with Spool("md_content", "content_list") as spool:
        is_first = True
        async with aclosing(reading.pages(job)) as pages:
            async for page in pages:
                # In a thread: a hostile page takes seconds to write.
                await asyncio.to_thread(_add, spool, page, parameters, is_first)
                is_first = False
        head = msgspec.json.encode({"backend": BACKEND, "version": version("gnosis-ocr")}).removesuffix(b"}")
        yield head + b',"results":{' + msgspec.json.encode(name) + b":{"
        if parameters.markdown:
            yield b'"md_content":'
            async for chunk in spool.string("md_content"):
                yield chunk
        if parameters.content_list:
            # A text that is JSON.
            yield b',"content_list":' if parameters.markdown else b'"content_list":'
            async for chunk in spool.string("content_list", before="[", after="]"):
                yield chunk
        yield b"}}}"


def _add(spool: Spool, page: PageDocument, parameters: Parameters, is_first: bool) -> None:
    if parameters.markdown:
        spool.text("md_content", markdown(page, first=is_first))
    if parameters.content_list:
        entries = msgspec.json.encode(list(content_list(page))).decode()[1:-1]
        if entries:
            spool.text("content_list", entries if spool.is_empty("content_list") else f",{entries}")


async def _begun(request: Request) -> tuple[Reading, Parameters]:
    user = await get_user_of_client(request)
    parameters = Parameters()

    async def options(fields: Fields) -> Options:
        nonlocal parameters
        parameters = parameters_of(fields)
        asked = {"ocr": str(parameters.mode), "pages": parameters.pages}
        return await read_options(web(request), asked)

    _, (reading,) = await start_form(request, user, ("files",), options)
    return reading, parameters


def parameters_of(fields: Fields) -> Parameters:
    """The parameters in a form's fields. Raises `Problem` 422."""
    method = last(fields, "parse_method", "auto")
    if method not in _MODES:
        raise bad_field("parse_method", f"is one of: {', '.join(_MODES)}")
    if is_true(fields, "response_format_zip"):
        raise bad_field("response_format_zip", "can only be false")
    start = number(fields, "start_page_id", 0, least=0)
    end = number(fields, "end_page_id", _OPEN_END, least=0)
    if end < start:
        raise bad_field("end_page_id", "is no page before start_page_id")
    # Clients that mean the last page write a number that no document has.
    is_open = end >= _OPEN_END - 1
    pages = "" if start == 0 and is_open else f"{start + 1}-{'' if is_open else end + 1}"
    return Parameters(
        mode=_MODES[method],
        pages=pages,
        markdown=is_true(fields, "return_md", "true"),
        content_list=is_true(fields, "return_content_list"),
    )


async def _found(request: Request) -> tuple[Reading, Job]:
    user = await get_user_of_client(request)
    reading = await reading_of(request, user, request.path_params["job_id"])
    audit.subject(request.scope).job_id = reading.job_id
    return reading, await load_or_rebuild(reading.files)


def _task(request: Request, job: Job) -> dict[str, Any]:
    status = "pending" if not job.planned else "processing"
    if job.ended:
        status = "completed" if job.status in ("completed", "partial") else "failed"
    address = f"{public_base(request)}/tasks/{job.job_id}"
    return {
        "task_id": job.job_id,
        "status": status,
        "backend": BACKEND,
        "file_names": [job.file_info.filename],
        "created_at": job.created_at.isoformat(),
        "started_at": job.run_started_at.isoformat() if job.planned else None,
        "completed_at": job.updated_at.isoformat() if job.ended else None,
        "error": job.error,
        "status_url": address,
        "result_url": f"{address}/result",
    }


DOOR = Door(
    name="mineru",
    routes=(
        Route("/file_parse", file_parse, methods=["POST"]),
        Route("/tasks", submit, methods=["POST"]),
        Route("/tasks/{job_id}", task),
        Route("/tasks/{job_id}/result", result),
    ),
)
