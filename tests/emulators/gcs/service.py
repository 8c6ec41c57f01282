"""The service: which request is which, and the answer to it."""

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import unquote

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from tests.emulators.gcs import objects, uploads
from tests.emulators.gcs.bucket import Bucket
from tests.emulators.gcs.conditions import Conditions, conditions
from tests.emulators.gcs.refusal import Refusal, no_bucket
from tests.emulators.gcs.resource import bucket_resource

_SHORT = "short"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came in, and its status; 0 for one that was never answered."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    status: int


class Service:
    """Buckets, open uploads, and the last requests. An ASGI application."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.sessions: dict[str, uploads.Session] = {}
        self.calls: deque[Call] = deque(maxlen=100_000)
        self.shares = True  # with the page that a session is opened for, as a bucket does whose settings allow it

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            answer = await self._answer(request)
        except Refusal as refusal:
            # What is left of the body is read, or the client would meet a broken connection and not the answer.
            await _drain(request)
            answer = refusal.answer(media=request.query_params.get("alt") == "media")
        except ClientDisconnect:
            self._note(request, 0)
            return
        self._note(request, answer.status_code)
        with suppress(ClientDisconnect):
            await answer(scope, receive, send)

    def _note(self, request: Request, status: int) -> None:
        self.calls.append(
            Call(
                method=request.method,
                path=request.url.path,
                query=dict(request.query_params),
                headers=dict(request.headers),
                status=status,
            )
        )

    async def _answer(self, request: Request) -> Response:
        base = f"{request.url.scheme}://{request.headers['Host']}"
        path = [unquote(part) for part in request.scope["raw_path"].decode("ascii").split("/")[1:]]
        match request.method, path:
            case _, ["upload" | "resumable", "storage", "v1", "b", bucket, "o"]:
                return await self._upload(request, self._bucket(bucket), base)
            case "POST", ["storage", "v1", "b"]:
                return await self._make_bucket(request, base)
            case "GET", ["storage", "v1", "b", bucket]:
                return JSONResponse(bucket_resource(self._bucket(bucket), base))
            case "GET", ["storage", "v1", "b", bucket, "o"]:
                return objects.list_objects(request, self._bucket(bucket), base)
            case "POST", ["storage", "v1", "b", bucket, "o", name, "compose"]:
                return await objects.compose(request, self._bucket(bucket), name, base)
            case "POST", [
                "storage",
                "v1",
                "b",
                bucket,
                "o",
                name,
                "rewriteTo" | "copyTo" as verb,
                "b",
                other,
                "o",
                new,
            ]:
                source, target = self._bucket(bucket), self._bucket(other)
                return await objects.copy(request, source, name, target, new, base, rewrite=verb == "rewriteTo")
            case "GET", [*way, "v1", "b", bucket, "o", name] if way in (["storage"], ["download", "storage"]):
                return objects.get(request, self._bucket(bucket), name, base)
            case "DELETE", ["storage", "v1", "b", bucket, "o", name]:
                return objects.delete(request, self._bucket(bucket), name)
            case "PATCH" | "PUT", ["storage", "v1", "b", bucket, "o", name]:
                return await objects.patch(request, self._bucket(bucket), name, base)
        raise Refusal(404, "notFound", "Not Found")

    def _bucket(self, name: str) -> Bucket:
        try:
            return self.buckets[name]
        except KeyError:
            raise no_bucket() from None

    async def _make_bucket(self, request: Request, base: str) -> Response:
        name = str(uploads.decode_json(await request.body()).get("name", ""))
        if not name:
            raise Refusal(400, "required", "Required", locationType="parameter", location="name")
        if name in self.buckets:
            raise Refusal(409, "conflict", "Your previous request to create the named bucket succeeded and you own it.")
        self.buckets[name] = Bucket(name)
        return JSONResponse(bucket_resource(self.buckets[name], base))

    async def _upload(self, request: Request, bucket: Bucket, base: str) -> Response:
        query = request.query_params
        if "upload_id" in query:
            return await self._resume(request, query["upload_id"], base)
        match request.method, query.get("uploadType"):
            case "POST", "media":
                made = await uploads.insert_media(request, bucket)
                return uploads.resource_answer(bucket, made, base, query)
            case "POST", "multipart":
                made = await uploads.insert_multipart(request, bucket)
                return uploads.resource_answer(bucket, made, base, query)
            case "POST", "resumable":
                resource = uploads.decode_json(await request.body())
                kind = request.headers.get("X-Upload-Content-Type", "")
                description = uploads.describe(resource, query, kind)
                return self._open(request, bucket, description, conditions(query), base)
        raise Refusal(400, "invalid", "Invalid upload request.", locationType="parameter", location="uploadType")

    def _open(
        self, request: Request, bucket: Bucket, description: uploads.Description, rules: Conditions, base: str
    ) -> Response:
        bucket.check(description.name, rules)
        session = uploads.Session(bucket, description, rules, request)
        if not self.shares:
            session.origin = None
        self.sessions[session.id] = session
        address = f"{base}/upload/storage/v1/b/{bucket.name}/o?uploadType=resumable&upload_id={session.id}"
        return Response(headers={"Location": address, "X-GUploader-UploadID": session.id, **_shared(request, session)})

    async def _resume(self, request: Request, upload_id: str, base: str) -> Response:
        session = self.sessions.get(upload_id)
        if session is None:
            raise Refusal(404, "notFound", "No such upload session.")
        if request.method == "OPTIONS":
            return Response(headers=_shared(request, session))
        if request.method == "DELETE":
            session.cancel()
            return Response(status_code=499)
        at_most = int(request.headers.get("Content-Length", "0")) // 2 if request.scope.get(_SHORT) else None
        made = await session.take(request, at_most=at_most)
        if made is None:
            answer = session.answer()
        else:
            answer = uploads.resource_answer(session.bucket, made, base, request.query_params)
        answer.headers.update(_shared(request, session))
        return answer


def shorten(scope: Scope) -> None:
    """Let the service keep only half of this request's chunk."""
    scope[_SHORT] = True


async def _drain(request: Request) -> None:
    with suppress(
        RuntimeError, ClientDisconnect
    ):  # a handler has begun to read it, and Starlette hands a stream out only once
        async for _ in request.stream():
            pass


def _shared(request: Request, session: uploads.Session) -> dict[str, str]:
    """What a browser needs to see; only the page that the session was opened for gets it."""
    origin = request.headers.get("Origin")
    if origin is None or origin != session.origin:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "PUT, POST, DELETE",
        "Access-Control-Allow-Headers": "Content-Type, Content-Range",
        "Access-Control-Expose-Headers": "Content-Length, Range, X-GUploader-UploadID",
        "Vary": "Origin",
    }
