"""What agents can do here. Each tool does what a route does for the same user, and nothing that no route does."""

import json
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message

from libs.jobstate.job import Job
from libs.jobstate.page import PageStatus
from libs.jobstate.selection import parse_pages
from libs.page.text import to_text
from services.serving.problem import Problem
from services.web.auth import User
from services.web.frontdoors import document
from services.web.frontdoors.absent import page_markdown
from services.web.frontdoors.reading import Reading, reading_of, start_reading
from services.web.jobs import listing, retry, routes
from services.web.jobs.lookup import newer_view
from services.web.live.feed import Stopping
from services.web.outputs.page import PageDocument
from services.web.service import web
from services.web.upload.admission import read_options

#: Characters of Markdown in an answer, at most, but for a page that is longer by itself. Chosen: some 12,000 tokens,
#: which the context of an agent has room for beside its work.
MAX_CHARACTERS = 50_000
#: Places that a search returns at most. Chosen: as many as a person looks at.
MAX_FOUND = 50
#: Characters around what was found.
_AROUND = 80

#: Reports how far a reading is: pages that have ended, all pages, a line for a person.
Report = Callable[[float, float | None, str], Awaitable[None]]
#: An answer, as JSON.
Answer = dict[str, Any]


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who calls a tool, and by which request."""

    request: Request
    user: User

    async def read_document(
        self, report: Report, *, url: str, job_id: str, content: str, filename: str, pages: str, ocr: str
    ) -> Answer:
        """Read a document, or wait for one that is read, and return its pages. Raises `Problem`."""
        given = [name for name, value in (("url", url), ("job_id", job_id), ("base64", content)) if value]
        if len(given) != 1:
            raise Problem(422, "Bad call", "Name the document by one of url, job_id and base64.", "Name it once.")
        if job_id:
            reading = await reading_of(self.request, self.user, job_id)
        else:
            options = await read_options(web(self.request), {"pages": pages, "ocr": ocr})
            reading = await start_reading(self.request, self.user, self._document(url, content, filename), options)
        job = await self._ended(reading, report)
        return await self._shown(reading, job, sorted(job.pages))

    async def get_pages(self, job_id: str, pages: str) -> Answer:
        """Pages of a document, of those that have been read. Raises `Problem`."""
        reading = await reading_of(self.request, self.user, job_id)
        job = await self._job(reading)
        return await self._shown(reading, job, self._numbers(job, pages))

    async def search_document(self, job_id: str, text: str) -> Answer:
        """Where `text` stands in a document, whatever its case. Raises `Problem`."""
        wanted = " ".join(text.casefold().split())
        if not wanted:
            raise Problem(422, "Bad call", "There is no text to look for.", "Name a word or a phrase.")
        reading = await reading_of(self.request, self.user, job_id)
        job = await self._job(reading)
        found: list[Answer] = []
        async with aclosing(reading.pages(job, self._numbers(job, ""))) as documents:
            async for page in documents:
                found += [{"page": page.page_no, **place} for place in _places(page, wanted)]
                if len(found) > MAX_FOUND:
                    break
        return {"job_id": job_id, "found": found[:MAX_FOUND], "more": len(found) > MAX_FOUND}

    async def list_documents(self, name: str, status: str, cursor: str) -> Answer:
        """The caller's documents, newest first. Raises `Problem`."""
        query = urlencode({key: value for key, value in (("q", name), ("status", status), ("cursor", cursor)) if value})
        return await self._route(listing.listing, query=query)

    async def retry_pages(self, job_id: str, pages: str) -> Answer:
        """Read pages again: those that failed, or these. Raises `Problem`."""
        body = b""
        if pages:
            reading = await reading_of(self.request, self.user, job_id)
            body = json.dumps({"pages": self._numbers(await self._job(reading), pages)}).encode()
        return await self._route(retry.retry, job_id=job_id, body=body)

    async def cancel(self, job_id: str) -> Answer:
        """Stop reading a document. Raises `Problem`."""
        return await self._route(routes.cancel, job_id=job_id)

    def _document(self, url: str, content: str, filename: str) -> document.Document:
        name = filename or None
        if not url:
            return document.held(document.of_base64(content), name)
        if url.lower().startswith("data:"):
            return document.of_data_url(url, name)
        return document.of_address(self.request, url, name)

    async def _ended(self, reading: Reading, report: Report) -> Job:
        """The ended job. How far it is, is reported; it goes on when the caller goes away. Raises `Problem`."""
        view, done = None, -1
        try:
            with web(self.request).feeds.watched(self.user.email, reading.job_id) as feed:
                while view is None or not view.record.ended:
                    view = await newer_view(feed, view)
                    job = view.record
                    ended = job.count(PageStatus.COMPLETED) + job.count(PageStatus.FAILED)
                    if ended != done:
                        done = ended
                        await report(ended, len(job.pages) or None, job.message)
        except Stopping as error:
            raise Problem(
                503, "Restarting", "The service restarts; the document is read on.", "Call the tool again."
            ) from error
        return view.record

    async def _job(self, reading: Reading) -> Job:
        with web(self.request).feeds.watched(self.user.email, reading.job_id) as feed:
            return (await newer_view(feed, None)).record

    def _numbers(self, job: Job, pages: str) -> list[int]:
        """The pages that are asked for, of those that have ended."""
        wanted = set(job.pages)
        if pages.strip():
            try:
                wanted &= set(parse_pages(pages).resolve(max(job.pages, default=1)))
            except ValueError as error:
                raise Problem(422, "Bad call", str(error), 'Name pages as in "1-5,8".') from error
        return [number for number in sorted(wanted) if job.pages[number].ended]

    async def _shown(self, reading: Reading, job: Job, numbers: list[int]) -> Answer:
        """These pages, as many as there is room for; `next_page` is the first that is left out."""
        shown: list[Answer] = []
        room, next_page = MAX_CHARACTERS, None
        async with aclosing(reading.pages(job, numbers)) as documents:
            async for page in documents:
                markdown = page_markdown(page)
                if shown and len(markdown) > room:
                    next_page = page.page_no
                    break
                room -= len(markdown)
                shown.append(
                    {
                        "page": page.page_no,
                        "status": str(page.status),
                        "markdown": markdown,
                        "trust": page.trust.figure if page.trust else None,
                        "engine": page.engine,
                    }
                )
        return {
            "job_id": reading.job_id,
            "status": str(job.status),
            "filename": job.file_info.filename,
            "error": job.error,
            "total_pages": len(job.pages),
            "pages": shown,
            "next_page": next_page,
        }

    async def _route(
        self,
        route: Callable[[Request], Awaitable[Response]],
        *,
        job_id: str = "",
        query: str = "",
        body: bytes = b"",
    ) -> Answer:
        """What a route of our own answers this caller. Raises `Problem`."""

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        headers = [(name, value) for name, value in self.request.scope["headers"] if name != b"content-length"]
        scope = {
            **self.request.scope,
            "path_params": {"job_id": job_id},
            "query_string": query.encode(),
            "headers": headers,
        }
        answer = await route(Request(scope, receive))
        found: Answer = json.loads(bytes(answer.body))
        return found


def _places(page: PageDocument, wanted: str) -> list[Answer]:
    """Where the text stands on the page, with the box of its block in pixels of the page image."""
    places: list[Answer] = []
    for block in page.blocks:
        text = " ".join(to_text((block,), headers=True).split())
        at = text.casefold().find(wanted)
        if at >= 0:
            places.append(
                {"text": text[max(0, at - _AROUND) : at + len(wanted) + _AROUND], "box": block.box and list(block.box)}
            )
    return places
