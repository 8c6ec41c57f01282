"""A document that is read for a client: the job of the document, joined where there is one already, and its end.

The job is keyed by owner, content and options. So a client that gives up and tries again, as many do after a time limit
of their own, joins the job that its first try has started, and gets the result at once when it has ended.
"""

import hashlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import timedelta

import msgspec
from starlette.requests import Request

from libs.jobstate.intake import FileInfo, Intake, Options
from libs.jobstate.job import Job
from libs.jobstate.rebuild import load_or_rebuild
from libs.jobstate.status import JobStatus
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles, validate_session
from services.serving import audit
from services.serving.body import announced_bytes
from services.serving.problem import Problem
from services.web.auth import User
from services.web.frontdoors.document import Document
from services.web.frontdoors.pages import read_pages
from services.web.idempotency import IdempotencyKey, KeyedUpload
from services.web.live.feed import Stopping
from services.web.outputs.page import PageDocument
from services.web.service import Web, web
from services.web.upload.keyed import join, keyed_job, remove
from services.web.upload.multipart import Form
from services.web.upload.multipart_routes import MAX_OVERHEAD_BYTES, text_of
from services.web.upload.opening import opened_session
from services.web.upload.storing import store_document

#: The header of an answer that names its job, for people who look for it.
JOB_HEADER = "Gnosis-Job-Id"
#: How long a job that has failed, or was cancelled, still answers for its document; then a new try reads it again.
#: Chosen: longer than the pauses between the tries of clients that try again by themselves.
FAILED_KEPT = timedelta(minutes=10)

#: The fields of a form, each with its values in order.
Fields = Mapping[str, tuple[str, ...]]


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """The reading of a document for its owner."""

    service: Web
    user: User
    files: SessionFiles
    #: The document's name as this client gave it, if it did: an earlier one may have given another.
    filename: str | None

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self.files.session_id

    async def ended(self) -> Job:
        """Wait until the job has ended, and return its record. The job goes on when the caller is cancelled.

        Raises `Problem`: 404 where it is deleted, 409 where it is cancelled, 422 where it fails, 429 for too many such
        waits of the user's, 503 where this process ends; `StorageError`.
        """
        view = None
        try:
            with self.service.feeds.watched(self.user.email, self.job_id) as feed:
                while view is None or not view.record.ended:
                    view = await feed.newer(view)
        except NotFound as error:
            raise Problem(
                404, "Document deleted", "The document was deleted while it was read.", "Send it again."
            ) from error
        except Stopping as error:
            raise Problem(
                503,
                "Restarting",
                "The service restarts; the document is read on.",
                "Send the same request again: it is answered with the same reading.",
                headers={"Retry-After": "2"},
            ) from error
        return succeeded(view.record)

    def pages(self, job: Job, numbers: Iterable[int] | None = None) -> AsyncGenerator[PageDocument, None]:
        """The pages of the ended job in order."""
        return read_pages(self.files, job, numbers)


def succeeded(job: Job) -> Job:
    """The ended job, if it has a result. Raises `Problem` 409, 422."""
    if job.status is JobStatus.FAILED:
        raise Problem(
            422,
            "Document not read",
            job.error or "The document could not be read.",
            "Send a corrected document. The same one is read again in ten minutes at the earliest.",
            job_id=job.job_id,
        )
    if job.status is JobStatus.CANCELLED:
        raise Problem(
            409,
            "Reading cancelled",
            "The reading of this document was cancelled.",
            f"POST /api/jobs/{job.job_id}/retry goes on with it.",
            job_id=job.job_id,
        )
    return job


async def start_reading(request: Request, user: User, document: Document, options: Options) -> Reading:
    """Store the document and start its job, or join one. Raises `Problem`, `StorageError`."""
    service = web(request)
    digest = hashlib.sha256()
    async with opened_session(service, user, size=document.size) as files:
        info = await store_document(service, files, document.chunks, document.filename, digest)
        kept = _Kept(files=files, info=info, digest=digest.digest(), filename=document.filename)
        await _look_up(service, user, kept, options)
    return await _begun(request, user, kept, options)


