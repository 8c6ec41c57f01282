"""The stored searchable PDF of a job: whether it is there and of the job's present results."""

from contextlib import suppress

from libs.jobstate.job import Job
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles
from libs.storage.store import Stat


async def made_since(files: SessionFiles, job: Job) -> Stat | None:
    """The PDF, if it was made after the job ended: a retry makes it outdated."""
    with suppress(NotFound):
        stat = await files.store.stat(files.searchable_path)
        if stat.updated_at >= job.updated_at:
            return stat
    return None


async def fault_since(files: SessionFiles, job: Job, seconds: float) -> str | None:
    """Why it could not be made, if that was tried after the job ended and in the last `seconds`."""
    with suppress(NotFound):
        stored = await files.store.read(files.searchable_fault_path)
        age = (await files.store.now() - stored.updated_at).total_seconds()
        if stored.updated_at >= job.updated_at and age < seconds:
            return stored.data.decode()
    return None
