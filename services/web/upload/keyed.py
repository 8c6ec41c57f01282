"""The job of a document that came with a key: its own, or that of an earlier upload with the same key."""

from contextlib import suppress

import msgspec

from libs.jobstate import deletion
from libs.jobstate.intake import Intake
from libs.jobstate.job import Job
from libs.storage.errors import StorageError
from libs.storage.session import SessionFiles
from services.serving.problem import Problem
from services.web.idempotency import IdempotencyKey, KeyedUpload, KeyUsed, check_same
from services.web.service import Web


async def keyed_job(
    service: Web, files: SessionFiles, intake: Intake, key: IdempotencyKey, fingerprint: str
) -> tuple[SessionFiles, Job]:
    """Create the job of a document that is stored whole; where the key was used meanwhile, join the job that it names.

    Once the key names the session, that stays when something fails: another request may already make its job.
    Raises `Problem` 409 and 422, `StorageError`.
    """
    upload = KeyedUpload(session_id=files.session_id, fingerprint=fingerprint, raw_file=intake.file_info.raw_file)
    try:
        await key.use(upload)
    except KeyUsed as other:
        await remove(service, files)
        return await join(service, other.files, other.upload, intake, fingerprint)
    except Problem:
        await remove(service, files)
        raise
    return files, await service.completion.create_job(files, intake)


async def join(
    service: Web, files: SessionFiles, earlier: KeyedUpload, intake: Intake, fingerprint: str
) -> tuple[SessionFiles, Job]:
    """The job of the earlier upload, made now where that request died before. Raises `Problem` 422 for another one."""
    check_same(earlier, fingerprint)
    own = msgspec.structs.replace(intake, session_id=files.session_id)
    return files, await service.completion.create_job(files, own)


async def remove(service: Web, files: SessionFiles) -> None:
    """Remove a session that no key and no client knows of."""
    service.usage.deleted(files.user_hash)
    with suppress(StorageError):  # the sweep finds what is left
        await deletion.remove_files(files)
