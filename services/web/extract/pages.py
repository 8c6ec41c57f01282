"""Stored evidence of a document's pages: what exists before they are rendered, and the outcome of one that fails."""

from collections.abc import Sequence
from datetime import datetime

from libs.jobstate.evidence import derive_text, read_all_versioned, read_outcomes, read_versioned, save_outcome
from libs.jobstate.outcome import BriefOutcome, OutcomeStatus, PageOutcome
from libs.jobstate.page import unprepared
from libs.jobstate.recorder import Recorder
from libs.storage import layout
from libs.storage.session import SessionFiles
from services.web.render.document import FailedPage


async def pages_to_render(files: SessionFiles, recorder: Recorder) -> Sequence[int]:
    """The pages with neither image nor outcome. Those that an earlier call has stored are noted in the record."""
    job = recorder.job
    open_pages = unprepared(job.pages)
    prefix = files.prefix
    stored = {stat.path.removeprefix(prefix): stat async for stat in files.store.list(f"{prefix}page_")}
    found: set[int] = set()
    for page_no in open_pages:
        dpi = job.pages[page_no].options.dpi
        if (stat := stored.get(layout.page_image(page_no, dpi))) is not None:
            recorder.note_image(page_no, stat.updated_at, dpi)
            found.add(page_no)
    ended = [n for n in open_pages if n not in found and layout.PAGE_OUTCOME.format(n) in stored]
    for page_no, outcome in (await read_outcomes(files, ended)).items():
        if outcome.run >= job.pages[page_no].run:
            recorder.note_outcome(page_no, outcome.brief())
            found.add(page_no)
    return [n for n in open_pages if n not in found]


async def stored_outcomes(files: SessionFiles, pages: Sequence[int]) -> dict[int, BriefOutcome]:
    """The outcomes of pages whose record was lost, with the marks of retries that have not been followed yet.

    Their texts are written again: no later step checks for them.
    """
    stored = await read_all_versioned(files, pages)
    outcomes = {page_no: outcome for page_no, (outcome, _) in stored.items() if outcome is not None}
    for outcome in outcomes.values():
        await derive_text(files, outcome)
    return {page_no: outcome.brief() for page_no, outcome in outcomes.items()}


async def save_failure(files: SessionFiles, recorder: Recorder, page: FailedPage, at: datetime) -> None:
    """Save the outcome of a page that cannot be rendered, unless it has one."""
    stored, generation = await read_versioned(files, page.page_no)
    job = recorder.job
    planned = job.pages.get(page.page_no)
    if planned is None or (stored is not None and stored.due_run > job.run):
        return  # a retry began meanwhile, or the record was rebuilt: the page is the next run's
    if stored is not None and stored.status is not OutcomeStatus.PENDING and stored.run >= planned.run:
        # This call was suspended while another held the lease.
        recorder.note_outcome(page.page_no, stored.brief())
        return
    outcome = PageOutcome(
        page_no=page.page_no,
        run=job.run,
        status=OutcomeStatus.FAILED,
        error=page.reason,
        completed_at=at,
        dpi=planned.options.dpi,
    )
    outcome = await save_outcome(files, outcome, generation)
    recorder.note_outcome(page.page_no, outcome.brief())
