"""The result of a job in its forms, a page at a time: memory does not grow with the pages.

Of a job that runs it is what there is; the pages that are still to be read are marked, each form in its own way.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from enum import StrEnum
from html import escape

import msgspec

from libs.jobstate.ending import failure_of, section
from libs.jobstate.evidence import read_in_order
from libs.jobstate.job import Job
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.jobstate.status import JobStatus
from libs.page.markdown import DEFAULT, MarkdownOptions, to_markdown
from libs.page.text import to_text
from libs.storage.session import SessionFiles
from services.web.outputs.page import blocks_of, encode, page_document
from services.web.text.blocks import blocks_html

# Of the document that `as_html` makes, which is read outside of the web page.
_STYLE = (
    "body{max-width:48rem;margin:2rem auto;padding:0 1rem;font-family:sans-serif;line-height:1.5}"
    "section{border-top:1px solid #ccc;padding:1rem 0}"
    # Each in the direction of its own first letter.
    "h1,h2,h3,h4,h5,h6,p,li,th,td{unicode-bidi:plaintext}"
    "table{border-collapse:collapse}td,th{border:1px solid #999;padding:.2rem .5rem;vertical-align:top}"
)


class ResultForm(StrEnum):
    """In which form a result is asked for."""

    #: Markdown, a comment before each page.
    MD = "md"
    #: Plain text, form feeds between pages.
    TXT = "txt"
    #: One HTML document, a section for each page.
    HTML = "html"
    #: One JSON document with all blocks and their provenance.
    JSON = "json"
    #: All of these, tables as CSV, and figures.
    ZIP = "zip"
    #: The document with the text in it, to search and copy.
    PDF = "pdf"


#: The forms in which the result of a job that runs can be had.
PARTIAL_FORMS = (ResultForm.MD, ResultForm.TXT, ResultForm.HTML, ResultForm.JSON)

#: Renders one page.
_Render = Callable[[PageOutcome], str]


async def as_markdown(files: SessionFiles, job: Job, options: MarkdownOptions = DEFAULT) -> AsyncIterator[bytes]:
    """Each page after its marker line.

    By default this is the stored result, which must exist once the job has ended, unless it was cancelled; raises
    `NotFound`.
    """
    if options == DEFAULT and job.ended and job.status is not JobStatus.CANCELLED:
        async with files.store.open_read(files.combined_path) as opened:
            async for chunk in opened.chunks:
                yield chunk
        return

    def render(outcome: PageOutcome) -> str:
        markdown = None if options == DEFAULT else to_markdown(blocks_of(outcome), options)
        return section(outcome.page_no, outcome, markdown)

    async for piece in _joined(files, job, render, between="\n"):
        yield piece


async def as_text(files: SessionFiles, job: Job, *, headers: bool = False) -> AsyncIterator[bytes]:
    """The pages without markup: tabs between table cells, form feeds between pages (as pdftotext writes them).

    A failed page is `[page N failed: REASON]`, one that was not read before the job was cancelled `[page N not read]`,
    one that is still to be read `[page N pending]`, and a blank one is empty.
    """

    def render(outcome: PageOutcome) -> str:
        if (missing := _missing(outcome, job)) is not None:
            return f"[page {outcome.page_no} {missing}]\n"
        return to_text(blocks_of(outcome), headers=headers).strip() + "\n"

    async for piece in _joined(files, job, render, between="\f"):
        yield piece


async def as_html(files: SessionFiles, job: Job, *, headers: bool = False) -> AsyncIterator[bytes]:
    """One document without scripts, and with nothing from elsewhere."""

    def render(outcome: PageOutcome) -> str:
        if (missing := _missing(outcome, job)) is not None:
            shown = f"<p>Page {outcome.page_no} {escape(missing)}</p>\n"
        else:
            shown = blocks_html(blocks_of(outcome), headers=headers)
        return f'<section id="page-{outcome.page_no}">\n{shown}</section>\n'

    title = escape(job.file_info.filename)
    yield (
        f'<!doctype html>\n<html>\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n"
    ).encode()
    async for piece in _joined(files, job, render, between=""):
        yield piece
    yield b"</body>\n</html>\n"


async def as_json(files: SessionFiles, job: Job) -> AsyncIterator[bytes]:
    """The job in short, and its pages as `/schemas/page.json` describes them."""

    def render(outcome: PageOutcome) -> str:
        return encode(page_document(outcome, job)).decode()

    head = {
        "job_id": job.job_id,
        "status": job.status,
        "error": job.error,
        "file_info": job.file_info,
        "created_at": job.created_at,
        "updated_at": job.updated_at,
    }
    yield msgspec.json.encode(head).removesuffix(b"}") + b',"pages":[\n'
    async for piece in _joined(files, job, render, between=",\n"):
        yield piece
    yield b"\n]}\n"


async def _joined(files: SessionFiles, job: Job, render: _Render, *, between: str) -> AsyncGenerator[bytes, None]:
    separator = ""
    async with aclosing(read_in_order(files, job.pages)) as outcomes:
        async for page_no, outcome in outcomes:
            if outcome is None or _is_outdated(outcome, job):
                outcome = without_outcome(job, page_no)
            # In a thread: a hostile page takes seconds to parse.
            yield (separator + await asyncio.to_thread(render, outcome)).encode()
            separator = between


def without_outcome(job: Job, page_no: int) -> PageOutcome:
    """Of a page that has none: it is still to be read, a cancelled job has not read it, or its outcome was lost."""
    if not job.pages[page_no].ended:
        return PageOutcome(page_no=page_no, run=job.run, status=OutcomeStatus.PENDING)
    return PageOutcome(page_no=page_no, run=job.run, status=OutcomeStatus.FAILED, error=failure_of(None))


def _is_outdated(outcome: PageOutcome, job: Job) -> bool:
    """Whether the page is being read again, and this is its outcome of before: the retry has not yet marked it."""
    return not job.ended and outcome.run < job.pages[outcome.page_no].run


def _missing(outcome: PageOutcome, job: Job) -> str | None:
    """What is said in place of the text of a page that has none; None for a page that was read."""
    if outcome.status is OutcomeStatus.PENDING:
        return "not read" if job.ended else "pending"
    reason = failure_of(outcome)
    return None if reason is None else f"failed: {reason}"
