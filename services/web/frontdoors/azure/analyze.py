"""`POST .../documentModels/{model}:analyze`: begin to read a document."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from libs.jobstate.intake import Options
from services.serving.problem import Problem
from services.web.auth import User
from services.web.auth.identity import get_user_of_client
from services.web.frontdoors import document
from services.web.frontdoors.azure.asked import check_model, wanted
from services.web.frontdoors.document import Document
from services.web.frontdoors.door import public_base
from services.web.frontdoors.reading import JOB_HEADER, Reading, start_reading
from services.web.service import web
from services.web.upload.admission import read_options

#: Seconds after which a client asks for the result again. Chosen: a page takes about one; without the header the SDK
#: waits much longer.
POLL_SECONDS = 1

_HINT = 'Send the document as the raw body, or as {"base64Source": "..."}.'


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The JSON body."""

    base64_source: str | None = None
    url_source: str | None = None


async def analyze(request: Request) -> Response:
    """202, and the address of the result. Raises `Problem`."""
    user = await get_user_of_client(request)
    model = request.path_params["model"]
    check_model(model)
    asked = wanted(request.query_params)
    options = await read_options(web(request), {"pages": request.query_params.get("pages", "")})
    reading = await _begun(request, user, options)
    address = f"{public_base(request)}/documentintelligence/documentModels/{model}/analyzeResults/{reading.job_id}"
    headers = {
        "Operation-Location": f"{address}?{asked.query()}",
        "Retry-After": str(POLL_SECONDS),
        JOB_HEADER: reading.job_id,
    }
    return Response(status_code=202, headers=headers)


async def _begun(request: Request, user: User, options: Options) -> Reading:
    """The reading of the body itself, or of what its JSON has or names."""
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/json":
        return await start_reading(request, user, document.raw(request), options)
    async with document.held_json(request, Body, hint=_HINT) as body:
        return await start_reading(request, user, _document(request, body), options)


def _document(request: Request, body: Body) -> Document:
    if body.base64_source is not None:
        return document.held(document.of_base64(body.base64_source))
    if body.url_source is None:
        raise Problem(422, "No document", "The body has neither base64Source nor urlSource.", _HINT)
    if body.url_source[:5].lower() == "data:":
        return document.of_data_url(body.url_source)
    return document.of_address(request, body.url_source)
