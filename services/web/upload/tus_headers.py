"""The headers of tus 1.0 (https://tus.io/protocols/resumable-upload): decoded and encoded. Pure."""

import base64
import binascii
import hashlib
import re
from datetime import datetime
from email.utils import format_datetime
from typing import Any

import msgspec

from services.serving.problem import Problem

#: The version of the protocol.
VERSION = "1.0.0"
#: The extensions of the protocol that are implemented.
EXTENSIONS = "creation,creation-with-upload,creation-defer-length,termination,checksum,expiration"
#: The algorithms of `Upload-Checksum`.
ALGORITHMS = ("sha1", "sha256")
#: The `Content-Type` of a body with bytes of an upload.
BODY_TYPE = "application/offset+octet-stream"

_KEY = re.compile(r"[!-+\--~]{1,100}")  # printable ASCII without blanks and commas
_HINT = "Use a tus 1.0 client, or see https://tus.io/protocols/resumable-upload."


class Checksum(msgspec.Struct, frozen=True, kw_only=True):
    """The hash that the body of a request must have."""

    algorithm: str
    digest: bytes

    def hasher(self) -> Any:
        """A new hash of the algorithm."""
        return hashlib.new(self.algorithm, usedforsecurity=False)


def read_number(name: str, text: str) -> int:
    """The value of the header `name`: a count of bytes. Raises `Problem` 400."""
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise bad_header(f"{name} is not a whole number.")
    return int(text)


def read_metadata(text: str) -> dict[str, str]:
    """`Upload-Metadata`: pairs of a key and a Base64 value, separated by commas. Raises `Problem` 400."""
    fields: dict[str, str] = {}
    for pair in filter(None, (pair.strip() for pair in text.split(","))):
        key, _, value = pair.partition(" ")
        if not _KEY.fullmatch(key) or key in fields:
            raise bad_header("Upload-Metadata has a key that is malformed or comes twice.")
        try:
            fields[key] = base64.b64decode(value.strip(), validate=True).decode("utf-8", "replace")
        except binascii.Error as error:
            raise bad_header("Upload-Metadata has a value that is not Base64.") from error
    return fields


def without_key(text: str, key: str) -> str:
    """`Upload-Metadata` without one of its pairs."""
    return ",".join(pair for pair in text.split(",") if pair.strip().partition(" ")[0] != key)


def read_checksum(text: str) -> Checksum:
    """`Upload-Checksum`: an algorithm and a digest in Base64. Raises `Problem` 400."""
    algorithm, _, value = text.strip().partition(" ")
    if algorithm not in ALGORITHMS:
        raise bad_header(f"Upload-Checksum names an algorithm other than {' and '.join(ALGORITHMS)}.")
    try:
        digest = base64.b64decode(value.strip(), validate=True)
    except binascii.Error as error:
        raise bad_header("Upload-Checksum is not Base64.") from error
    if len(digest) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise bad_header("Upload-Checksum has the wrong length for its algorithm.")
    return Checksum(algorithm=algorithm, digest=digest)


def http_date(at: datetime) -> str:
    """A UTC time as RFC 9110 writes it."""
    return format_datetime(at.replace(microsecond=0), usegmt=True)


def bad_header(detail: str) -> Problem:
    """400 for a header that does not follow the protocol."""
    return Problem(400, "Bad upload", detail, _HINT)
