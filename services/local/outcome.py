"""What became of the documents of a command: its exit code, its report and its last lines."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from gnosis_ocr import Job
from services.local.documents import Document
from services.local.exit import DONE, FAILED, SOME_FAILED, TO_CHECK
from services.local.terminal import Display, say


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one document."""

    document: Document
    #: The record of its job; None where there is none, or it has no result.
    job: Job | None = None
    #: Why it was not read; "" where it was.
    error: str = ""
    #: Its results were there already.
    skipped: bool = False
    files: tuple[Path, ...] = ()
    seconds: float = 0.0

    @property
    def failed_pages(self) -> tuple[int, ...]:
        """The numbers of the pages that could not be read."""
        return self.job.failed_pages if self.job else ()

    @property
    def pages_to_check(self) -> tuple[int, ...]:
        """The numbers of the pages to compare with the document."""
        return self.job.pages_to_check if self.job else ()


def exit_code(outcomes: Sequence[Outcome], *, strict: bool) -> int:
    """The command's exit code for what became of its documents."""
    failed = [outcome for outcome in outcomes if outcome.error]
    if len(failed) == len(outcomes):
        return FAILED
    if failed or any(outcome.failed_pages for outcome in outcomes):
        return SOME_FAILED
    if strict and any(outcome.pages_to_check for outcome in outcomes):
        return TO_CHECK
    return DONE


def report(outcome: Outcome) -> dict[str, Any]:
    """One line of `--json`."""
    job = outcome.job
    return {
        "document": outcome.document.name,
        "status": "failed" if outcome.error else job.status if job else "skipped",
        "error": outcome.error or None,
        "job_id": job.job_id if job else None,
        "pages": len(job.pages) if job else 0,
        "failed_pages": outcome.failed_pages,
        "pages_to_check": outcome.pages_to_check,
        "files": [str(file) for file in outcome.files],
        "seconds": round(outcome.seconds, 2),
    }


def summarise(outcomes: Sequence[Outcome], *, quiet: bool) -> None:
    """What the person should know at the end: errors always, the rest unless `quiet`; last the pages to check."""
    several = len(outcomes) > 1
    if several and not quiet:
        Display(quiet=False).table(("Document", "Pages", "Failed", "To check", "Seconds"), map(_row, outcomes))
    for outcome in outcomes:
        name = f"{outcome.document.name}: "
        if outcome.error and (quiet or not several):
            say(name + outcome.error)
        if outcome.failed_pages:
            count = f"{len(outcome.failed_pages)} of {len(outcome.job.pages) if outcome.job else 0} pages"
            say(f"{name}{count} could not be read: {_listed(outcome.failed_pages)}. They are marked in the text.")
    doubtful = [outcome for outcome in outcomes if outcome.pages_to_check]
    if doubtful and not several:
        say(f"Compare these pages with the document: {_listed(doubtful[0].pages_to_check)}. --format json says why.")
    elif doubtful:
        pages = "; ".join(f"{one.document.name} {_listed(one.pages_to_check)}" for one in doubtful)
        say(f"Compare these pages with the documents: {pages}. --format json says why.")


def _row(outcome: Outcome) -> tuple[str, ...]:
    name = outcome.document.name
    if outcome.skipped:
        return name, "", "", "", "was there"
    if outcome.job is None:
        return name, "", "not read", "", f"{outcome.seconds:.1f}"
    pages, failed, check = len(outcome.job.pages), _listed(outcome.failed_pages), _listed(outcome.pages_to_check)
    return name, str(pages), failed, check, f"{outcome.seconds:.1f}"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
