"""What is known of a document's pages before they are rendered, and what is left of one that cannot be."""

from collections.abc import Sequence
from datetime import datetime

from libs.jobstate.evidence import derive_text, read_outcomes, read_versioned, save_outcome
from libs.jobstate.job import Job
from libs.jobstate.outcome import BriefOutcome, OutcomeStatus, PageOutcome
from libs.jobstate.recorder import Recorder
from libs.storage import layout
from libs.storage.session import SessionFiles


async def missing(files: SessionFiles, job: Job, recorder: Recorder) -> Sequence[int]:
    """The pages with neither image nor outcome. What an earlier call left behind is noted on the way."""
    open_pages = [n for n, page in job.pages.items() if page.image is None and not page.ended]
    stored = {stat.path: stat async for stat in files.store.list(files.path("page_"))}
    found: set[int] = set()
    for page_no in open_pages:
        if (stat := stored.get(files.path(layout.page_image_name(page_no)))) is not None:
            recorder.note_image(page_no, stat.updated_at)
            found.add(page_no)
    read = [n for n in open_pages if n not in found and files.path(layout.page_outcome_name(n)) in stored]
    for page_no, outcome in (await read_outcomes(files, read)).items():
        if outcome.run >= job.pages[page_no].run:
            recorder.note_outcome(page_no, outcome.brief())
            found.add(page_no)
    return [n for n in open_pages if n not in found]


async def known(files: SessionFiles, pages: Sequence[int]) -> dict[int, BriefOutcome]:
    """What a lost record knew: the outcomes. Their texts are written again, since nobody will look for them later."""
    outcomes = await read_outcomes(files, pages)
    for outcome in outcomes.values():
        await derive_text(files, outcome)
    return {page_no: outcome.brief() for page_no, outcome in outcomes.items()}


async def fail(files: SessionFiles, recorder: Recorder, page_no: int, reason: str, at: datetime) -> None:
    """Record that the page cannot be rendered, as its outcome."""
    standing, generation = await read_versioned(files, page_no)
    page = recorder.job.pages.get(page_no)
    if page is None or (standing is not None and standing.run > recorder.job.run):
        return  # a retry began meanwhile, or the record was made anew: the page is the next run's
    if standing is not None and standing.status is not OutcomeStatus.PENDING and standing.run >= page.run:
        # This call was asleep while another had the lease.
        recorder.note_outcome(page_no, standing.brief())
        return
    outcome = PageOutcome(
        page_no=page_no,
        run=recorder.job.run,
        status=OutcomeStatus.FAILED,
        error=reason,
        completed_at=at,
    )
    outcome = await save_outcome(files, outcome, generation)
    recorder.note_outcome(page_no, outcome.brief())
