"""The asker's own upload, by whichever way its bytes come: in parts through us, or to the bucket itself."""

import msgspec
from starlette.requests import Request

from libs.storage import layout
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles, exists
from services.serving.problem import Problem
from services.web.auth import get_user_from_request
from services.web.service import web
from services.web.upload import parts as uploads
from services.web.upload.parts import Upload


class OwnUpload(msgspec.Struct, frozen=True, kw_only=True):
    """An upload of the asker's, and whether it has become a job."""

    files: SessionFiles
    upload: Upload
    has_job: bool


async def own_upload(request: Request, *, direct: bool) -> OwnUpload:
    """The upload that the address names, if it came that way. Raises `Problem` 404, and 410 when its time is over."""
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
        upload = uploads.decode((await service.store.read(files.path(layout.UPLOAD))).data)
    except NotFound as error:
        raise unknown from error
    came_direct = upload.session is not None
    if came_direct != direct or await files.is_deleted():
        raise unknown
    has_job = await exists(service.store, files.path(layout.RECORD))
    if not has_job and await service.store.now() > upload.expires_at:
        raise Problem(410, "Upload expired", "The time for this upload is over.", "Begin a new upload of the file.")
    return OwnUpload(files=files, upload=upload, has_job=has_job)


def refuse_job(found: OwnUpload) -> None:
    """An upload that has become a job cannot be given up any more. Raises a 409 `Problem`."""
    if found.has_job:
        raise Problem(
            409,
            "Upload complete",
            "The upload has become a job.",
            f"DELETE /api/jobs/{found.files.session_id} deletes the job and its files.",
        )
