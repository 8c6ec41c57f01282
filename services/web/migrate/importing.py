"""An old session becomes a job: every file is created only where it is missing, so that a repeat changes nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from libs.jobstate import active
from libs.jobstate import intake as intakes
from libs.jobstate.commit import create
from libs.jobstate.ending import section
from libs.jobstate.evidence import read_versioned, save_outcome
from libs.jobstate.intake import Intake, OcrMode, Options
from libs.jobstate.job import Job
from libs.jobstate.outcome import OutcomeStatus, PageOutcome
from libs.jobstate.rebuild import rebuilt
from libs.page.block import Source
from libs.storage import layout
from libs.storage.errors import PreconditionFailed
from libs.storage.session import SessionFiles, exists
from libs.storage.store import ObjectStore
from services.web.migrate import old
from services.web.migrate.old import OldSession
from services.web.render.document import RenderedPage, RenderLimits, Unreadable, open_document
from services.web.render.filetype import FileType
from services.web.upload.admission import file_info

# Dots per inch at which that version rendered pages.
_OLD_DPI = 300
# The run of pages that were read before.
_OLD_RUN = 1
# Bytes of the document that are copied at a time.
_CHUNK_BYTES = 1 << 20


class Fate(StrEnum):
    """What becomes of a session."""

    #: All its pages were read: it becomes a job that has ended.
    ENDED = "ended"
    #: It becomes a job that has the pages which were read; a running service reads the others.
    CONTINUES = "continues"
    #: Its job exists.
    THERE = "there"
    #: Its job was deleted since.
    DELETED = "deleted"


def files_of(store: ObjectStore, session: OldSession, owner: str) -> SessionFiles:
    """The session's files: the same for the same owner and name, however often it is imported."""
    milliseconds = int(session.created_at.timestamp() * 1000) & (1 << 48) - 1
    digest = hashlib.sha256(f"{layout.normal_email(owner)} {session.name}".encode()).hexdigest()
    session_id = f"{milliseconds:012x}{digest[:20]}"
    return SessionFiles(store=store, user_hash=layout.user_hash(owner), session_id=session_id)


async def fate_of(files: SessionFiles, session: OldSession) -> Fate:
    """What an import would do with it. Changes nothing."""
    if await files.is_deleted():
        return Fate.DELETED
    if await exists(files.store, files.record_path):
        return Fate.THERE
    return Fate.ENDED if session.is_complete else Fate.CONTINUES


async def bring(files: SessionFiles, session: OldSession, owner: str, limits: RenderLimits) -> Fate:
    """Import the session, or go on where an earlier import was interrupted. Raises `OSError`, `StorageError`."""
    fate = await fate_of(files, session)
    if fate in (Fate.THERE, Fate.DELETED):
        return fate
    intake = await _store_document(files, session, owner)
    for number, path in session.texts.items():
        await _store_page(files, session, number, path, limits)
    if fate is Fate.ENDED:
        job = await _ended(files, session, intake)
    else:
        # As a record that was lost: extraction takes over the outcomes that it finds, and renders the other pages.
        job = rebuilt(intake, _OLD_RUN if session.texts else 0, await files.store.now())
    # Announced last: what a sweep finds without an intake for half an hour, it deletes as an upload that broke off.
    await active.announce(files, run=job.run)
    with suppress(PreconditionFailed):
        await files.store.write(files.intake_path, intakes.encode(intake), if_generation=0)
    job = await create(files, job)
    if job.ended:
        await active.remove(files, job)
    return fate


async def _store_document(files: SessionFiles, session: OldSession, owner: str) -> Intake:
    """Copy the document; the intake that describes it."""
    info = file_info(session.filename, session.file_type, session.document.stat().st_size)
    with suppress(PreconditionFailed):
        await files.store.write(files.path(info.raw_file), _chunks(session.document), if_generation=0)
    return Intake(
        session_id=files.session_id,
        user_email=layout.normal_email(owner),
        file_info=info,
        # That version recognised every page.
        options=Options(dpi=_OLD_DPI, ocr=OcrMode.FORCE),
        created_at=session.created_at,
    )


async def _store_page(files: SessionFiles, session: OldSession, number: int, path: Path, limits: RenderLimits) -> None:
    """Save the page's text as its outcome, and its image."""
    at = old.changed_at(path)
    outcome = PageOutcome(
        page_no=number,
        run=_OLD_RUN,
        status=OutcomeStatus.COMPLETED,
        text=await asyncio.to_thread(old.text_of, path),
        engine=session.engine,
        source=Source.MODEL,
        completed_at=at,
    )
    stored, generation = await read_versioned(files, number)
    if stored is None:
        await save_outcome(files, outcome, generation)
    image = session.images.get(number)
    if image is not None and not await exists(files.store, files.page_image_path(number)):
        png = await _as_page(image, limits)
        if png is not None:
            await files.save_page_image(number, png)


async def _as_page(image: Path, limits: RenderLimits) -> bytes | None:
    """The image as a page's PNG: workers read one form of PNG only. None for a damaged one; a retry draws it anew."""
    try:
        async with open_document(image, FileType.PNG, limits=limits) as document:
            async for page in document.render([1]):
                return page.png if isinstance(page, RenderedPage) else None
    except Unreadable:
        pass
    return None


async def _ended(files: SessionFiles, session: OldSession, intake: Intake) -> Job:
    """The record of a job all of whose pages were read, and its combined result. Retention counts from now."""
    at = await files.store.now()
    job = Job.opened(intake).load(at)
    outcomes, images = {}, {}
    texts = []
    for number in session.texts:
        outcome, _ = await read_versioned(files, number)
        assert outcome is not None
        outcomes[number] = outcome.brief()
        texts.append(section(number, outcome))
        if await exists(files.store, files.page_image_path(number)):
            images[number] = at
    job = job.plan(session.texts, total_pages=session.total_pages, batch_size=session.total_pages, parallelism=1, at=at)
    job = job.rendered(images, at).settled(outcomes, at).extracted(at).combining(at)
    await files.save_combined("\n".join(texts))
    return job.end(at)


async def _chunks(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield chunk
