"""The tools as the official package serves them. Imported at the first call: the package is an extra of its own."""

from collections.abc import Awaitable
from contextvars import ContextVar
from functools import cache
from importlib.metadata import version

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import Receive, Scope, Send

from libs.errors import ExpectedError
from services.serving.problem import Problem
from services.web.frontdoors.document import MAX_JSON_BYTES
from services.web.frontdoors.mcp.tools import Answer, Caller

_INSTRUCTIONS = (
    "Reads documents (PDF and images) page by page and returns Markdown. read_document waits until all pages are read; "
    "a long document comes in parts: go on with get_pages from next_page. A page that could not be read says so."
)
#: Of the request that is served. Each is served in a task of its own, which the tool's inherits from.
_caller: ContextVar[Caller] = ContextVar("caller")


async def serve(caller: Caller, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request of this caller. Nothing is kept between requests, so any replica can answer the next."""
    server = _server()
    # It makes the session manager, which lives for this one request. Our own middleware has checked Host and Origin.
    server.streamable_http_app(
        stateless_http=True,
        max_request_body_size=MAX_JSON_BYTES,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    manager = server.session_manager
    token = _caller.set(caller)
    try:
        async with manager.run():
            await manager.handle_request(scope, receive, send)
    finally:
        _caller.reset(token)


@cache
def _server() -> MCPServer:
    server = MCPServer("gnosis-ocr", version=version("gnosis-ocr"), instructions=_INSTRUCTIONS)
    for tool in (read_document, get_pages, search_document, list_documents, retry_pages, cancel):
        server.add_tool(tool)
    return server


async def read_document(
    ctx: Context,
    url: str = "",
    job_id: str = "",
    base64: str = "",
    filename: str = "",
    pages: str = "",
    ocr: str = "auto",
) -> Answer:
    """Read a document and return each page's Markdown, with progress while it is read.

    Name the document by one of: `url` (where this installation fetches from that host, or a data: URL), `base64` with
    `filename`, or the `job_id` of one that is already here. `pages` selects some, as in "1-5,8". `ocr` is auto, force
    (recognise every page) or text (take the document's own text).
    """
    return await _answered(
        _caller.get().read_document(
            ctx.report_progress, url=url, job_id=job_id, content=base64, filename=filename, pages=pages, ocr=ocr
        )
    )


async def get_pages(job_id: str, pages: str = "") -> Answer:
    """Pages of a document that is here, as in "6-10": also of one that is still being read, as far as it is."""
    return await _answered(_caller.get().get_pages(job_id, pages))


async def search_document(job_id: str, text: str) -> Answer:
    """Where a text stands in a document: the page, some text around it, and its box in pixels of the page's image."""
    return await _answered(_caller.get().search_document(job_id, text))


async def list_documents(name: str = "", status: str = "", cursor: str = "") -> Answer:
    """Your documents, newest first. `name` is part of a file's name, `cursor` the `next_cursor` of an answer."""
    return await _answered(_caller.get().list_documents(name, status, cursor))


async def retry_pages(job_id: str, pages: str = "") -> Answer:
    """Read pages of a document again: those that failed, or those named as in "2,5"."""
    return await _answered(_caller.get().retry_pages(job_id, pages))


async def cancel(job_id: str) -> Answer:
    """Stop reading a document. Pages that were read stay."""
    return await _answered(_caller.get().cancel(job_id))


async def _answered(work: Awaitable[Answer]) -> Answer:
    try:
        return await work
    except Problem as problem:
        raise ToolError(f"{problem.title}. {problem.detail} {problem.hint}") from problem
    except ExpectedError as error:
        raise ToolError("The storage or the queue did not answer, or an object is damaged. Try again.") from error
