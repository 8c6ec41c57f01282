"""What docling-serve answers: a task's state, and its result as it is sent.

Of a document of any length, few pages are held at a time.
"""

import asyncio
from collections.abc import AsyncIterator
from enum import StrEnum
from html import escape
from statistics import fmean
from typing import Any

import msgspec

from libs.jobstate.job import Job
from libs.jobstate.page import tally
from libs.jobstate.status import JobStatus
from services.web.frontdoors.absent import failure, page_markdown, page_text
from services.web.frontdoors.docling.document import Counts, docling_page
from services.web.frontdoors.docling.items import VERSION, Origin, root
from services.web.frontdoors.spool import Spool
from services.web.outputs.page import PageDocument
from services.web.text.blocks import blocks_html

#: Stands between two pages of a text.
PAGE_SEPARATOR = "\n\n"
_LISTS = ("groups", "texts", "pictures", "tables")
_ITEMS = ("children", *_LISTS, "pages")
_TEXTS = ("md", "text", "html")


class Format(StrEnum):
    """A form of the document that a client asks for."""

    MD = "md"
    JSON = "json"
    HTML = "html"
    TEXT = "text"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What of a result is sent."""

    formats: frozenset[Format] = frozenset({Format.MD})
    #: Stands between two pages of the Markdown.
    page_break: str = ""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no result."""

    message: str
    category: str = "backend_failure"
    retryable: bool = False
    phase: str = "execution"
    details: dict[str, str] = {}


class TaskMeta(msgspec.Struct, frozen=True, kw_only=True):
    """The documents of a task: one."""

    num_docs: int = 1
    num_processed: int = 0
    num_succeeded: int = 0
    num_partially_succeeded: int = 0
    num_failed: int = 0


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a conversion."""

    task_id: str
    task_status: str
    task_meta: TaskMeta
    task_type: str = "convert"
    task_position: int | None = None
    error_message: str | None = None
    failure: Failure | None = None


class FailureResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a task that failed."""

    failure: Failure
    kind: str = "TaskFailureResult"


def task(job: Job) -> Task:
    """The state of the job."""
    status = task_status(job)
    ended = int(job.ended)
    return Task(
        task_id=job.job_id,
        task_status=status,
        task_position=1 if status == "pending" else None,
        task_meta=TaskMeta(
            num_processed=ended,
            num_succeeded=int(job.status is JobStatus.COMPLETED),
            num_partially_succeeded=int(job.status is JobStatus.PARTIAL),
            num_failed=int(status == "failure"),
        ),
        error_message=why_failed(job).message if status == "failure" else None,
        failure=why_failed(job) if status == "failure" else None,
    )


def task_status(job: Job) -> str:
    """The word for the state of the job's task. Clients wait until it is one of two: "success" or "failure"."""
    if not job.ended:
        begun = tally(job.pages).prepared or job.status is not JobStatus.QUEUED
        return "started" if begun else "pending"
    return "success" if job.status in (JobStatus.COMPLETED, JobStatus.PARTIAL) else "failure"


def result_status(job: Job) -> str:
    """The word for the result of an ended job."""
    return "partial_success" if job.status is JobStatus.PARTIAL else task_status(job)


def why_failed(job: Job) -> Failure:
    """Of a job that has ended without a result."""
    cancelled = job.status is JobStatus.CANCELLED
    message = job.error or "The document could not be read."
    if cancelled:
        message = f"The reading was cancelled. POST /api/jobs/{job.job_id}/retry goes on with it."
    return Failure(message=message, category="unknown" if cancelled else "backend_failure")


