"""The searchable PDF of a job that has ended: made when it is first asked for, and kept beside the other results."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import structlog

from libs.jobstate.commit import load
from libs.jobstate.evidence import read_in_order
from libs.jobstate.job import Job
from libs.storage.errors import OutOfSpace
from libs.storage.session import SessionFiles
from services.web.extract.extraction import ExtractContext
from services.web.extract.scratch import local_copy
from services.web.outputs.placed import page_text
from services.web.outputs.searchable import made_since
from services.web.render.document import Unreadable
from services.web.render.filetype import FileType
from services.web.render.protocol import PageText
from services.web.render.searchable import searchable_pdf

log = structlog.get_logger()


async def make_searchable(context: ExtractContext, files: SessionFiles, run: int) -> bool:
    """Make and store the PDF, or the reason why that is impossible; whether there was anything to do.

    Raises `NotFound` where the job is deleted, and `StorageError`.
    """
    job = await load(files)
    if not job.ended or job.run != run or await made_since(files, job) is not None:
        return False
    try:
        async with (
            local_copy(files, job.file_info.raw_file) as raw,
            searchable_pdf(
                raw,
                FileType(job.file_info.file_type),
                _texts(files, job),
                dpi=job.options.dpi,
                limits=context.settings.limits,
                slots=context.render_slots,
            ) as chunks,
        ):
            await files.store.write(files.searchable_path, chunks)
    except Unreadable as fault:
        log.info("searchable_failed", job_id=files.session_id)
        await files.store.write(files.searchable_fault_path, fault.reason.encode())
    except OutOfSpace:
        # Not tried again by the queue: a disk stays full until somebody frees space.
        log.warning("searchable_without_space", job_id=files.session_id)
    else:
        log.info("searchable_made", job_id=files.session_id, pages=len(job.pages))
    return True


async def _texts(files: SessionFiles, job: Job) -> AsyncIterator[PageText]:
    async with aclosing(read_in_order(files, job.pages)) as outcomes:
        async for _, outcome in outcomes:
            # In a thread: a hostile page takes seconds to parse.
            if outcome is not None and (text := await asyncio.to_thread(page_text, outcome)) is not None:
                yield text
