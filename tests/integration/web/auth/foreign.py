"""The routes of the front doors in the access matrix: what each needs, and what it answers its owner and all others.

A document that is none is refused once its sender is identified: so a route that waits for a job can be in the matrix.
"""

import importlib.util
from base64 import b64encode
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
    #: It answers those who are not identified, too.
    public: bool = False


def same(status: int, **body: Any) -> Cell:
    """A route whose address names nothing of anybody's."""
    return Cell(owner=status, others=status, body=body)


NO_FILE = {"files": ("a.txt", NO_DOCUMENT)}
_PUT = same(415, content=NO_DOCUMENT)
_TO_TIKA = same(415, files={"upload-file": ("a.txt", NO_DOCUMENT)})
_IN_JSON = same(415, json={"sources": [{"kind": "file", "base64_string": b64encode(NO_DOCUMENT).decode()}]})

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
    # 404 where the package is not installed.
    ("POST", "/mcp"): same(400 if importlib.util.find_spec("mcp") else 404, json={"no": "message"}, headers=MCP),
    ("PUT", "/process"): _PUT,
    ("POST", "/documentintelligence/documentModels/{model}:analyze"): same(415, content=NO_DOCUMENT),
    ("GET", "/documentintelligence/documentModels/{model}/analyzeResults/{job_id}"): Cell(owner=200, others=404),
    ("DELETE", "/documentintelligence/documentModels/{model}/analyzeResults/{job_id}"): Cell(owner=204, others=404),
    ("GET", "/documentintelligence/documentModels/{model}/analyzeResults/{job_id}/pdf"): Cell(owner=200, others=404),
    ("POST", "/v1/convert/file"): same(415, files=NO_FILE),
    ("POST", "/v1/convert/file/async"): same(415, files=NO_FILE),
    ("POST", "/v1/convert/source"): _IN_JSON,
    ("POST", "/v1/convert/source/async"): _IN_JSON,
    ("GET", "/v1/status/poll/{job_id}"): Cell(owner=200, others=404),
    ("GET", "/v1/result/{job_id}"): Cell(owner=200, others=404),
    ("POST", "/general/v0/general"): same(415, files=NO_FILE),
    ("GET", "/general/docs"): Cell(owner=200, others=200, public=True),
    ("POST", "/file_parse"): same(415, files=NO_FILE),
    ("POST", "/tasks"): same(415, files=NO_FILE),
    ("GET", "/tasks/{job_id}"): Cell(owner=200, others=404),
    ("GET", "/tasks/{job_id}/result"): Cell(owner=200, others=404),
    ("PUT", "/tika"): _PUT,
    ("PUT", "/tika/text"): _PUT,
    ("PUT", "/tika/html"): _PUT,
    ("POST", "/tika/form"): _TO_TIKA,
    ("POST", "/tika/form/text"): _TO_TIKA,
    ("PUT", "/tika/json/md"): _PUT,
    ("PUT", "/tika/json/text"): _PUT,
    ("PUT", "/rmeta/text"): _PUT,
    ("POST", "/rmeta/form/text"): _TO_TIKA,
    ("PUT", "/rmeta"): _PUT,
    ("POST", "/rmeta/form/html"): _TO_TIKA,
    ("PUT", "/meta"): _PUT,
    ("POST", "/meta/form"): _TO_TIKA,
    ("POST", "/layout-parsing"): same(415, json={"file": b64encode(NO_DOCUMENT).decode()}),
    ("POST", "/marker"): same(415, files={"file": ("a.txt", NO_DOCUMENT)}),
}
