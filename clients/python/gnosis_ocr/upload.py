"""Uploads by tus 1.0 (https://tus.io/protocols/resumable-upload): they go on after a break, at either end.

A document at an address is fetched by the service.
"""

import base64
import secrets
import time
from collections.abc import Callable, Mapping

import msgspec

from gnosis_ocr.errors import ApiError, Unreachable, UploadFailed
from gnosis_ocr.exchange import Answer, Flow, Pause, ReadFile, Request, ask, ask_for
from gnosis_ocr.models import JobState
from gnosis_ocr.source import Source

#: Bytes that one request sends. Chosen: 1 GB takes 128 requests, and a broken one repeats little.
PIECE_BYTES = 8 * 1024 * 1024
_VERSION = {"Tus-Resumable": "1.0.0"}
_BODY_TYPE = {"Content-Type": "application/offset+octet-stream"}
# Seconds that a piece may take to be stored once it has been sent; a disk that is busy takes some.
_STORING_SECONDS = 120.0
# Seconds that the service may take to fetch a document: its FETCH_SECONDS is 300 by default.
_FETCHING_SECONDS = 330.0
# The service has another offset, since an answer was lost or two processes send the same upload.
_OFFSET_CONFLICT = 409
_GONE = frozenset({403, 404, 410})


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """How far an upload is."""

    #: Names the upload; given as `resume`, it goes on, also from another process.
    upload_id: str
    #: Bytes that are stored.
    sent: int
    #: Bytes of the document.
    size: int


#: Called before each piece.
OnProgress = Callable[[Progress], None]


def upload_options(
    *, pages: str, dpi: int | None, engine: str, ocr: str, languages: str, password: str, webhook: str
) -> dict[str, str]:
    """The fields that the service reads; those that are empty are left out."""
    fields = {
        "pages": pages,
        "dpi": "" if dpi is None else str(dpi),
        "engine": engine,
        "ocr": ocr,
        "languages": languages,
        "password": password,
        "webhook": webhook,
    }
    return {name: value for name, value in fields.items() if value}


def upload_from(url: str, options: Mapping[str, str], *, patience: float) -> Flow[str]:
    """Let the service fetch the document; the id of its job. Raises `ApiError`, `Unreachable`."""
    boundary = secrets.token_hex(16)
    fields = {"url": url, **options}
    form = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        # Asked again after a lost answer, the service answers with the job that it has made.
        "Idempotency-Key": f'"{boundary}"',
    }
    body = f"{form}--{boundary}--\r\n".encode()
    request = Request(method="POST", path="/upload", headers=headers, body=body, timeout=_FETCHING_SECONDS)
    return (yield from ask_for(JobState, request, patience=patience)).job_id


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
    """What the service has of an upload."""

    offset: int
    #: None while the length is not known.
    length: int | None
    #: None until all bytes are there.
    job_id: str | None


def upload(
    source: Source,
    options: Mapping[str, str],
    *,
    resume: str | None,
    on_progress: OnProgress | None,
    patience: float,
) -> Flow[str]:
    """Send the document; the id of its job. Goes on after faults until `patience` seconds have brought no byte.

    Raises `ApiError`, `Unreachable`, `UploadFailed`, `OSError`.
    """
    upload_id, stored = "", None
    if resume:
        upload_id, stored = resume, (yield from _resumable(resume, source.size, patience=patience))
    if stored is None:
        upload_id = yield from _create(source, options, patience=patience)
        stored = _Stored(offset=0, length=source.size, job_id=None)
    moved = time.monotonic()
    while True:
        if on_progress is not None:
            on_progress(Progress(upload_id=upload_id, sent=stored.offset, size=source.size))
        if stored.job_id is not None:
            return stored.job_id
        try:
            now = yield from _send_piece(upload_id, source, stored.offset)
        except (ApiError, Unreachable) as error:
            wait = _wait_after(error)
            if wait is None or time.monotonic() + wait > moved + patience:
                raise
            yield Pause(wait)
            now = yield from _look(upload_id, patience=max(0.0, moved + patience - time.monotonic()))
        if now.offset > stored.offset:
            moved = time.monotonic()
        stored = now


def _wait_after(error: ApiError | Unreachable) -> float | None:
    """Seconds after which the upload may go on; None for a refusal."""
    if isinstance(error, Unreachable):
        return 0.2
    if error.is_temporary or error.status == _OFFSET_CONFLICT:
        return max(0.2, error.retry_after or 0.0)
    return None


def _create(source: Source, options: Mapping[str, str], *, patience: float) -> Flow[str]:
    """A new, empty upload; its id. One whose answer is lost has no bytes, and the service gives it up by itself."""
    fields = {"filename": source.filename, **options}
    metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in fields.items())
    headers = {**_VERSION, "Upload-Length": str(source.size), "Upload-Metadata": metadata}
    answer = yield from ask(Request(method="POST", path="/api/uploads", headers=headers), patience=patience)
    # By its last part: behind a proxy the address that the service knows may not be the one that leads there.
    return answer.headers["location"].rsplit("/", 1)[-1]


def _resumable(upload_id: str, size: int, *, patience: float) -> Flow[_Stored | None]:
    """What is stored of an earlier upload; None where it is gone, or of a document of another size."""
    try:
        stored = yield from _look(upload_id, patience=patience)
    except ApiError as error:
        if error.status in _GONE:
            return None
        raise
    return stored if stored.length == size else None


def _look(upload_id: str, *, patience: float) -> Flow[_Stored]:
    request = Request(method="HEAD", path=f"/api/uploads/{upload_id}", headers=_VERSION)
    return _stored((yield from ask(request, patience=patience)))


def _send_piece(upload_id: str, source: Source, offset: int) -> Flow[_Stored]:
    piece: bytes = yield ReadFile(source.file, source.start + offset, min(PIECE_BYTES, source.size - offset))
    if not piece and offset < source.size:
        raise UploadFailed(f"{source.filename} became shorter while it was read. Upload it again.")
    request = Request(
        method="PATCH",
        path=f"/api/uploads/{upload_id}",
        headers={**_VERSION, **_BODY_TYPE, "Upload-Offset": str(offset)},
        body=piece,
        timeout=_STORING_SECONDS,
    )
    return _stored((yield from ask(request, patience=0.0)))


def _stored(answer: Answer) -> _Stored:
    length = answer.headers.get("upload-length")
    return _Stored(
        offset=int(answer.headers["upload-offset"]),
        length=None if length is None else int(length),
        job_id=answer.headers.get("gnosis-job-id"),
    )
