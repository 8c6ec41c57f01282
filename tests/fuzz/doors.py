"""The front doors as operations to fuzz: their interfaces are others', so `/openapi.json` does not describe them.

Only what a request is made of is told here; an answer has to be no fault of the service, whatever it is.
"""

import base64
import re
from typing import Any

_FILE = {"type": "string", "contentMediaType": "application/octet-stream", "format": "binary"}
_TEXT = {"type": "string"}
_ANY: dict[str, Any] = {}


def _operation(path: str, *, query: tuple[str, ...] = (), body: dict[str, Any] | None = None) -> dict[str, Any]:
    names = re.findall(r"{(\w+)}", path)
    found: dict[str, Any] = {
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names),
            *({"name": name, "in": "query", "schema": _TEXT} for name in query),
        ],
        "responses": {"default": {"description": "As its protocol has it."}},
    }
    return found | ({} if body is None else {"requestBody": {"content": body}})


def _raw() -> dict[str, Any]:
    return {"application/octet-stream": {"schema": _FILE}}


def _form(file: str, *fields: str) -> dict[str, Any]:
    members = {file: _FILE, **dict.fromkeys(fields, _TEXT)}
    return {"multipart/form-data": {"schema": {"type": "object", "properties": members, "required": [file]}}}


def _json(members: dict[str, Any], *required: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": members, "required": [*required]}
    return {"application/json": {"schema": schema}}


_PAGES = {"anyOf": [_TEXT, {"type": "array", "items": {"type": "integer"}}, {"type": "null"}]}
_DOCUMENT = {
    "type": "object",
    "properties": {
        "type": {"enum": ["document_url", "image_url", "file"]},
        "document_url": {
            "anyOf": [_TEXT, {"type": "string", "pattern": "^data:[a-z/]*(;base64)?,[A-Za-z0-9+/]*={0,2}$"}]
        },
        "image_url": {"anyOf": [_TEXT, {"type": "object", "properties": {"url": _TEXT}}]},
        "file_id": _TEXT,
        "document_name": _TEXT,
    },
}
_OCR = {
    "model": _TEXT,
    "document": _DOCUMENT,
    "pages": _PAGES,
    "include_image_base64": {"type": "boolean"},
    "image_limit": {"type": "integer"},
    "image_min_size": {"type": "integer"},
    "table_format": {"enum": ["markdown", "html", None]},
    "extract_header": {"type": "boolean"},
    "include_blocks": {"type": "boolean"},
    "confidence_scores_granularity": {"enum": ["page", "block", "word", None]},
    "document_annotation_format": _ANY,
}
_DOCLING = ("to_formats", "page_range", "do_ocr", "force_ocr", "md_page_break_placeholder", "target_type", "callbacks")
_SOURCES = {
    "options": {"type": "object"},
    "sources": {
        "type": "array",
        "items": {"type": "object", "properties": {"kind": _TEXT, "base64_string": _TEXT, "url": _TEXT}},
    },
    "target": {"type": "object", "properties": {"kind": _TEXT}},
}
_UNSTRUCTURED = ("strategy", "languages", "coordinates", "include_page_breaks", "starting_page_number", "output_format")
_MINERU = ("parse_method", "start_page_id", "end_page_id", "return_md", "return_content_list", "lang_list")
_MARKER = ("output_format", "page_range", "paginate_output", "force_ocr")
_AZURE = "/documentintelligence/documentModels/{model}"
_AZURE_QUERY = ("pages", "outputContentFormat", "stringIndexType", "output")

#: What is sent, by method and path.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/v1/ocr"): _operation(
        "/v1/ocr", body=_json(_OCR, "document") | _form("file", "model", "pages", "table_format", "image_limit")
    ),
    ("post", "/v1/files"): _operation("/v1/files", body=_form("file", "purpose")),
    ("get", "/v1/files"): _operation("/v1/files", query=("page", "page_size")),
    **{
        (method, path): _operation(path)
        for method, path in (
            ("get", "/v1/files/{file_id}"),
            ("delete", "/v1/files/{file_id}"),
            ("get", "/v1/files/{file_id}/url"),
            ("get", "/v1/files/{file_id}/content"),
        )
    },
    ("put", "/process"): _operation("/process", body=_raw()),
    **{
        ("post", path): _operation(path, body=_form("files", *_DOCLING))
        for path in ("/v1/convert/file", "/v1/convert/file/async")
    },
    **{
        ("post", path): _operation(path, body=_json(_SOURCES, "sources"))
        for path in ("/v1/convert/source", "/v1/convert/source/async")
    },
    ("get", "/v1/status/poll/{job_id}"): _operation("/v1/status/poll/{job_id}", query=("wait",)),
    ("get", "/v1/result/{job_id}"): _operation("/v1/result/{job_id}"),
    ("post", "/general/v0/general"): _operation("/general/v0/general", body=_form("files", *_UNSTRUCTURED)),
    ("get", "/general/docs"): _operation("/general/docs"),
    **{("post", path): _operation(path, body=_form("files", *_MINERU)) for path in ("/file_parse", "/tasks")},
    ("get", "/tasks/{job_id}"): _operation("/tasks/{job_id}"),
    ("get", "/tasks/{job_id}/result"): _operation("/tasks/{job_id}/result"),
    **{
        ("put", path): _operation(path, body=_raw())
        for path in (
            *("/tika", "/tika/text", "/tika/html", "/tika/json/md", "/tika/json/text"),
            *("/rmeta", "/rmeta/text", "/meta"),
        )
    },
    **{
        ("post", path): _operation(path, body=_form("upload-file"))
        for path in ("/tika/form", "/tika/form/text", "/rmeta/form/text", "/rmeta/form/html", "/meta/form")
    },
    ("post", "/layout-parsing"): _operation(
        "/layout-parsing", body=_json({"file": _TEXT, "fileType": {"type": "integer"}, "visualize": _ANY}, "file")
    ),
    ("post", "/mcp"): _operation(
        "/mcp", body=_json({"jsonrpc": {"const": "2.0"}, "id": _ANY, "method": _TEXT, "params": {"type": "object"}})
    ),
    ("post", "/marker"): _operation("/marker", body=_form("file", *_MARKER)),
    ("post", f"{_AZURE}:analyze"): _operation(
        f"{_AZURE}:analyze",
        query=_AZURE_QUERY,
        body=_json({"base64Source": _TEXT, "urlSource": _TEXT}) | _raw(),
    ),
    ("get", f"{_AZURE}/analyzeResults/{{job_id}}"): _operation(
        f"{_AZURE}/analyzeResults/{{job_id}}", query=_AZURE_QUERY
    ),
    ("delete", f"{_AZURE}/analyzeResults/{{job_id}}"): _operation(f"{_AZURE}/analyzeResults/{{job_id}}"),
    ("get", f"{_AZURE}/analyzeResults/{{job_id}}/pdf"): _operation(f"{_AZURE}/analyzeResults/{{job_id}}/pdf"),
}

#: As in an OpenAPI document.
PATHS: dict[str, dict[str, Any]] = {}
for (_method, _path), _described in BODIES.items():
    PATHS.setdefault(_path, {})[_method] = _described

#: The fields of forms that have the document.
FILE_FIELDS = frozenset({"file", "files", "upload-file"})


def with_document(body: Any, media_type: str | None, document: bytes) -> Any:
    """The body with a real document in it, where it has a place for one."""
    if media_type == "application/octet-stream":
        return document
    if not isinstance(body, dict):
        return body
    text = base64.b64encode(document).decode()
    if media_type == "multipart/form-data":
        return {**body, **dict.fromkeys(FILE_FIELDS & body.keys(), document)}
    if "document" in body:
        return {**body, "document": {"document_url": f"data:application/pdf;base64,{text}"}}
    if "sources" in body:
        return {**body, "sources": [{"kind": "file", "filename": "a.pdf", "base64_string": text}]}
    return {**body, **dict.fromkeys({"base64Source", "file"} & body.keys(), text)}
