"""Bytes in: in one request (media, multipart), or in a resumable session."""

import re
import secrets
from collections.abc import AsyncIterator, Mapping
from email.message import Message
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests.emulators.gcs.bucket import Bucket, Object
from tests.emulators.gcs.conditions import Conditions, conditions
from tests.emulators.gcs.content import Content
from tests.emulators.gcs.refusal import Refusal, invalid
from tests.emulators.gcs.resource import SETTINGS, object_resource, selected

UNIT_BYTES = 1 << 18
MULTIPART_BYTES = 64 << 20
_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """What a writer says of the object to be."""

    name: str
    content_type: str
    metadata: dict[str, str]
    settings: dict[str, str]
    crc32c: str | None = None
    md5: str | None = None

    def put(self, bucket: Bucket, content: Content, rules: Conditions, hashes: str = "") -> Object:
        """Make the object, if its checksums are what the writer said. Raises `Refusal`."""
        stated = {"crc32c": self.crc32c, "md5": self.md5} | _hashes(hashes)
        for kind, found in (("crc32c", content.crc32c), ("md5", content.md5)):
            if stated[kind] not in (None, found):
                label = {"crc32c": "CRC32C", "md5": "MD5 hash"}[kind]
                raise invalid(f'Provided {label} "{stated[kind]}" doesn\'t match calculated {label} "{found}".')
        return bucket.put(
            self.name,
            content,
            rules,
            content_type=self.content_type,
            metadata=self.metadata,
            settings=self.settings,
        )


def describe(resource: Mapping[str, Any], query: Mapping[str, str], content_type: str) -> Description:
    """From the resource in the body and the name in the query. Raises `Refusal` 400."""
    name = query.get("name") or resource.get("name")
    if not name:
        raise Refusal(400, "required", "Required parameter: name", locationType="parameter", location="name")
    if len(name.encode()) > 1024 or "\n" in name or "\r" in name or name in (".", ".."):
        raise invalid(f"Invalid object name: {name}")
    return Description(
        name=name,
        content_type=resource.get("contentType") or content_type or "application/octet-stream",
        metadata=dict(resource.get("metadata") or {}),
        settings={key: resource[key] for key in SETTINGS if key in resource},
        crc32c=resource.get("crc32c"),
        md5=resource.get("md5Hash"),
    )


async def insert_media(request: Request, bucket: Bucket) -> Object:
    """`uploadType=media`: the body is the object."""
    description = describe({}, request.query_params, request.headers.get("Content-Type", ""))
    content = await received(request.stream())
    return description.put(bucket, content, conditions(request.query_params), request.headers.get("X-Goog-Hash", ""))


async def insert_multipart(request: Request, bucket: Bucket) -> Object:
    """`uploadType=multipart`: one part describes the object, the other is it. Held in memory, at most 64 MiB."""
    header = Message()
    header["Content-Type"] = request.headers.get("Content-Type", "")
    boundary = header.get_param("boundary")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MULTIPART_BYTES:
            raise Refusal(413, "uploadTooLarge", "Payload too large; use a resumable upload.")
    parts = body.split(b"\r\n--" + str(boundary).encode()) if isinstance(boundary, str) else []
    if len(parts) != 3 or not parts[2].startswith(b"--"):
        raise invalid("Malformed multipart body.")
    head, _, described = parts[0].partition(b"\r\n\r\n")
    kind, _, data = parts[1].partition(b"\r\n\r\n")
    if b"json" not in head.lower():
        raise invalid("Malformed multipart body.")
    description = describe(decode_json(described), request.query_params, _part_type(kind))
    content = Content()
    content.append(data)
    return description.put(bucket, content, conditions(request.query_params))


