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
    return {**body, **dict.fromkeys({"base64Source", "file"} & body.keys(), text)}
