"""The web page, the OpenAPI document, its rendering at `/docs`, and the JSON Schema of a page."""

from functools import cache
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import yaml
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response

from services.serving.operator import operator
from services.web.auth.browser import CONTENT_SECURITY_POLICY
from services.web.outputs import page
from services.web.service import web
from services.web.system.docs import render_docs

_WEB = Path(__file__).parents[1]
#: The folder of the web page's files, served under `/static`.
STATIC = _WEB / "static"


async def openapi(request: Request) -> Response:
    """`GET /openapi.json`: the OpenAPI document of this installation."""
    return JSONResponse(_own_interface(request))


async def docs(request: Request) -> Response:
    """`GET /docs`: the same document as a page."""
    return HTMLResponse(render_docs(_own_interface(request)))


async def page_schema(request: Request) -> Response:
    """`GET /schemas/page.json`: the JSON Schema of a page."""
    return JSONResponse(page.schema(), media_type="application/schema+json")


async def home(request: Request) -> Response:
    """`GET /`: the web page."""
    direct = web(request).direct
    # The page sends large files to the bucket itself, and the browser allows only origins named in this header.
    headers = (
        {}
        if direct is None
        else {"Content-Security-Policy": f"{CONTENT_SECURITY_POLICY}; connect-src 'self' {direct.upload_origin}"}
    )
    return FileResponse(STATIC / "index.html", headers=headers)


@cache
def interface() -> dict[str, Any]:
    """The OpenAPI document, with the schemas of a page and every security scheme that any installation may accept."""
    document: dict[str, Any] = yaml.safe_load((_WEB / "openapi.yaml").read_text("utf-8"))
    document["components"]["schemas"] |= page.components()
    document["info"]["version"] = installed_version("gnosis-ocr")
    return document


def _own_interface(request: Request) -> dict[str, Any]:
    """The document with only those security schemes that this installation accepts."""
    document, identity = interface(), web(request).identity
    is_open = operator(request).is_open
    accepted = identity.schemes if is_open else identity.schemes | {"operator"}
    components = document["components"]
    schemes = {name: scheme for name, scheme in components["securitySchemes"].items() if name in accepted}
    ways = [way for way in document["security"] if way.keys() <= identity.schemes and (way or identity.trusts_header)]
    paths = document["paths"]
    if is_open:
        paths = {path: _without_operator(item) for path, item in paths.items()}
    return {**document, "security": ways, "paths": paths, "components": {**components, "securitySchemes": schemes}}


def _without_operator(item: dict[str, Any]) -> dict[str, Any]:
    """The path item, open to everybody where it asks for the operator's credential."""
    return {
        method: {**operation, "security": []} if {"operator": []} in operation.get("security", ()) else operation
        for method, operation in item.items()
        if isinstance(operation, dict)
    } | {key: value for key, value in item.items() if not isinstance(value, dict)}
