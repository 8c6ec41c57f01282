"""What the service says of an object or a bucket: the JSON resource, cut to `fields`, and the headers of content."""

import base64
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote

from tests.emulators.gcs.bucket import Bucket, Object
from tests.emulators.gcs.refusal import invalid

STORAGE_CLASS = "STANDARD"
# Kept as they came, and told again.
SETTINGS = ("cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "customTime")


def object_resource(bucket: str, found: Object, base: str) -> dict[str, Any]:
    """Numbers of 64 bits are strings, as in all of Google's JSON."""
    path = f"/storage/v1/b/{bucket}/o/{quote(found.name, safe='')}"
    resource: dict[str, Any] = {
        "kind": "storage#object",
        "id": f"{bucket}/{found.name}/{found.generation}",
        "selfLink": f"{base}{path}",
        "mediaLink": f"{base}/download{path}?generation={found.generation}&alt=media",
        "name": found.name,
        "bucket": bucket,
        "generation": str(found.generation),
        "metageneration": str(found.metageneration),
        "contentType": found.content_type,
        "storageClass": STORAGE_CLASS,
        "size": str(found.content.size),
        "crc32c": found.content.crc32c,
        "etag": etag(found),
        "timeCreated": stamp(found.created),
        "updated": stamp(found.updated),
        "timeStorageClassUpdated": stamp(found.created),
        "timeFinalized": stamp(found.created),
        **found.settings,
    }
    if found.components is None:
        resource["md5Hash"] = found.content.md5
    else:
        resource["componentCount"] = found.components
    if found.metadata:
        resource["metadata"] = found.metadata
    return resource


def bucket_resource(bucket: Bucket, base: str) -> dict[str, Any]:
    """The little that clients ask of a bucket."""
    return {
        "kind": "storage#bucket",
        "id": bucket.name,
        "selfLink": f"{base}/storage/v1/b/{bucket.name}",
        "name": bucket.name,
        "projectNumber": "0",
        "metageneration": "1",
        "location": "EUROPE-WEST1",
        "locationType": "region",
        "storageClass": STORAGE_CLASS,
        "etag": "CAE=",
        "timeCreated": stamp(bucket.created),
        "updated": stamp(bucket.created),
    }


def content_headers(found: Object) -> dict[str, str]:
    """The headers of a download."""
    hashes = f"crc32c={found.content.crc32c}"
    if found.components is None:
        hashes += f",md5={found.content.md5}"
    headers = {
        "Content-Type": found.content_type,
        "ETag": etag(found),
        "Last-Modified": format_datetime(found.updated, usegmt=True),
        "X-Goog-Generation": str(found.generation),
        "X-Goog-Metageneration": str(found.metageneration),
        "X-Goog-Hash": hashes,
        "X-Goog-Storage-Class": STORAGE_CLASS,
        "X-Goog-Stored-Content-Encoding": found.settings.get("contentEncoding", "identity"),
        "X-Goog-Stored-Content-Length": str(found.content.size),
        "Cache-Control": found.settings.get("cacheControl", "no-cache, no-store, max-age=0, must-revalidate"),
        "Content-Disposition": found.settings.get("contentDisposition", "attachment"),
        "Accept-Ranges": "bytes",
    }
    return headers | {f"X-Goog-Meta-{key}": value for key, value in found.metadata.items() if value.isascii()}


def etag(found: Object) -> str:
    """Changes with every generation and metageneration; says nothing else."""
    return base64.b64encode(found.generation.to_bytes(8, "big") + found.metageneration.to_bytes(2, "big")).decode()


def stamp(moment: datetime) -> str:
    """RFC 3339 with milliseconds."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def selected(resource: dict[str, Any], fields: str) -> dict[str, Any]:
    """The part of `resource` that the selector names, such as `items(name,size),nextPageToken` or `a/b`."""
    if not fields or fields == "*":
        return resource
    chosen: dict[str, Any] = {}
    for name, below in _parts(fields):
        if name in resource:
            value = resource[name]
            if below and isinstance(value, list):
                value = [selected(item, below) for item in value]
            elif below and isinstance(value, dict):
                value = selected(value, below)
            chosen[name] = value
    return chosen


def _parts(fields: str) -> list[tuple[str, str]]:
    depth, start, texts = 0, 0, []
    for at, letter in enumerate(f"{fields},"):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            texts.append(fields[start:at].strip())
            start = at + 1
    if depth:
        raise invalid(f"Invalid field selection {fields}", locationType="parameter", location="fields")
    return [_split(text) for text in texts if text]


def _split(text: str) -> tuple[str, str]:
    name, slash, below = text.partition("/")
    if slash and "(" not in name:
        return name, below
    name, _, below = text.partition("(")
    return name, below.removesuffix(")")