class Session:
    """A resumable upload: what has been kept so far, and what becomes of it."""

    def __init__(self, bucket: Bucket, description: Description, rules: Conditions, request: Request) -> None:
        length = request.headers.get("X-Upload-Content-Length")
        self.id = secrets.token_urlsafe(24)
        self.bucket = bucket
        self.description = description
        self.rules = rules
        self.origin = request.headers.get("Origin")
        self.length = int(length) if length else None
        self.content = Content()
        self.made: Object | None = None
        self.cancelled = False

    @property
    def is_open(self) -> bool:
        """Whether bytes may still come."""
        return self.made is None and not self.cancelled

    async def take(self, request: Request, *, at_most: int | None = None) -> Object | None:
        """Take one request's bytes; the object when it is whole. `at_most` keeps only part of a chunk.

        Raises `Refusal`. What a broken connection brought is kept in whole units, as the real service may do.
        """
        if self.cancelled:
            raise Refusal(499, "clientClosedRequest", "The upload was cancelled.")
        if self.made is not None:
            await _drained(request)
            return self.made
        start, end, total = self._announced(request)
        if start is None or end is None:
            await _drained(request)
        else:
            await self._keep(request, start, end, at_most)
        if total is not None and self.content.size == total:
            self._finish(request)
        return self.made

    def cancel(self) -> None:
        """Nothing of it will be seen."""
        self.cancelled = True
        self.content = Content()

    def answer(self) -> Response:
        """308: go on behind what has been kept."""
        headers = {"X-GUploader-UploadID": self.id, "Content-Length": "0"}
        if self.content.size:
            headers["Range"] = f"bytes=0-{self.content.size - 1}"
        return Response(status_code=308, headers=headers)

    def _announced(self, request: Request) -> tuple[int | None, int | None, int | None]:
        """First byte, byte behind the last one, and size of the whole object, as far as the request says them."""
        text = request.headers.get("Content-Range")
        if text is None:
            length = int(request.headers.get("Content-Length", "0"))
            self._check_total(length)
            return 0, length, length
        if (match := _RANGE.fullmatch(text)) is None:
            raise invalid(f"Failed to parse Content-Range header: {text}")
        total = self.length if match[3] == "*" else int(match[3])
        if total is not None:
            self._check_total(total)
        if match[1] is None:
            # A question. With the size it also ends an upload that has all its bytes.
            return None, None, None if match[3] == "*" else total
        start, end = int(match[1]), int(match[2]) + 1
        if start > self.content.size:
            raise Refusal(
                503,
                "backendError",
                f"Invalid request. According to the Content-Range header, the upload offset is {start} byte(s), "
                f"which exceeds already uploaded size of {self.content.size} byte(s).",
            )
        if (total is None or end != total) and (end - start) % UNIT_BYTES:
            raise invalid(
                f"Invalid request. There were {end - start} byte(s) in the request body. There should have been a "
                f"multiple of {UNIT_BYTES}, since this is not the end of the upload."
            )
        return start, end, total

    def _check_total(self, total: int) -> None:
        if self.length not in (None, total):
            raise invalid(f"The total {total} is not the {self.length} bytes announced at the start.")

    async def _keep(self, request: Request, start: int, end: int, at_most: int | None) -> None:
        known = self.content.size - start
        room = end - start if at_most is None else at_most // UNIT_BYTES * UNIT_BYTES
        pending = b""
        async for chunk in request.stream():
            fresh = chunk[known:][:room]
            known -= min(known, len(chunk))
            room -= len(fresh)
            pending += fresh
            units = len(pending) // UNIT_BYTES * UNIT_BYTES
            self.content.append(pending[:units])
            pending = pending[units:]
        if at_most is None:
            self.content.append(pending)
            if self.content.size != end:
                raise invalid("The body is not as long as Content-Range says.")

    def _finish(self, request: Request) -> None:
        try:
            self.made = self.description.put(
                self.bucket, self.content, self.rules, request.headers.get("X-Goog-Hash", "")
            )
        except Refusal as refusal:
            # Refused for pace, the upload stands and may be ended a moment later.
            self.cancelled = refusal.status != 429
            raise


def resource_answer(bucket: Bucket, made: Object, base: str, query: Mapping[str, str]) -> Response:
    """200 and the resource."""
    return JSONResponse(selected(object_resource(bucket.name, made, base), query.get("fields", "")))


def decode_json(body: bytes) -> dict[str, Any]:
    """Raises `Refusal` 400."""
    if not body.strip():
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise Refusal(400, "parseError", "Parse Error") from error


async def received(chunks: AsyncIterator[bytes]) -> Content:
    """The bytes of a body."""
    content = Content()
    async for chunk in chunks:
        content.append(chunk)
    return content


async def _drained(request: Request) -> None:
    async for _ in request.stream():
        pass


def _part_type(head: bytes) -> str:
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-type":
            return value.strip()
    return ""


def _hashes(header: str) -> dict[str, str]:
    pairs = (part.strip().partition("=") for part in header.split(",") if part.strip())
    return {kind: value for kind, _, value in pairs if kind in ("crc32c", "md5")}
