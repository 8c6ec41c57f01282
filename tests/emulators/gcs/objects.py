"""Everything but bytes in: get, list, delete, patch, compose, copy."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from tests.emulators.gcs.bucket import Bucket, Object
from tests.emulators.gcs.conditions import Conditions, conditions, whole_number
from tests.emulators.gcs.content import Content
from tests.emulators.gcs.refusal import Refusal, invalid
from tests.emulators.gcs.resource import SETTINGS, content_headers, object_resource, selected
from tests.emulators.gcs.uploads import decode_json, describe, resource_answer

LIST_LIMIT = 1000
COMPOSE_LIMIT = 32
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def get(request: Request, bucket: Bucket, name: str, base: str) -> Response:
    """Metadata, or with `alt=media` the content or a range of it."""
    query = request.query_params
    found = bucket.get(name, generation_of(query), conditions(query))
    if query.get("alt") == "media":
        return content_answer(request, found)
    return resource_answer(bucket, found, base, query)


def content_answer(request: Request, found: Object) -> Response:
    """200, 206 or 416."""
    headers, size = content_headers(found), found.content.size
    start, stop = 0, size
    if match := _RANGE.fullmatch(request.headers.get("Range", "")):
        start, stop = _asked(match[1], match[2], size)
        if start >= size:
            text = f"Request range not satisfiable: {start}-"
            return Response(text, 416, headers={"Content-Range": f"bytes */{size}"}, media_type="text/html")
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    status = 206 if "Content-Range" in headers else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)
    return StreamingResponse(found.content.read(start, stop), status, headers=headers)


def list_objects(request: Request, bucket: Bucket, base: str) -> Response:
    """One page."""
    query = request.query_params
    token = query.get("pageToken")
    limit = whole_number(query.get("maxResults", str(LIST_LIMIT)), "maxResults")
    page = bucket.list(
        prefix=query.get("prefix", ""),
        delimiter=query.get("delimiter", ""),
        start=query.get("startOffset", ""),
        end=query.get("endOffset", ""),
        after=_decoded(token) if token else None,
        limit=min(limit or LIST_LIMIT, LIST_LIMIT),
        trailing=query.get("includeTrailingDelimiter") == "true",
    )
    answer: dict[str, Any] = {"kind": "storage#objects"}
    if page.after is not None:
        answer["nextPageToken"] = base64.urlsafe_b64encode(page.after.encode()).decode()
    if page.prefixes:
        answer["prefixes"] = page.prefixes
    if page.objects:
        answer["items"] = [object_resource(bucket.name, found, base) for found in page.objects]
    return JSONResponse(selected(answer, query.get("fields", "")))


def delete(request: Request, bucket: Bucket, name: str) -> Response:
    """204."""
    bucket.delete(name, generation_of(request.query_params), conditions(request.query_params))
    return Response(status_code=204)


async def patch(request: Request, bucket: Bucket, name: str, base: str) -> Response:
    """`PATCH` merges, with null to remove; `PUT` replaces."""
    body = decode_json(await request.body())
    found = bucket.get(name, generation_of(request.query_params))
    merging = request.method == "PATCH"
    metadata = dict(found.metadata) if merging else {}
    if body.get("metadata") is None and "metadata" in body:
        metadata = {}
    for key, value in (body.get("metadata") or {}).items():
        metadata.pop(key, None) if value is None else metadata.update({key: value})
    settings = dict(found.settings) if merging else {}
    for key in SETTINGS:
        if key in body:
            settings.pop(key, None) if body[key] is None else settings.update({key: body[key]})
    changed = bucket.patch(
        name,
        conditions(request.query_params),
        metadata=metadata,
        settings=settings,
        content_type=body.get("contentType") or found.content_type,
    )
    return resource_answer(bucket, changed, base, request.query_params)


async def compose(request: Request, bucket: Bucket, name: str, base: str) -> Response:
    """Join up to 32 objects of the bucket into one."""
    body = decode_json(await request.body())
    sources = body.get("sourceObjects") or []
    if not 1 <= len(sources) <= COMPOSE_LIMIT:
        raise invalid(f"The number of source components provided ({len(sources)}) is not from 1 to {COMPOSE_LIMIT}.")
    found = []
    for source in sources:
        wanted = source.get("generation")
        part = bucket.get(source["name"], int(wanted) if wanted else None)
        rule = (source.get("objectPreconditions") or {}).get("ifGenerationMatch")
        Conditions(generation_match=None if rule is None else int(rule)).check(part.generation, part.metageneration)
        found.append(part)
    content = Content()
    for part in found:
        for chunk in part.content.read():
            content.append(chunk)
    description = describe({**(body.get("destination") or {}), "name": name}, {}, found[0].content_type)
    made = bucket.put(
        name,
        content,
        conditions(request.query_params),
        content_type=description.content_type,
        metadata=description.metadata,
        settings=description.settings,
        components=sum(part.components or 1 for part in found),
    )
    return resource_answer(bucket, made, base, request.query_params)


async def copy(
    request: Request, source: Bucket, name: str, target: Bucket, new_name: str, base: str, *, rewrite: bool
) -> Response:
    """`copyTo`, and `rewriteTo` which here always ends in one call."""
    query = request.query_params
    body = decode_json(await request.body())
    wanted = query.get("sourceGeneration")
    found = source.get(name, whole_number(wanted, "sourceGeneration") if wanted else None)
    conditions(query, "Source").check(found.generation, found.metageneration)
    content = Content()
    for chunk in found.content.read():
        content.append(chunk)
    made = target.put(
        new_name,
        content,
        conditions(query),
        content_type=body.get("contentType") or found.content_type,
        metadata=body.get("metadata", found.metadata),
        settings={key: body[key] for key in SETTINGS if key in body} if body else found.settings,
        components=found.components,
    )
    resource = object_resource(target.name, made, base)
    if rewrite:
        size = str(content.size)
        resource = {
            "kind": "storage#rewriteResponse",
            "totalBytesRewritten": size,
            "objectSize": size,
            "done": True,
            "resource": resource,
        }
    return JSONResponse(selected(resource, query.get("fields", "")))


def generation_of(query: Mapping[str, str]) -> int | None:
    """The generation that the request names. Raises `Refusal` 400."""
    return whole_number(query["generation"], "generation") if "generation" in query else None


def _asked(first: str, last: str, size: int) -> tuple[int, int]:
    if not first:
        return max(0, size - int(last or 0)), size
    return int(first), size if not last else min(int(last) + 1, size)


def _decoded(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError as error:
        raise Refusal(400, "invalid", "Invalid page token.", locationType="parameter", location="pageToken") from error
