"""The pages of an ended job, one after the other, and the answers that are made of them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing

from libs.jobstate.evidence import read_in_order
from libs.jobstate.job import Job
from libs.storage.session import SessionFiles
from services.web.outputs.page import PageDocument, page_document
from services.web.outputs.result import without_outcome

#: Makes the bytes of one page.
Render = Callable[[PageDocument], bytes]


async def read_pages(
    files: SessionFiles, job: Job, numbers: Iterable[int] | None = None
) -> AsyncGenerator[PageDocument, None]:
    """The pages in order, all or those in `numbers`. Few are held at a time."""
    async with aclosing(read_in_order(files, job.pages if numbers is None else numbers)) as outcomes:
        async for number, outcome in outcomes:
            # In a thread: a hostile page takes seconds to parse.
            yield await asyncio.to_thread(page_document, outcome or without_outcome(job, number), job)


async def joined(
    pages: AsyncGenerator[PageDocument, None],
    render: Render,
    *,
    before: bytes = b"[",
    between: bytes = b",",
    after: bytes = b"]",
) -> AsyncIterator[bytes]:
    """An answer that has the pages one after the other, by default a JSON list: only one page of it is held."""
    yield before
    separator = b""
    async with aclosing(pages):
        async for page in pages:
            yield separator + await asyncio.to_thread(render, page)
            separator = between
    yield after
