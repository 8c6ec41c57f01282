"""Jobs of a store in memory, brought to their end as the services would."""

import asyncio
from collections.abc import Iterable

from libs.jobstate import active, record
from libs.jobstate import outcome as outcomes
from libs.jobstate.commit import load
from libs.jobstate.job import Job
from libs.jobstate.outcome import PageOutcome
from libs.storage import layout
from libs.storage.session import SessionFiles
from libs.storage.store import ObjectStore

#: Seconds for which a job is waited for that does not come. Chosen: longer than any machine needs.
PATIENCE_SECONDS = 30.0


async def jobs(store: ObjectStore) -> list[str]:
    """The ids of all jobs, the oldest first."""
    paths = [stat.path async for stat in store.list(layout.USERS)]
    return sorted(path.split("/")[2] for path in paths if path.endswith(f"/{layout.RECORD}"))


async def only_job(store: ObjectStore) -> SessionFiles:
    """The files of the only job, once there is one."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            async for stat in store.list(layout.USERS):
                if stat.path.endswith(f"/{layout.RECORD}"):
                    _, user_hash, session_id, _ = stat.path.split("/")
                    return SessionFiles(store=store, user_hash=user_hash, session_id=session_id)
            await asyncio.sleep(0.002)


async def end(files: SessionFiles, pages: Iterable[PageOutcome]) -> Job:
    """Read the job's pages with these outcomes, and end it."""
    pages, at = tuple(pages), await files.store.now()
    numbers = [page.page_no for page in pages]
    job = (await load(files)).load(at).plan(numbers, total_pages=max(numbers), batch_size=9, parallelism=1, at=at)
    job = job.rendered(dict.fromkeys(numbers, at), at).extracted(at)
    job = job.settled({page.page_no: page.brief() for page in pages}, at).combining(at).end(at)
    for page in pages:
        await files.store.write(files.page_outcome_path(page.page_no), outcomes.encode(page))
    await files.save_combined("".join(page.text for page in pages))
    await files.store.write(files.record_path, record.encode(job))
    await active.remove(files, job)
    return job


async def fail(files: SessionFiles, reason: str) -> Job:
    """End the job as one that could not be opened."""
    job = (await load(files)).extraction_failed(reason, await files.store.now())
    await files.store.write(files.record_path, record.encode(job))
    await active.remove(files, job)
    return job
