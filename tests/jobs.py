"""Jobs at several points of their life, and outcomes of their pages, made by code."""

from datetime import UTC, datetime

from libs.jobstate.intake import FileInfo, Intake, Options
from libs.jobstate.job import Job
from libs.jobstate.outcome import BriefOutcome, OutcomeStatus, PageOutcome

START = datetime(2026, 1, 1, tzinfo=UTC)
INTAKE = Intake(
    session_id="0" * 32,
    user_email="reader@example.org",
    file_info=FileInfo(filename="a.pdf", file_type="pdf", raw_file="a.pdf", file_size=9),
    options=Options(),
    created_at=START,
)


def opened() -> Job:
    """As after the upload."""
    return Job.opened(INTAKE)


def planned(pages: int, *, batch_size: int = 3, parallelism: int = 1) -> Job:
    """As after the extraction has counted the pages."""
    return (
        opened()
        .load(START)
        .plan(range(1, pages + 1), total_pages=pages, batch_size=batch_size, parallelism=parallelism, at=START)
    )


def read(run: int = 1, *, failed: bool = False) -> BriefOutcome:
    """The end of one page, as the record keeps it."""
    status = OutcomeStatus.FAILED if failed else OutcomeStatus.COMPLETED
    return BriefOutcome(status=status, run=run, error="It is torn." if failed else None, completed_at=START)


def extracted(pages: int, **how: int) -> Job:
    """With an image of every page; `how` as for `planned`."""
    images = dict.fromkeys(range(1, pages + 1), START)
    return planned(pages, **how).rendered(images, START).extracted(START)


def outcome(page_no: int, text: str = "", *, run: int = 1, error: str | None = None) -> PageOutcome:
    """The end of one page, as its evidence keeps it: failed where there is an error."""
    status = OutcomeStatus.FAILED if error else OutcomeStatus.COMPLETED
    return PageOutcome(page_no=page_no, run=run, status=status, text=text, error=error, completed_at=START)
