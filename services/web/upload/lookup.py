"""The user's own upload that an address names: by tus, or direct to the bucket."""

import msgspec
from starlette.requests import Request

from libs.jobstate import upload as uploads
from libs.jobstate.upload import PendingUpload
from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles, exists
from services.serving.problem import Problem
from services.web.auth import get_user_from_request
from services.web.service import web


class OwnUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload of the user who asks."""

    files: SessionFiles
    upload: PendingUpload
    #: Whether the upload has become a job.
    has_job: bool


async def own_upload(request: Request, *, direct: bool) -> OwnUpload:
    """The upload that the address names, if it is of this way (`direct` or tus).

    Raises `Problem` 404, 410 when it has expired, and `TornUpload`.
    """
    service = web(request)
    user = await get_user_from_request(request)
    upload_id = request.path_params["upload_id"]
    unknown = Problem(
        404,
        "Upload not found",
        "No such upload.",
        f"Begin a new upload: POST /api/{'direct-uploads' if direct else 'uploads'}.",
    )
    if not layout.is_session_id(upload_id):
        raise unknown
    files = SessionFiles(store=service.store, user_hash=user.user_hash, session_id=upload_id)
    try:
        upload = uploads.decode((await service.store.read(files.upload_path)).data)
    except NotFound as error:
        raise unknown from error
    is_direct = upload.session is not None
    is_own = layout.normal_email(upload.user_email) == user.email
    if not is_own or is_direct != direct or await files.is_deleted():
        raise unknown
    has_job = await exists(service.store, files.record_path)
    if not has_job and await service.store.now() > upload.expires_at:
        raise Problem(410, "Upload expired", "The time for this upload is over.", "Begin a new upload of the file.")
    return OwnUpload(files=files, upload=upload, has_job=has_job)


def refuse_job(found: OwnUpload) -> None:
    """Raise `Problem` 409 for an upload that has become a job: it is deleted as one."""
    if found.has_job:
        raise Problem(
            409,
            "Upload complete",
            "The upload has become a job.",
            f"DELETE /api/jobs/{found.files.session_id} deletes the job and its files.",
        )
