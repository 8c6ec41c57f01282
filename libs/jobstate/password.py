"""The password of an encrypted document: an object of its own, from the upload until extraction has ended.

It is nowhere else: the record and the intake only say that there was one (`Options.has_password`), and no route serves
it. Whoever ends an extraction forgets it at once; `active.remove` does it again for every job that has ended, and the
sweep calls that after a crash.
"""

from contextlib import suppress

from libs.jobstate.job import Job
from libs.storage.errors import NotFound
from libs.storage.session import SessionFiles


async def keep(files: SessionFiles, password: str) -> None:
    """Store the password, before the intake, so that no extraction begins without it."""
    await files.store.write(files.password_path, password.encode())


async def read(files: SessionFiles, job: Job) -> str | None:
    """The password; `None` where there never was one, or extraction has ended once."""
    if job.options.has_password:
        with suppress(NotFound):
            return (await files.store.read(files.password_path)).data.decode()
    return None


async def forget(files: SessionFiles, job: Job) -> None:
    """Delete the password, if there was one."""
    if job.options.has_password:
        with suppress(NotFound):
            await files.store.delete(files.password_path)
