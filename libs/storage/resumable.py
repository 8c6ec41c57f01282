"""One resumable upload to Cloud Storage: an object in blocks, visible only once it is whole."""

import base64
import re
import threading
from contextlib import suppress
from typing import Any

import google_crc32c
import requests
from google.api_core import exceptions as api

from libs.storage.errors import Unavailable
from libs.storage.retries import TIMEOUT, patient, translated

#: Every block but the last is a multiple of so many bytes
#: (https://cloud.google.com/storage/docs/performing-resumable-uploads).
UNIT_BYTES = 1 << 18

_KEPT = re.compile(r"bytes=0-(\d+)")
_INCOMPLETE = 308
_GONE = {404, 410, 499}
#: Statuses for a session that has ended already; 499 also answers the request that ends it.
OVER = _GONE | {400, 412}


class Upload:
    """An open upload session. Its methods block; they may be called from any thread and run one at a time.

    The client's own writer is not used: after a fault it repeats a block without asking how much of it was kept, and
    fails where a part was.
    """

    def __init__(self, session: requests.Session, path: str, url: str) -> None:
        self._session = session
        self._path = path
        self._url = url
        self._turn = threading.Lock()
        self._checksum = google_crc32c.Checksum()
        self._sent = 0  # bytes of the blocks before the current one
        self._kept = 0  # bytes that the service reports as stored
        self._unsure = False

    def send(self, block: bytes, last: bool) -> int:
        """Send a block, with retries. Returns the generation of the object after the last block, and 0 before.

        A fault may hide that the last block did arrive: the next attempt asks the service, which then returns the
        finished object. Raises `PreconditionFailed`, `Unavailable`.
        """
        with self._turn, translated(self._path):
            self._checksum.update(block)
            try:
                made: dict[str, Any] | None = patient()(self._step)(block, last)
            except api.ClientError as error:
                if error.code in _GONE:
                    raise Unavailable(self._path, "the upload session has gone; write the object again") from error
                raise
            self._sent += len(block)
            return 0 if made is None else int(made["generation"])

    def abandon(self) -> None:
        """Cancel the upload. Where the service cannot be reached, the upload expires there within a week."""
        with self._turn, suppress(requests.RequestException):
            self._session.delete(self._url, timeout=TIMEOUT)

    def _step(self, block: bytes, last: bool) -> dict[str, Any] | None:
        """One attempt at the rest of the block; after a fault it first asks how much is stored."""
        end = self._sent + len(block)
        try:
            if self._unsure and (made := self._put(b"", "bytes */*")) is not None:
                return made
            self._unsure = False
            while last or self._kept < end:
                before = self._kept
                made = self._put(block[before - self._sent :], _content_range(before, end, last), finishes=last)
                if made is not None:
                    return made
                if self._kept == before:
                    raise api.ServiceUnavailable("Nothing of the block was kept.")
            return None
        except Exception:
            # The bucket may have stored the block, whatever failed: the next attempt has to ask first.
            self._unsure = True
            raise

    def _put(self, content: bytes, content_range: str, *, finishes: bool = False) -> dict[str, Any] | None:
        headers = {"Content-Range": content_range}
        if finishes:
            digest = base64.b64encode(self._checksum.digest()).decode()
            headers["X-Goog-Hash"] = f"crc32c={digest}"
        answer = self._session.put(self._url, data=content, headers=headers, timeout=TIMEOUT, allow_redirects=False)
        if answer.status_code in (200, 201):
            made: dict[str, Any] = answer.json()
            return made
        if answer.status_code != _INCOMPLETE:
            # Not `from_http_response`: that error's text contains the address, which is a secret.
            raise api.from_http_status(answer.status_code, "The upload session refused the request.")
        found = _KEPT.fullmatch(answer.headers.get("Range", ""))
        kept = int(found[1]) + 1 if found else 0
        if kept < self._sent:
            raise Unavailable(self._path, "the service lost part of the upload; write the object again")
        self._kept = kept
        return None


def _content_range(start: int, end: int, last: bool) -> str:
    total = str(end) if last else "*"
    return f"bytes {start}-{end - 1}/{total}" if start < end else f"bytes */{total}"
