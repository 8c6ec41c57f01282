"""`/v1/convert`: documents in forms and in JSON, answered with the result or with a task."""

import time
from collections.abc import AsyncIterator

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from libs.jobstate.intake import Options
from libs.jobstate.rebuild import load_or_rebuild
from services.serving.problem import Problem
from services.web.auth.identity import get_user_of_client
from services.web.frontdoors import document, waiting
from services.web.frontdoors.docling.asked import ConvertOptions, TaskId, options_in, options_of
from services.web.frontdoors.docling.delivery import deliver, zip_response
from services.web.frontdoors.docling.result import task
from services.web.frontdoors.document import Document
from services.web.frontdoors.reading import JOB_HEADER, Fields, Reading, start_form, start_reading
from services.web.service import web
from services.web.upload.admission import read_options

_HINT = (
    'Send {"options": {}, "sources": [{"kind": "file", "filename": "a.pdf", "base64_string": "..."}]}: one document.'
)
#: The client looks for this text, and then asks for the result in the answer.
NO_ARTIFACTS = "Presigned URL target requires artifact storage to be configured and enabled on the server."


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A document."""

    kind: str = "file"
    filename: str | None = None
    base64_string: str | None = None
    url: str | None = None


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where the result goes."""

    kind: str = "inbody"


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """A request in JSON. Lists and objects of any length are not decoded: they would take many times their bytes."""

    #: One: documents are sent one by one.
    sources: tuple[Source]
    options: msgspec.Raw = msgspec.Raw(b"{}")
    target: Target = Target()
    callbacks: msgspec.Raw = msgspec.Raw(b"[]")


class _Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A reading, and what is wanted of it."""

    reading: Reading
    task_id: TaskId


async def file(request: Request) -> Response:
    """Answer a form with its result. Raises `Problem`."""
    return await _answered(await _of_form(request))


async def file_async(request: Request) -> Response:
    """Answer a form with its task. Raises `Problem`."""
    return await _task(await _of_form(request))


async def source(request: Request) -> Response:
    """Answer a request in JSON with its result. Raises `Problem`."""
    return await _answered(await _of_json(request))


async def source_async(request: Request) -> Response:
    """Answer a request in JSON with its task. Raises `Problem`."""
    return await _task(await _of_json(request))


async def _of_form(request: Request) -> _Begun:
    user = await get_user_of_client(request)
    asked, zipped = ConvertOptions(), False

    async def options(fields: Fields) -> Options:
        nonlocal asked, zipped
        asked = options_of(fields)
        zipped = _is_zip(fields.get("target_type", ("inbody",))[-1])
        _refuse_callbacks(any(value.strip() not in ("", "[]", "null") for value in fields.get("callbacks", ())))
        _ = asked.wanted
        return await read_options(web(request), asked.job_fields)

    _, (reading,) = await start_form(request, user, ("files",), options)
    return _Begun(reading=reading, task_id=TaskId(job_id=reading.job_id, wanted=asked.wanted, zipped=zipped))


async def _of_json(request: Request) -> _Begun:
    user = await get_user_of_client(request)
    async with document.held_json(request, Body, hint=_HINT) as body:
        zipped = _is_zip(body.target.kind)
        _refuse_callbacks(bytes(body.callbacks).strip(b"[] \t\r\n") not in (b"", b"null"))
        asked = options_in(bytes(body.options))
        wanted = asked.wanted
        options = await read_options(web(request), asked.job_fields)
        reading = await start_reading(request, user, _document(request, body.sources[0]), options)
    return _Begun(reading=reading, task_id=TaskId(job_id=reading.job_id, wanted=wanted, zipped=zipped))


def _document(request: Request, asked: Source) -> Document:
    if asked.base64_string is not None:
        return document.held(document.of_base64(asked.base64_string), asked.filename)
    if asked.url is None:
        raise Problem(422, "No document", "The source has neither base64_string nor url.", _HINT)
    if asked.url[:5].lower() == "data:":
        return document.of_data_url(asked.url, asked.filename)
    return document.of_address(request, asked.url, asked.filename)


def _is_zip(target: str) -> bool:
    """Whether the result is an archive. Raises `Problem` 422 for a place outside of the answer."""
    if target == "presigned_url":
        raise Problem(422, "Bad target", NO_ARTIFACTS, "Ask for the target inbody or zip.")
    if target not in ("inbody", "zip"):
        raise Problem(422, "Bad target", "Results are sent nowhere else.", "Ask for the target inbody or zip.")
    return target == "zip"


def _refuse_callbacks(are_asked: bool) -> None:
    if are_asked:
        raise Problem(422, "No callbacks", "This service calls no addresses of tasks.", "Poll the task's status.")


async def _answered(begun: _Begun) -> Response:
    reading, task_id = begun.reading, begun.task_id
    started = time.monotonic()

    async def content() -> AsyncIterator[bytes]:
        job = await reading.ended()
        return deliver(reading, job, task_id, seconds=time.monotonic() - started)

    headers = {JOB_HEADER: reading.job_id}
    if task_id.zipped:
        # An archive cannot begin with blanks.
        return zip_response(reading, await reading.ended(), task_id)
    return await waiting.answer(content(), headers=headers)


async def _task(begun: _Begun) -> Response:
    job = await load_or_rebuild(begun.reading.files)
    shown = msgspec.structs.replace(task(job), task_id=str(begun.task_id))
    return JSONResponse(msgspec.to_builtins(shown), headers={JOB_HEADER: begun.reading.job_id})