async def start_form(
    request: Request,
    user: User,
    names: Iterable[str],
    options: Callable[[Fields], Awaitable[Options]],
    *,
    most: int = 1,
) -> tuple[Fields, list[Reading]]:
    """The same with the documents of a form, which are its fields of these names; at most `most`.

    `options` makes the jobs' options of the other fields; what it raises keeps nothing. Raises `Problem` also where
    the form has no document.
    """
    service, names = web(request), frozenset(names)
    limit = service.config.upload_max_bytes + MAX_OVERHEAD_BYTES
    form = Form(request, max_bytes=limit, pace=service.config.upload_pace)
    fields: dict[str, tuple[str, ...]] = {}
    stored: list[_Kept] = []
    async with AsyncExitStack() as opened:
        async for part in form.parts():
            if part.name not in names:
                fields[part.name] = (*fields.get(part.name, ()), await text_of(part))
                continue
            if len(stored) == most:
                raise Problem(400, "Too many files", f"The form has more than {most}.", "Send them one by one.")
            digest, size = hashlib.sha256(), (announced_bytes(request) or 0) if not stored else 0
            files = await opened.enter_async_context(opened_session(service, user, size=size))
            info = await store_document(service, files, part.chunks(), part.filename, digest)
            stored.append(_Kept(files=files, info=info, digest=digest.digest(), filename=part.filename))
        if not stored:
            raise Problem(
                400, "No file", f"The form has no field named {' or '.join(sorted(names))}.", "Send the document in it."
            )
        asked = await options(fields)
        for kept in stored:
            await _look_up(service, user, kept, asked)
    return fields, [await _begun(request, user, kept, asked) for kept in stored]


async def reading_of(request: Request, user: User, job_id: str) -> Reading:
    """The reading whose job an address names. Raises `Problem` 404."""
    service = web(request)
    try:
        files = await validate_session(service.store, user.email, job_id)
    except NotFound as error:
        raise Problem(404, "Not found", "No such document.", "Send the document again.") from error
    return Reading(service=service, user=user, files=files, filename=None)


class _Kept(msgspec.Struct, kw_only=True):
    """A document that is stored whole, and its key once that was looked up."""

    files: SessionFiles
    info: FileInfo
    digest: bytes
    filename: str | None
    key: IdempotencyKey | None = None
    fingerprint: str = ""
    earlier: tuple[SessionFiles, KeyedUpload] | None = None


def key_text(digest: bytes, options: Options) -> str:
    """The key of a document with this SHA-256. It has a blank, so no client can send it as a key of its own."""
    return f"front door {hashlib.sha256(digest + msgspec.json.encode(options, order='sorted')).hexdigest()}"


async def _look_up(service: Web, user: User, kept: _Kept, options: Options) -> None:
    """Find the earlier job of the same document with the same options. Raises `StorageError`."""
    kept.key = IdempotencyKey(service.store, user.email, key_text(kept.digest, options))
    kept.fingerprint = kept.key.fingerprint(kept.digest, None, {})
    kept.earlier = await kept.key.earlier()
    if kept.earlier is not None and await _is_outdated(service, kept.earlier[0]):
        kept.earlier = None


async def _is_outdated(service: Web, files: SessionFiles) -> bool:
    """Whether the job has failed or was cancelled so long ago that the document is read again."""
    try:
        job = await load_or_rebuild(files)
    except NotFound:  # the request that stored the document died before it made the job
        return False
    if job.status not in (JobStatus.FAILED, JobStatus.CANCELLED):
        return False
    return job.updated_at + FAILED_KEPT < await service.store.now()


async def _begun(request: Request, user: User, kept: _Kept, options: Options) -> Reading:
    service = web(request)
    assert kept.key is not None
    intake = Intake(
        session_id=kept.files.session_id,
        user_email=user.email,
        file_info=kept.info,
        options=options,
        created_at=await service.store.now(),
    )
    if kept.earlier is not None:
        await remove(service, kept.files)
        files, job = await join(service, *kept.earlier, intake, kept.fingerprint)
    else:
        files, job = await keyed_job(service, kept.files, intake, kept.key, kept.fingerprint)
    if job.status is JobStatus.QUEUED:
        await service.completion.start(files, job)
    audit.subject(request.scope).job_id = job.job_id
    return Reading(service=service, user=user, files=files, filename=kept.filename)
