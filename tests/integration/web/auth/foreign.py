"""The routes of the front doors in the access matrix: what each needs, and what it answers its owner and all others.

A document that is none is refused once its sender is identified: so a route that waits for a job can be in the matrix.
"""

import importlib.util
from typing import Any

import msgspec

#: What a client of the Model Context Protocol accepts.
MCP = {"Accept": "application/json, text/event-stream"}
PDF, NO_DOCUMENT = b"%PDF-1.7 a", b"plain text"


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A route by a method."""

    #: The status for the owner of what the address names.
    owner: int
    #: For everybody else who is identified.
    others: int
    body: dict[str, Any] = {}


def same(status: int, **body: Any) -> Cell:
    """A route whose address names nothing of anybody's."""
    return Cell(owner=status, others=status, body=body)


#: By method and path.
FOREIGN: dict[tuple[str, str], Cell] = {
    ("POST", "/v1/ocr"): same(
        415, json={"document": {"type": "document_url", "document_url": f"data:,{NO_DOCUMENT.decode()}"}}
    ),
    ("POST", "/v1/files"): same(200, files={"file": ("a.pdf", PDF)}),
    ("GET", "/v1/files"): same(200),
    ("GET", "/v1/files/{file_id}"): Cell(owner=200, others=404),
    ("DELETE", "/v1/files/{file_id}"): Cell(owner=200, others=404),
    ("GET", "/v1/files/{file_id}/url"): Cell(owner=200, others=404),
    ("GET", "/v1/files/{file_id}/content"): Cell(owner=200, others=404),
    ("PUT", "/process"): same(415, content=NO_DOCUMENT),
    # 404 where the package is not installed.
    ("POST", "/mcp"): same(400 if importlib.util.find_spec("mcp") else 404, json={"no": "message"}, headers=MCP),
}
