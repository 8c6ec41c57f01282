"""A bucket of Google Cloud Storage, by blocking calls that return and raise the storage's own types."""

import os
import secrets
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.cloud.storage import Client

from libs.storage.errors import NotFound, PreconditionFailed, TooFast, Unavailable
from libs.storage.resumable import OVER, Upload
from libs.storage.retries import TIMEOUT, Doubt, patient, translated
from libs.storage.servertime import ServerTime
from libs.storage.store import Stat

#: Objects in one page of a listing. Cloud Storage returns no more
#: (https://cloud.google.com/storage/docs/json_api/v1/objects/list).
PAGE_OBJECTS = 1000

_MARK = "writer"
_TYPE = "application/octet-stream"


class Bucket:
    """The official client, with every condition, timeout and retry given explicitly.

    Each small write carries a random mark in the object's metadata. When an attempt ended without an answer and a later
    one is refused, the mark shows whether the object is our own: then the write has succeeded.
    """

    def __init__(self, name: str, *, connections: int) -> None:
        """Use the credentials of the environment, or `STORAGE_EMULATOR_HOST`. No request is made."""
        #: The clock of Cloud Storage, by its answers.
        self.time = ServerTime()
        # Otherwise the client looks the bucket up for its traces, beside our requests and once more after each object
        # that is not there, in threads that nobody ends.
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        self._client = Client()
        self._session: requests.Session = self._client._http
        # The default pool keeps 10 connections and throws the others away after each request.
        adapter = requests.adapters.HTTPAdapter(pool_connections=4, pool_maxsize=connections)
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)
        self._session.hooks["response"].append(self._hear)
        self._objects = self._client.bucket(name)
        #: Scheme and host of the addresses of uploads.
        self.origin = str(self._client.api_endpoint)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def stat(self, path: str) -> Stat:
        """Raises `NotFound`."""
        return _stat(self._find(path))

    def read(self, path: str) -> tuple[bytes, int]:
        """The whole object, checked against its checksum, and its generation. Raises `NotFound`."""
        blob = self._objects.blob(path)
        with translated(path):
            data = blob.download_as_bytes(raw_download=True, timeout=TIMEOUT, checksum="crc32c", retry=patient())
        return data, int(blob.generation)

    def piece(self, found: Stat, start: int, stop: int) -> bytes:
        """Bytes `start` to `stop` of this very generation. Raises `Unavailable` once it was replaced or deleted."""
        blob = self._objects.blob(found.path, generation=found.generation)
        try:
            with translated(found.path):
                piece: bytes = blob.download_as_bytes(
                    start=start, end=stop - 1, raw_download=True, timeout=TIMEOUT, checksum=None, retry=patient()
                )
        except NotFound as error:
            raise Unavailable(found.path, "replaced or deleted while it was read; read it again") from error
        if len(piece) != stop - start:
            raise Unavailable(found.path, f"{len(piece)} bytes came instead of {stop - start}; read it again")
        return piece

    def checksum(self, found: Stat) -> str:
        """The CRC-32C of this very generation, as Cloud Storage writes it. Raises `Unavailable` as `piece` does."""
        blob = self._objects.blob(found.path, generation=found.generation)
        try:
            with translated(found.path):
                blob.reload(timeout=TIMEOUT, retry=patient())
        except NotFound as error:
            raise Unavailable(found.path, "replaced or deleted while it was read; read it again") from error
        return str(blob.crc32c)

    def write(self, path: str, data: bytes, if_generation: int | None, retry: Callable[[Doubt], Retry]) -> int:
        """Write the object in one request; its generation. Raises `PreconditionFailed`, `TooFast`."""
        doubt, mark = Doubt(), secrets.token_hex(12)
        blob = self._objects.blob(path)
        blob.metadata = {_MARK: mark}
        try:
            with translated(path, creating=True):
                blob.upload_from_string(
                    data,
                    content_type=_TYPE,
                    if_generation_match=if_generation,
                    timeout=TIMEOUT,
                    checksum="crc32c",
                    retry=retry(doubt),
                )
        except (PreconditionFailed, TooFast):
            # `TooFast` counts, too: our own write of a moment ago may be what makes this attempt too fast.
            if doubt.is_real and (generation := self._own(path, mark)) is not None:
                return generation
            raise
        self.time.hear(blob.time_created)
        return int(blob.generation)

    def begin(self, path: str, if_generation: int | None) -> Upload:
        """Open an upload in blocks. Raises `PreconditionFailed` where another writer was faster already."""
        return Upload(self._session, path, self.session(path, if_generation=if_generation))

    def session(
        self,
        path: str,
        *,
        if_generation: int | None,
        origin: str | None = None,
        size: int | None = None,
    ) -> str:
        """The address of a new resumable upload. Raises `PreconditionFailed`."""
        with translated(path, creating=True):
            address: str = self._objects.blob(path).create_resumable_upload_session(
                content_type=_TYPE,
                size=size,
                origin=origin,
                if_generation_match=if_generation,
                timeout=TIMEOUT,
                checksum=None,  # the content is not known yet
                retry=patient(),
            )
        return address

    def end_session(self, path: str, address: str) -> None:
        """End the upload at `address`. An upload that has ended already is no error."""

        def ask() -> None:
            status = self._session.delete(address, timeout=TIMEOUT).status_code
            if status >= 300 and status not in OVER:
                # Not `from_http_response`: that error's text contains the address, which is a secret.
                raise api.from_http_status(status, "The upload session was not ended.")

        with translated(path, creating=True):
            patient()(ask)()

    def delete(self, path: str, if_generation: int | None) -> None:
        """Raises `NotFound`, `PreconditionFailed`."""
        # Always by generation: repeated after a lost answer, it must not delete what was written since.
        while True:
            generation = self.stat(path).generation if if_generation is None else if_generation
            doubt = Doubt()
            try:
                with translated(path):
                    self._objects.blob(path).delete(
                        if_generation_match=generation, timeout=TIMEOUT, retry=patient(doubt)
                    )
                return
            except NotFound:
                if doubt.is_real:
                    return
                raise
            except PreconditionFailed:
                if if_generation is not None:
                    raise
                if doubt.is_real:
                    return  # our deletion has succeeded, and the object that exists now was written since

    def objects(self, prefix: str) -> Iterator[list[Stat]]:
        """Pages of the objects whose path begins with `prefix`, in order."""
        fields = "items(name,size,generation,timeCreated),nextPageToken"
        for page in self._pages(prefix, fields=fields):
            yield [_stat(blob) for blob in page]

    def folders(self, prefix: str) -> Iterator[list[str]]:
        """Pages of the names of the folders directly below `prefix`, in order."""
        for page in self._pages(prefix, fields="prefixes,nextPageToken", delimiter="/"):
            yield [folder.removeprefix(prefix).removesuffix("/") for folder in sorted(page.prefixes)]

    def ask_time(self) -> None:
        """Make a request for the time in its answer: every answer carries it, also a 404."""
        try:
            self._find("system/time")
        except NotFound:
            return

    def _pages(self, prefix: str, **selection: str) -> Iterator[Any]:
        with translated(prefix, creating=True):
            yield from self._client.list_blobs(
                self._objects, prefix=prefix, page_size=PAGE_OBJECTS, timeout=TIMEOUT, retry=patient(), **selection
            ).pages

    def _find(self, path: str) -> Any:
        blob = self._objects.blob(path)
        with translated(path):
            blob.reload(timeout=TIMEOUT, retry=patient())
        return blob

    def _own(self, path: str, mark: str) -> int | None:
        """The generation of the object when it carries our mark."""
        try:
            blob = self._find(path)
        except NotFound:
            return None
        return int(blob.generation) if (blob.metadata or {}).get(_MARK) == mark else None

    def _hear(self, answer: requests.Response, *_: object, **__: object) -> None:
        if answer.status_code >= 400:
            # A download that is refused drops the answer unread before its retry, and with it the connection.
            answer.content  # noqa: B018 - reading it is the point
        if date := answer.headers.get("Date"):
            self.time.hear(parsedate_to_datetime(date))


def _stat(blob: Any) -> Stat:
    # `timeCreated` is of this generation; `updated` changes with any change of the metadata.
    return Stat(path=blob.name, size=blob.size or 0, generation=int(blob.generation), updated_at=blob.time_created)
