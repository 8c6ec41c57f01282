"""The door for Open WebUI's content extraction engine "external": `PUT /process`."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.web.auth.identity import get_user_of_client
from services.web.frontdoors import document, waiting
from services.web.frontdoors.absent import failure, page_markdown
from services.web.frontdoors.door import Door
from services.web.frontdoors.pages import joined
from services.web.frontdoors.reading import JOB_HEADER, start_reading
from services.web.outputs.page import PageDocument
from services.web.service import web
from services.web.upload.admission import read_options


async def process(request: Request) -> Response:
    """The document in the body as a list, an entry for each page. Raises `Problem`."""
    user = await get_user_of_client(request)
    name = unquote(request.headers.get("X-Filename", "")) or None
    options = await read_options(web(request), {})
    reading = await start_reading(request, user, document.raw(request, name), options)

    async def content() -> AsyncIterator[bytes]:
        job = await reading.ended()
        source, total = name or job.file_info.filename, len(job.pages)

        def entry(page: PageDocument) -> bytes:
            return msgspec.json.encode(_entry(page, source, total))

        return joined(reading.pages(job), entry)

    return await waiting.answer(content(), headers={JOB_HEADER: reading.job_id})


def _entry(page: PageDocument, source: str, total: int) -> dict[str, Any]:
    """A page as a document of LangChain's. `page` counts from 0, `page_label` as people do."""
    return {
        "page_content": page_markdown(page),
        "metadata": {
            "source": source,
            "page": page.page_no - 1,
            "page_label": page.page_no,
            "total_pages": total,
            "engine": page.engine,
            "trust": page.trust.figure if page.trust else None,
            "error": failure(page),
        },
    }


DOOR = Door(name="openwebui", routes=(Route("/process", process, methods=["PUT"]),))