async def result_json(
    pages: AsyncIterator[PageDocument], job: Job, wanted: Wanted, origin: Origin, *, seconds: float
) -> AsyncIterator[bytes]:
    """The result of the ended job; it begins when all pages are read. `seconds` are those that it took."""
    with Spool(*_TEXTS, *_ITEMS, "errors", "scores") as spool:
        counts = Counts()
        separator = ""
        scores: list[float] = []
        async for page in pages:
            # In a thread: a hostile page takes seconds to write.
            counts = await asyncio.to_thread(_add, spool, page, counts, wanted, separator)
            separator = PAGE_SEPARATOR
            if page.trust is not None and page.trust.confidence is not None:
                scores.append(page.trust.confidence)
        yield b'{"document":{"filename":' + msgspec.json.encode(origin.filename)
        for member, form in _MEMBERS.items():
            yield f',"{member}":'.encode()
            if form not in wanted.formats:
                yield b"null"
            elif form is Format.JSON:
                async for chunk in _document(spool, origin):
                    yield chunk
            else:
                async for chunk in spool.string(form):
                    yield chunk
        yield b',"doctags_content":null},"errors":'
        async for chunk in spool.list("errors"):
            yield chunk
        mean = round(fmean(scores), 4) if scores else None
        rest: dict[str, Any] = {"status": result_status(job), "processing_time": round(seconds, 3), "timings": {}}
        yield b"," + msgspec.json.encode(rest)[1:-1]
        yield b',"confidence":{"mean_score":' + msgspec.json.encode(mean) + b',"pages":'
        async for chunk in spool.object("scores"):
            yield chunk
        yield b"}}"


async def document_json(pages: AsyncIterator[PageDocument], origin: Origin) -> AsyncIterator[bytes]:
    """The DoclingDocument by itself."""
    with Spool(*_ITEMS) as spool:
        counts = Counts()
        async for page in pages:
            counts = await asyncio.to_thread(_add_items, spool, page, counts)
        async for chunk in _document(spool, origin):
            yield chunk


async def markdown(pages: AsyncIterator[PageDocument], wanted: Wanted) -> AsyncIterator[bytes]:
    """The Markdown by itself."""
    separator = ""
    async for page in pages:
        yield (await asyncio.to_thread(_markdown, page, wanted, separator)).encode()
        separator = PAGE_SEPARATOR


_MEMBERS = {
    "md_content": Format.MD,
    "json_content": Format.JSON,
    "html_content": Format.HTML,
    "text_content": Format.TEXT,
}


async def _document(spool: Spool, origin: Origin) -> AsyncIterator[bytes]:
    """The DoclingDocument."""
    head = {
        "schema_name": "DoclingDocument",
        "version": VERSION,
        "name": origin.filename.rsplit(".", 1)[0],
        "origin": origin,
        "furniture": root("furniture", "furniture"),
        "key_value_items": [],
        "form_items": [],
    }
    yield msgspec.json.encode(head).removesuffix(b"}")
    body = msgspec.json.encode(root("body", "body"))
    before, _, after = body.partition(b'"children":[]')
    yield b',"body":' + before + b'"children":'
    async for chunk in spool.list("children"):
        yield chunk
    yield after
    for name in _LISTS:
        yield f',"{name}":'.encode()
        async for chunk in spool.list(name):
            yield chunk
    yield b',"pages":'
    async for chunk in spool.object("pages"):
        yield chunk
    yield b"}"


def _add(spool: Spool, page: PageDocument, counts: Counts, wanted: Wanted, separator: str) -> Counts:
    reason = failure(page)
    if Format.MD in wanted.formats:
        spool.text("md", _markdown(page, wanted, separator))
    if Format.TEXT in wanted.formats:
        spool.text("text", separator + page_text(page))
    if Format.HTML in wanted.formats:
        shown = blocks_html(page.blocks) if reason is None else f"<p>Page {page.page_no} failed: {escape(reason)}</p>\n"
        spool.text("html", shown)
    if reason is not None:
        spool.item("errors", _error(page.page_no, reason))
    if page.trust is not None:
        score = page.trust.confidence
        spool.entry("scores", str(page.page_no), {"ocr_score": score, "mean_score": score})
    return _add_items(spool, page, counts) if Format.JSON in wanted.formats else counts


def _add_items(spool: Spool, page: PageDocument, counts: Counts) -> Counts:
    found = docling_page(page, counts)
    for name in ("children", *_LISTS):
        for item in getattr(found, name):
            spool.item(name, item)
    spool.entry("pages", str(page.page_no), found.page)
    return found.counts


def _markdown(page: PageDocument, wanted: Wanted, separator: str) -> str:
    page_break = f"{wanted.page_break}{separator}" if separator and wanted.page_break else ""
    return separator + page_break + page_markdown(page)


def _error(page_no: int, reason: str) -> dict[str, Any]:
    return {
        "component_type": "pipeline",
        "module_name": "gnosis-ocr",
        "error_message": reason,
        "category": "backend_failure",
        "page_no": page_no,
    }
