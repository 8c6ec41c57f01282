"""The result of an ended job, as the client of a task wants it."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from libs.jobstate.job import Job
from services.web.frontdoors.docling.asked import TaskId
from services.web.frontdoors.docling.items import Origin
from services.web.frontdoors.docling.result import Format, document_json, markdown, result_json
from services.web.frontdoors.reading import JOB_HEADER, Reading
from services.web.outputs.archive import Archive
from services.web.outputs.result import as_html, as_text
from services.web.render.filetype import FileType

_ENDINGS = {Format.MD: "md", Format.JSON: "json", Format.HTML: "html", Format.TEXT: "txt"}
# Hexadecimal digits of a number of 64 bits.
_HASH_DIGITS = 16


async def deliver(reading: Reading, job: Job, task_id: TaskId, *, seconds: float) -> AsyncIterator[bytes]:
    """The result as JSON."""
    async with aclosing(reading.pages(job)) as pages:
        async for chunk in result_json(pages, job, task_id.wanted, _origin(reading, job), seconds=seconds):
            yield chunk


def zip_response(reading: Reading, job: Job, task_id: TaskId) -> Response:
    """The result as an archive with a file for each form."""
    name = _origin(reading, job).filename.rsplit(".", 1)[0]
    headers = {
        JOB_HEADER: reading.job_id,
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}.zip",
    }
    return StreamingResponse(_zipped(reading, job, task_id, name), media_type="application/zip", headers=headers)


async def _zipped(reading: Reading, job: Job, task_id: TaskId, name: str) -> AsyncIterator[bytes]:
    archive = Archive(job.updated_at)
    for form in sorted(task_id.wanted.formats):
        async for piece in archive.add(f"{name}.{_ENDINGS[form]}", _form(reading, job, task_id, form)):
            yield piece
    yield archive.end()


async def _form(reading: Reading, job: Job, task_id: TaskId, form: Format) -> AsyncIterator[bytes]:
    match form:
        case Format.HTML:
            written: AsyncIterator[bytes] = as_html(reading.files, job)
        case Format.TEXT:
            written = as_text(reading.files, job)
        case Format.MD:
            written = markdown(reading.pages(job), task_id.wanted)
        case Format.JSON:
            written = document_json(reading.pages(job), _origin(reading, job))
    async for piece in written:
        yield piece


def _origin(reading: Reading, job: Job) -> Origin:
    info = job.file_info
    return Origin(
        filename=(reading.filename or info.filename).replace("/", "_"),
        mimetype=FileType(info.file_type).media_type,
        # No client knows how Docling computes it: a number that is the same for the same reading.
        binary_hash=int(job.job_id[:_HASH_DIGITS], 16),
    )
