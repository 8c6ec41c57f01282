"""The searchable PDF of a job that has ended: made when it is first asked for, and kept beside the other results."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress

import structlog

from libs.jobstate.commit import load
from libs.jobstate.evidence import read_in_order
from libs.jobstate.job import Job
from libs.storage.errors import NotFound, OutOfSpace
from libs.storage.session import SessionFiles
from services.web.extract.extraction import Extraction
from services.web.extract.scratch import local_copy
from services.web.outputs.placed import page_text
from services.web.render.document import Unreadable
from services.web.render.filetype import FileType
from services.web.render.protocol import Fault, PageText
from services.web.render.searchable import searchable_pdf

log = structlog.get_logger()

#: For the owner of the job.
NO_ROOM = "The disk of the service has no room for it. Ask its operator to free space, then try again in a minute."

PROTECTED = (
    "The PDF is protected by a password, which was deleted once its pages were read in. Remove the password and upload "
    "it again for a searchable PDF."
)


async def make_searchable(extraction: Extraction, job: Job) -> None:
    """Make and store the PDF of the ended job, or store the reason why that is impossible. It does not yield.

    Raises `NotFound` where the job was deleted or retried meanwhile, and `StorageError`.
    """
    context, files = extraction.context, extraction.files
    clock = asyncio.get_running_loop().time
    try:
        async with (
            local_copy(files, job.file_info.raw_file) as raw,
            aclosing(_texts(files, job)) as texts,
            extraction.slots,
        ):
            began = clock()
            try:
                async with searchable_pdf(
                    raw,
                    FileType(job.file_info.file_type),
                    texts,
                    dpi=job.options.dpi,
                    limits=context.settings.limits,
                ) as chunks:
                    await files.store.write(files.searchable_path, _while_current(chunks, files, job))
            finally:
                extraction.seat.charge(clock() - began)
    except (Unreadable, OutOfSpace) as fault:
        log.info("searchable_failed", job_id=files.session_id, error=type(fault).__name__)
        await _check_current(files, job)
        # Stored for a full disk, too: the queue must not try again until space is freed.
        with suppress(OutOfSpace):
            reason = _reason(fault)
            await files.store.write(files.searchable_fault_path, reason.encode())
    else:
        log.info("searchable_made", job_id=files.session_id, pages=len(job.pages))


def _reason(fault: Unreadable | OutOfSpace) -> str:
    if isinstance(fault, OutOfSpace):
        return NO_ROOM
    return PROTECTED if fault.fault is Fault.ENCRYPTED else fault.reason


async def _while_current(chunks: AsyncIterator[bytes], files: SessionFiles, job: Job) -> AsyncIterator[bytes]:
    """The chunks of the PDF. Raises `NotFound` after the last one, so that an outdated PDF is not stored.

    A PDF of an earlier run that is stored after the next run has ended would count as that run's, and the files of a
    deleted job are removed for some minutes only.
    """
    async for chunk in chunks:
        yield chunk
    await _check_current(files, job)


async def _check_current(files: SessionFiles, job: Job) -> None:
    """Raise `NotFound` where the job was deleted or retried."""
    if (await load(files)).run != job.run:
        raise NotFound(files.combined_path, f"of run {job.run}")


async def _texts(files: SessionFiles, job: Job) -> AsyncGenerator[PageText, None]:
    async with aclosing(read_in_order(files, job.pages)) as outcomes:
        async for _, outcome in outcomes:
            # In a thread: a hostile page takes seconds to parse.
            if outcome is not None and (text := await asyncio.to_thread(page_text, outcome)) is not None:
                yield text
