"""`analyzeResult` as it is sent: of a document of any length, few pages are held at a time."""

import asyncio
from collections.abc import AsyncIterator

import msgspec

from services.web.frontdoors.azure.analysis import analyze_page
from services.web.frontdoors.azure.content import ContentFormat
from services.web.frontdoors.azure.objects import API_VERSION
from services.web.frontdoors.azure.offsets import StringIndex
from services.web.frontdoors.spool import Spool
from services.web.outputs.page import PageDocument

_LISTS = ("pages", "paragraphs", "tables", "figures", "warnings")


async def analyze_result_json(
    pages: AsyncIterator[PageDocument],
    *,
    model_id: str,
    content_format: ContentFormat = ContentFormat.TEXT,
    string_index: StringIndex = StringIndex.CODE_POINTS,
) -> AsyncIterator[bytes]:
    """The JSON of the whole answer, which begins when all pages are read."""
    with Spool("content", *_LISTS) as spool:
        end: int | None = None
        async for page in pages:
            # In a thread: thousands of words are placed.
            end = await asyncio.to_thread(_add, spool, page, end, content_format, string_index)
        head = {
            "apiVersion": API_VERSION,
            "modelId": model_id,
            "stringIndexType": string_index,
            "contentFormat": content_format,
            "styles": [],
            "languages": [],
        }
        yield msgspec.json.encode(head).removesuffix(b"}") + b',"content":'
        async for chunk in spool.string("content"):
            yield chunk
        for name in _LISTS:
            yield f',"{name}":'.encode()
            async for chunk in spool.list(name):
                yield chunk
        yield b"}"


def _add(
    spool: Spool, page: PageDocument, before: int | None, content_format: ContentFormat, string_index: StringIndex
) -> int:
    found = analyze_page(page, before, content_format, string_index)
    spool.text("content", found.content)
    spool.item("pages", found.page)
    for name in _LISTS[1:]:
        for item in getattr(found, name):
            spool.item(name, item)
    return found.end
